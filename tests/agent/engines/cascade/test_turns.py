"""Where a turn begins and ends, and who keeps the floor; windows written by hand."""

import pytest

from agent.engines.cascade.activity import WINDOW_MS, Window
from agent.engines.cascade.backchannels import is_backchannel, is_interruption
from agent.engines.cascade.floor import BargeIn, Floor, audible
from agent.engines.cascade.ports import Transcript, Word
from agent.engines.cascade.turns import Hearing, Turns, hangover_ms


def windows(pattern: str) -> list[Window]:
    """Each letter is 32 ms: S speech, H a hum, q quiet speech or echo, . silence."""
    kinds = {"S": (0.99, -20.0, 40.0, -5.0), "H": (0.99, -20.0, 40.0, -40.0)}
    kinds |= {"q": (0.99, -50.0, 10.0, -5.0), ".": (0.01, -65.0, 0.0, 0.0)}
    return [Window((n + 1) * WINDOW_MS, *kinds[letter]) for n, letter in enumerate(pattern)]


def transcript(text: str, confidence: float = 0.9) -> Transcript:
    return Transcript(tuple(Word(word, n * 200, n * 200 + 200, confidence) for n, word in enumerate(text.split())))


def changes(pattern: str) -> list[tuple[Hearing, int]]:
    turns = Turns()
    heard = [(turns.hear(window), window.end_ms) for window in windows(pattern)]
    return [(change, at_ms) for change, at_ms in heard if change is not Hearing.NOTHING]


def test_speech_begins_pauses_and_resumes() -> None:
    pattern = "..." + "S" * 20 + "." * 7 + "S" * 5
    assert changes(pattern) == [(Hearing.BEGAN, 160), (Hearing.PAUSED, 928), (Hearing.RESUMED, 992)]


def test_a_click_is_no_turn() -> None:
    assert changes("..S.....") == []
    assert [change for change, _ in changes("..SS" + "." * 10)] == [Hearing.BEGAN, Hearing.DROPPED]


def test_half_a_minute_without_a_breath_is_cut() -> None:
    at_ms = next(at_ms for change, at_ms in changes("S" * 1_000) if change is Hearing.PAUSED)
    assert at_ms <= 30_000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("when do you collect glass", 350),
        ("glass please", 500),
        ("i want to know about the", 1_200),
        ("my question is about", 1_200),
        ("what is it about", 350),
        ("how are you", 500),
        ("", 500),
    ],
)
def test_the_hangover_follows_the_words(text: str, expected_ms: int) -> None:
    assert hangover_ms(transcript(text)) == expected_ms


def verdicts(pattern: str) -> list[tuple[Floor, int]]:
    barge_in = BargeIn()
    heard = [(barge_in.hear(window, audible(window, -20.0)), window.end_ms) for window in windows(pattern)]
    return [(verdict, at_ms) for verdict, at_ms in heard if verdict is not Floor.KEEP]


def test_speech_hushes_the_agent_and_then_takes_the_floor() -> None:
    assert verdicts("S" * 40)[:2] == [(Floor.HUSH, 160), (Floor.YIELD, 576)]


def test_a_short_word_only_hushes_it() -> None:
    assert verdicts("S" * 11 + "." * 30) == [(Floor.HUSH, 160), (Floor.SPEAK_ON, 576)]


def test_a_second_word_so_soon_takes_the_floor() -> None:
    assert verdicts("S" * 9 + "." * 12 + "S" * 12)[-1][0] is Floor.YIELD


def test_a_hum_does_not_even_hush_it_unless_it_goes_on() -> None:
    assert verdicts("H" * 20 + "." * 20) == []
    assert verdicts("H" * 40)[0][0] is Floor.HUSH
    assert verdicts("HHH" + "S" * 20)[0] == (Floor.HUSH, 160)


def test_echo_noise_and_clicks_leave_it_alone() -> None:
    assert verdicts("q" * 40) == []
    assert verdicts("SSS.....SSS.....SS") == []
    assert verdicts("." * 40) == []


@pytest.mark.parametrize("text", ["yeah", "okay", "oh okay", "uh-huh", "Mm-hmm.", "yeah right", "got it"])
def test_encouragement_is_told_from_interruptions(text: str) -> None:
    assert is_backchannel(transcript(text))
    assert not is_interruption(transcript(text))


@pytest.mark.parametrize("text", ["wait", "stop", "no no", "sorry what", "hold on", "what does it cost"])
def test_words_that_stop_the_agent(text: str) -> None:
    assert is_interruption(transcript(text))
    assert not is_backchannel(transcript(text))


def test_words_nobody_is_sure_of_do_not() -> None:
    assert not is_interruption(transcript("tea bag is there", 0.2))
    assert not is_interruption(Transcript(()))
