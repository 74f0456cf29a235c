"""Pairing frames with what a server sends, in a time of our own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.duplex import FRAME_SAMPLES
from agent.engines.remote.answers import MOST_PATIENCE_S, PATIENCE_S, Answers

SILENCE = np.zeros(FRAME_SAMPLES, np.float32)
LOUD = np.full(FRAME_SAMPLES, 0.5, np.float32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def timed() -> tuple[Answers, Clock]:
    clock = Clock()
    answers = Answers(clock)
    return answers, clock


@given(st.lists(st.sampled_from(["owe", "hear", "hush", "wait", "text"]), max_size=200))
def test_never_more_out_than_in_and_always_in_order(events: list[str]) -> None:
    answers, clock = timed()
    owed, out, texts = 0, [], 0
    for event in events:
        match event:
            case "owe":
                answers.owe()
                owed += 1
            case "hear" | "hush":
                answers.hear(LOUD if event == "hear" else SILENCE)
            case "wait":
                clock.now += 0.5
            case "text":
                answers.read("x")
                texts += 1
        out += answers.take()
        assert len(out) <= owed
    assert [frame.index for frame in out] == list(range(len(out)))
    assert sum(len(frame.text) for frame in out) <= texts
    for _ in range(owed - len(out)):
        answers.hear(LOUD)
    out += answers.take()
    assert len(out) == owed


def test_a_silent_server_is_replaced_by_silence_and_counted() -> None:
    answers, clock = timed()
    out = []
    for _ in range(50):
        answers.owe()
        out += answers.take()
        clock.now += 0.08
    assert len(out) == answers.filled
    assert len(out) == 50 - PATIENCE_S / 0.08
    assert round(answers.silent_s) == 4


def test_nothing_is_owed_while_nothing_is_asked() -> None:
    answers, clock = timed()
    answers.owe()
    answers.hear(LOUD)
    assert len(answers.take()) == 1
    clock.now = 200
    answers.owe()
    assert (answers.take(), answers.silent_s) == ([], 0)


def test_text_without_sound_is_not_kept_without_end() -> None:
    answers, _ = timed()
    for _ in range(1_000):
        answers.read("word " * 100)
    answers.owe()
    answers.hear(LOUD)
    (frame,) = answers.take()
    assert frame.text.endswith("word ")
    assert len(frame.text) < 10_000


def test_frames_that_a_server_drops_now_and_then_are_made_up_for() -> None:
    answers, clock = timed()
    given_out = 0
    for n in range(1_000):
        answers.owe()
        if n % 10:
            answers.hear(LOUD)
        given_out += len(answers.take())
        clock.now += 0.08
    assert 1_000 - given_out <= MOST_PATIENCE_S / 0.08 + 1
    assert answers.filled >= 40


def test_late_sound_does_not_make_the_call_late_for_good() -> None:
    answers, clock = timed()
    for _ in range(40):
        answers.owe()
    clock.now = 3
    assert len(answers.take()) == 40
    for _ in range(40):
        answers.hear(SILENCE)
    answers.owe()
    answers.hear(LOUD)
    assert answers.take()[0].audio.max() == 0.5


def test_text_goes_with_the_frame_that_follows_it() -> None:
    answers, _ = timed()
    answers.owe()
    answers.read(" Good")
    answers.read(" day")
    assert answers.take() == []
    answers.hear(SILENCE)
    assert answers.take()[0].text == " Good day"
