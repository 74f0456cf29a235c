"""Our own sentences take their turn, and after what ends a call nothing more is heard."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.duplex import FRAME_SAMPLES, AgentFrame, Samples
from agent.pipeline import announcer as announcer_module
from agent.pipeline.announcer import PAUSE_WITHIN_FRAMES, Announcement, Announcer
from agent.pipeline.attendant import Attendant, Duties
from agent.pipeline.ending import AGENT_HUNG_UP, CallEnd
from agent.pipeline.frames import AgentAudio
from personas.library import load_library

LOUD = (np.full(640, 3_000) * np.tile([1, -1], 320)).astype(np.int16)
QUIET = np.zeros(640, np.int16)
SILENCE: Samples = np.zeros(FRAME_SAMPLES, np.float32)
BANK = next(card for card in load_library() if card.slug == "copperfield-bank")


async def speak(text: str, voice: str) -> np.ndarray:
    """A voice of 100 ms a word."""
    return np.full(800 * len(text.split()), 1_000, np.int16)


async def announcing(*announcements: Announcement) -> Announcer:
    announcer = Announcer(speak, "NATF0", CallEnd(), lambda kind, detail: None)
    for announcement in announcements:
        announcer.announce(announcement)
    await asyncio.sleep(0.01)
    return announcer


async def test_words_are_spread_over_a_sentence_and_the_end_comes_with_its_last_frame() -> None:
    announcer = await announcing(Announcement("x", "One moment please", AGENT_HUNG_UP, urgent=True))
    frames = [announcer.next_frame(agent_pauses=False) for _ in range(5)]
    assert [frame is not None for frame in frames] == [True] * 4 + [False]
    assert "".join(frame.text for frame in frames if frame) == " One moment please"
    assert [frame.text for frame in frames if frame] == [" One moment", "", " please", ""]
    assert [frame.ends for frame in frames if frame] == [None] * 3 + [AGENT_HUNG_UP]


async def test_what_is_not_urgent_waits_for_a_pause_but_not_for_long() -> None:
    announcer = await announcing(Announcement("x", "two words"), Announcement("y", "one"))
    assert [announcer.next_frame(agent_pauses=False) for _ in range(5)] == [None] * 5
    assert announcer.next_frame(agent_pauses=True) is not None
    assert [announcer.next_frame(agent_pauses=False) is not None for _ in range(3)] == [True, True, False]
    waited = 1
    while announcer.next_frame(agent_pauses=False) is None:
        waited += 1
    assert waited == PAUSE_WITHIN_FRAMES


async def test_a_voice_that_hangs_keeps_nobody_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "SPEAKS_WITHIN_S", 0.05)

    async def never(text: str, voice: str) -> np.ndarray:
        await asyncio.sleep(60)
        raise AssertionError

    notes: list[tuple[str, str]] = []
    end = CallEnd()
    announcer = Announcer(never, "", end, lambda kind, detail: notes.append((kind, detail)))
    announcer.announce(Announcement("handoff", "One moment", AGENT_HUNG_UP))
    async with asyncio.timeout(10):
        assert await end.wait() == AGENT_HUNG_UP
    assert notes == [("announcement_left_out", "handoff")]


pieces = st.sampled_from(["", " I'm", " connecting you", " with our", " fraud team", ".", " well,", " 5"])
moments = st.one_of(
    st.tuples(st.just("said"), pieces, st.booleans(), st.booleans()),
    st.tuples(st.just("heard"), st.booleans()),
    st.tuples(st.just("key"), st.sampled_from("0123456789*#")),
    st.tuples(st.just("warn")),
)


@given(st.lists(moments, max_size=120))
def test_whatever_happens_there_is_one_end_and_nothing_is_heard_after_it(happening: list[tuple]) -> None:
    async def live() -> list[AgentAudio]:
        attendant = Attendant(Duties(BANK, speak=speak, may_hand_off=lambda handoff: True), CallEnd(), lambda *_: None)
        said = []
        for kind, *values in happening:
            if kind == "said":
                text, loud, ends = values
                frame = AgentFrame(len(said), SILENCE, text=text, ends_call=ends and text == ".")
                said.append(attendant.said(frame, LOUD if loud or text else QUIET))
            elif kind == "heard":
                attendant.heard(LOUD if values[0] else QUIET)
            elif kind == "key":
                attendant.key(values[0])
                await asyncio.sleep(0)
            else:
                attendant.warn(30)
        attendant.close()
        return said

    said = asyncio.run(live())
    ends = [index for index, each in enumerate(said) if each.ends]
    assert len(ends) <= 1
    for each in said[ends[0] + 1 :] if ends else []:
        assert each.silent
        assert not each.text
        assert not each.pcm.any()
    assert all(len(each.pcm) == 640 for each in said)
