"""The agent's mouth: what is played, hushed, said again and forgotten."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.duplex import FRAME_SAMPLES
from agent.engines.cascade.playout import Line, Playout

WORD_SAMPLES = 3_000


def line(words: str, ends_call: bool = False) -> Line:
    """A sentence whose n-th word is a constant n + 1 hundredths, 125 ms long."""
    texts = words.split()
    audio = np.repeat((np.arange(len(texts)) + 1) / 100, WORD_SAMPLES).astype(np.float32)
    return Line(audio, tuple((text, n * WORD_SAMPLES) for n, text in enumerate(texts)), {"answer_ms": 1.0}, ends_call)


def test_words_come_with_the_frame_in_which_they_begin() -> None:
    playout = Playout()
    playout.say(line("one two three"))
    assert [playout.next_frame().text for _ in range(6)] == [" one", " two", "", " three", "", ""]


def test_a_hushed_word_is_heard_again_and_told_once() -> None:
    playout = Playout()
    playout.say(line("one two three"))
    texts = [playout.next_frame().text, playout.next_frame().text]
    playout.hush()
    fading, silent = playout.next_frame(), playout.next_frame()
    assert 0 < np.count_nonzero(fading.audio) < 240
    assert not silent.audio.any()
    playout.speak_on()
    again = playout.next_frame()
    assert again.audio[0] == np.float32(0.02)  # "two", from its beginning
    texts += [again.text, *(playout.next_frame().text for _ in range(4))]
    assert "".join(texts) == " one two three"


def test_stopping_forgets_the_rest() -> None:
    playout = Playout()
    playout.begin_reply()
    playout.say(line("one two three", ends_call=True))
    playout.next_frame()
    playout.stop()
    rest = [playout.next_frame() for _ in range(8)]
    assert np.count_nonzero(rest[0].audio) < 240
    assert not any(frame.audio.any() or frame.text or frame.ends_call for frame in rest[1:])
    assert playout.spoken == " one"


def test_timings_come_first_and_the_end_of_the_call_last() -> None:
    playout = Playout()
    playout.say(line("one two three", ends_call=True))
    frames = [playout.next_frame() for _ in range(8)]
    assert [bool(frame.timings) for frame in frames] == [True] + [False] * 7
    assert [frame.ends_call for frame in frames].index(True) == 3 * WORD_SAMPLES // FRAME_SAMPLES


def test_there_is_a_breath_between_sentences() -> None:
    playout = Playout()
    playout.say(line("one"))
    playout.say(line("two"))
    audio = np.concatenate([playout.next_frame().audio for _ in range(10)])
    assert np.count_nonzero(audio) == 2 * WORD_SAMPLES
    assert not audio[WORD_SAMPLES : WORD_SAMPLES + 24 * 200].any()


@given(st.lists(st.sampled_from(["say", "hush", "speak_on", "frame", "frame"]), max_size=60))
def test_no_word_is_lost_or_told_twice(actions: list[str]) -> None:
    playout = Playout()
    playout.begin_reply()
    said = told = ""
    for number, action in enumerate(actions):
        if action == "say":
            playout.say(line(f"w{number} x{number}"))
            said += f" w{number} x{number}"
        elif action == "frame":
            frame = playout.next_frame()
            assert frame.audio.shape == (FRAME_SAMPLES,)
            told += frame.text
        else:
            getattr(playout, action)()
    playout.speak_on()
    while playout.busy:
        told += playout.next_frame().text
    assert told == said == playout.spoken
