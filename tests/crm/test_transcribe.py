"""From activity and words to turns."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from crm.activity import GRID_MS, activity, runs_ms, tidy
from crm.call import TimedWord
from crm.transcribe import ipus_of, turns_of, words_of

AUDIO = Path(__file__).parents[2].parent / "shared" / "audio"
RANDOM = np.random.default_rng(3)


def noise(ms: int, level: float) -> np.ndarray:
    return (RANDOM.standard_normal(ms * 8) * level).astype(np.int16)


def turns(caller=(), agent=(), caller_words=(), agent_words=()):
    words = [[TimedWord(text, start, end) for start, end, text in side] for side in (caller_words, agent_words)]
    return [
        (turn.side, turn.start_ms, turn.end_ms, turn.text, turn.backchannel)
        for turn in turns_of(ipus_of(caller, agent, *words))
    ]


@pytest.mark.parametrize("floor", [0, 5, 60])
def test_speech_is_found_over_any_noise(floor: float):
    track = noise(6_000, floor)
    for start, end in ((1_000, 1_600), (2_500, 4_000)):
        track[start * 8 : end * 8] = noise(end - start, 3_000)
    found = runs_ms(activity(track))
    assert len(found) == 2
    assert np.abs(np.array(found) - [[1_000, 1_600], [2_500, 4_000]]).max() <= 20


def test_clicks_are_dropped_and_short_silences_filled():
    track = noise(5_000, 5)
    for start, end in ((500, 530), (1_000, 1_400), (1_560, 2_000), (2_400, 3_000)):
        track[start * 8 : end * 8] = noise(end - start, 3_000)
    found = runs_ms(activity(track))
    assert len(found) == 2
    assert np.abs(np.array(found) - [[1_000, 2_000], [2_400, 3_000]]).max() <= 20


def test_silence_and_nothing_have_no_speech():
    assert runs_ms(activity(np.zeros(80_000, np.int16))) == []
    assert runs_ms(activity(np.zeros(0, np.int16))) == []
    assert runs_ms(activity(noise(5, 3_000))) == []
    assert len(activity(np.zeros(81, np.int16))) == 2


def test_tidy_by_hand():
    def grid(*runs: tuple[int, int]) -> np.ndarray:
        active = np.zeros(100, bool)
        for start, end in runs:
            active[start // GRID_MS : end // GRID_MS] = True
        return active

    assert runs_ms(tidy(grid((0, 70), (200, 280), (450, 600), (780, 900)))) == [(200, 600), (780, 900)]


@pytest.mark.parametrize("name", ["tau2_hello", "tau2_order_status", "tau2_help_me"])
def test_speech_of_people_is_found(name: str):
    path = AUDIO / f"{name}.wav"
    if not path.exists():
        pytest.skip("the recordings of ../shared/audio are not there")
    track, rate = soundfile.read(path, dtype="int16")
    active = activity(track[:: rate // 8_000])
    loudest_ms = np.abs(track).argmax() * 1_000 // rate
    assert active[loudest_ms // GRID_MS]
    assert 0.2 < active.mean() <= 1


def test_words_go_to_the_turn_they_were_spoken_in():
    found = turns(
        caller=[(2_000, 3_000), (3_300, 4_000)],
        agent=[(0, 1_500), (4_500, 6_000)],
        caller_words=[(2_100, 2_600, "when"), (3_350, 3_900, "Monday")],
        agent_words=[(0, 500, "Hello."), (4_600, 5_000, "Yes,"), (5_100, 5_500, "Monday.")],
    )
    assert found == [
        ("agent", 0, 1_500, "Hello.", False),
        ("caller", 2_000, 4_000, "when Monday", False),
        ("agent", 4_500, 6_000, "Yes, Monday.", False),
    ]


def test_a_backchannel_does_not_split_a_turn():
    found = turns(
        caller=[(1_000, 1_300)],
        agent=[(0, 2_000), (2_300, 4_000)],
        caller_words=[(1_000, 1_300, "mm-hmm")],
        agent_words=[(0, 500, "We"), (2_400, 2_900, "collect.")],
    )
    assert found == [("agent", 0, 4_000, "We collect.", False), ("caller", 1_000, 1_300, "mm-hmm", True)]


def test_words_a_little_off_find_their_speech_and_others_make_their_own():
    found = turns(
        caller=[(1_000, 2_000)], caller_words=[(2_300, 2_700, "late"), (9_000, 9_300, "far"), (9_400, 9_800, "off")]
    )
    assert found == [("caller", 1_000, 9_800, "late far off", False)]


def test_noise_of_a_side_whose_words_are_known_is_left_out():
    known = turns(caller=[(1_000, 1_300), (5_000, 6_000)], caller_words=[(5_100, 5_900, "hello")])
    assert known == [("caller", 5_000, 6_000, "hello", False)]
    assert turns(caller=[(1_000, 1_300)]) == [("caller", 1_000, 1_300, "", False)]


def test_pieces_of_text_become_words():
    pieces = [(0, " Hel"), (80, "lo"), (160, ","), (240, " how are"), (400, " you"), (480, "?"), (3_000, "Fine.")]
    found = words_of(pieces)
    assert [word.text for word in found] == ["Hello,", "how", "are", "you?", "Fine."]
    # "are" shares the 160 ms of its piece with "how".
    assert [word.start_ms for word in found] == [0, 240, 320, 400, 3_000]
    assert all(word.end_ms > word.start_ms for word in found)


def test_no_words_make_no_turns():
    assert turns() == []
    assert words_of([]) == []
    assert words_of([(0, " "), (10, "")]) == []
