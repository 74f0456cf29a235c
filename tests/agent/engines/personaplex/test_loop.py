"""Many calls on one device thread: nobody waits for a slow caller, backlogs are bounded, failures stay local."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from agent.duplex import (
    FRAME_SAMPLES,
    AgentFrame,
    EngineFull,
    EngineLost,
    EngineUnavailable,
    RoleCard,
    RolePrompt,
    Sampling,
)
from agent.engines.personaplex import create
from agent.engines.personaplex.engine import PersonaPlexEngine, PersonaPlexSession
from agent.engines.personaplex.errors import PromptError, VoiceError
from agent.engines.personaplex.loop import BACKLOG_FRAMES, MOST_BACKLOG_FRAMES

CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
ROLE = RolePrompt("You are Dana.", "NATF2", CARD, seed=1)
NOISE = np.random.default_rng(0).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32)
SILENCE = np.zeros(FRAME_SAMPLES, np.float32)


@pytest.fixture
async def engine() -> AsyncIterator[PersonaPlexEngine]:
    engine = create({"engine_checkpoint": "tiny", "engine_device": "cpu", "engine_slots": "3"})
    assert isinstance(engine, PersonaPlexEngine)
    await engine.start()
    yield engine
    await engine.close()


async def opened(engine: PersonaPlexEngine, role: RolePrompt = ROLE) -> PersonaPlexSession:
    session = await engine.open(role)
    await session.ready()
    return session


async def take(session: PersonaPlexSession, count: int) -> list[AgentFrame]:
    taken: list[AgentFrame] = []
    async with asyncio.timeout(20):
        async for frame in session.frames():
            taken.append(frame)
            if len(taken) == count:
                break
    return taken


async def test_a_caller_who_is_gone_slows_nobody(engine: PersonaPlexEngine) -> None:
    gone, here = await opened(engine), await opened(engine)
    gone.push(NOISE)
    await take(gone, 1)
    for _ in range(5):
        here.push(NOISE)
        assert len(await take(here, 1)) == 1  # though the other one sends nothing


async def test_a_caller_who_is_too_fast_is_cut_to_a_bounded_backlog_silence_first(engine: PersonaPlexEngine) -> None:
    session = await engine.open(ROLE)
    loop = engine._loop
    assert loop is not None
    with loop._wake:  # the device's thread can't take a frame meanwhile
        for n in range(2 * BACKLOG_FRAMES):
            session.push(SILENCE if n % 2 else NOISE)
    await session.ready()
    frames = await take(session, BACKLOG_FRAMES)
    assert engine.counters.shed_frames == BACKLOG_FRAMES
    assert [frame.index for frame in frames] == list(range(0, 2 * BACKLOG_FRAMES, 2))


async def test_speech_is_shed_only_beyond_ten_seconds(engine: PersonaPlexEngine) -> None:
    session = await engine.open(ROLE)
    extra = 20
    loop = engine._loop
    assert loop is not None
    with loop._wake:  # the device's thread can't take a frame meanwhile
        for _ in range(MOST_BACKLOG_FRAMES + extra):
            session.push(NOISE)
    await session.ready()
    frames = await take(session, MOST_BACKLOG_FRAMES)
    assert [frame.index for frame in frames] == list(range(extra, MOST_BACKLOG_FRAMES + extra))
    assert engine.counters.shed_frames == extra


async def test_frames_that_wait_longer_than_they_last_are_counted_as_late(engine: PersonaPlexEngine) -> None:
    session = await opened(engine)
    loop = engine._loop
    assert loop is not None
    session.push(NOISE)
    await take(session, 1)
    before = engine.counters.late_frames
    with loop._wake:
        session.push(NOISE)
        await asyncio.sleep(0.1)
    await take(session, 1)
    assert engine.counters.late_frames == before + 1


async def test_a_prompt_that_does_not_fit_is_refused_before_it_takes_a_slot(engine: PersonaPlexEngine) -> None:
    neighbour = await opened(engine)
    with pytest.raises(PromptError, match="takes 2039 frames, 2002 of them text; at most 512 fit"):
        await engine.open(RolePrompt("word " * 2000, "NATF2", CARD))
    assert engine.capacity().used == 1
    longest = await opened(engine, RolePrompt("word " * (512 - 25 - 12 - 2), "NATF2", CARD))
    for session in (neighbour, longest):
        session.push(NOISE)
        assert len(await take(session, 1)) == 1


async def test_of_calls_that_come_together_as_many_are_taken_as_there_are_slots(engine: PersonaPlexEngine) -> None:
    came = await asyncio.gather(*(engine.open(ROLE) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in came].count(EngineFull) == 2
    assert engine.capacity().used == 3


async def test_a_voice_or_a_way_of_drawing_that_does_not_exist_is_refused_at_once(engine: PersonaPlexEngine) -> None:
    with pytest.raises(VoiceError, match="NATF9"):
        await engine.open(RolePrompt("", "NATF9", CARD))
    with pytest.raises(PromptError, match="top-k"):
        await engine.open(RolePrompt("", "NATF1", CARD, Sampling(audio_top_k=0)))
    with pytest.raises(PromptError, match="temperature"):
        await engine.open(RolePrompt("", "NATF1", CARD, Sampling(text_temperature=-1)))
    assert engine.capacity().used == 0


async def test_an_empty_prompt_and_any_seed_are_taken(engine: PersonaPlexEngine) -> None:
    for seed in (None, 0, -5, 2**70):
        session = await opened(engine, RolePrompt("", "VARM4.pt", CARD, seed=seed))
        session.push(NOISE)
        assert len(await take(session, 1)) == 1
        await session.close()


async def test_the_second_call_with_a_prompt_takes_a_copy_and_says_the_same(engine: PersonaPlexEngine) -> None:
    heard = []
    for _ in range(2):
        session = await opened(engine)
        for _ in range(10):
            session.push(NOISE)
        heard.append([(frame.text, frame.audio.tobytes()) for frame in await take(session, 10)])
        await session.close()
    assert heard[0] == heard[1]
    assert engine._ticker is not None
    assert engine._ticker.images.hits == 1


async def test_a_device_that_fails_loses_the_calls_and_takes_no_more(
    engine: PersonaPlexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(engine)

    monkeypatch.setattr(engine._ticker, "tick", failing_tick)
    session.push(NOISE)
    with pytest.raises(EngineLost, match="The device failed"):
        await take(session, 1)
    with pytest.raises(EngineUnavailable, match="restart the engine"):
        await engine.open(ROLE)


def failing(*_: object) -> Iterator[None]:
    raise RuntimeError("CUDA error: out of memory")
    yield


async def test_a_prompt_that_fails_loses_its_call_alone(engine: PersonaPlexEngine) -> None:
    neighbour = await opened(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._ticker, "take_in", failing)
        session = await engine.open(ROLE)
        with pytest.raises(EngineLost, match="The device failed"):
            await session.ready()
    assert (engine.capacity().used, engine.failure, engine.counters.lost_calls) == (1, "", 1)
    neighbour.push(NOISE)
    assert len(await take(neighbour, 1)) == 1
    await opened(engine)


async def test_a_prompt_that_fails_with_its_device_is_no_prompt_s_failure(
    engine: PersonaPlexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has failed for good fails in prompts first, where no call ticks."""
    monkeypatch.setattr(engine._ticker, "take_in", failing)
    monkeypatch.setattr(engine._ticker, "tick", failing_tick)
    session = await engine.open(ROLE)
    with pytest.raises(EngineLost, match="The device failed"):
        await session.ready()
    assert engine._loop is not None
    await asyncio.to_thread(engine._loop._thread.join, 10)
    assert "restart the engine" in engine.failure
    with pytest.raises(EngineUnavailable, match="restart the engine"):
        await engine.open(ROLE)


async def test_a_call_that_comes_while_the_device_fails_is_refused(
    engine: PersonaPlexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(engine)
    ticker, loop = engine._ticker, engine._loop
    assert ticker is not None
    assert loop is not None
    monkeypatch.setattr(ticker, "tick", failing_tick)
    vacancy = engine._vacancy

    def found_just_before(*_: object) -> object:
        found = vacancy()
        if not loop.failure:
            session.push(NOISE)
            loop._thread.join(10)
        return found

    monkeypatch.setattr(engine, "_vacancy", found_just_before)
    with pytest.raises(EngineUnavailable, match="restart the engine"):
        await engine.open(ROLE)
    assert engine.capacity().used <= 1


def failing_tick(frames: object) -> dict[int, object]:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


async def test_callers_who_are_gone_before_their_prompt_is_in_keep_nobody_waiting(
    engine: PersonaPlexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbour, loop = await opened(engine), engine._loop
    assert loop is not None
    ticks: list[int] = []
    is_in = loop._prompt_is_in
    monkeypatch.setattr(loop, "_prompt_is_in", lambda call: (ticks.append(loop.counters.ticks), is_in(call)))
    with loop._wake:  # the device's thread can't go on meanwhile
        for _ in range(100):
            await (await engine.open(ROLE)).close()
        session = await engine.open(ROLE)
        for _ in range(MOST_BACKLOG_FRAMES):
            neighbour.push(NOISE)
        before = loop.counters.ticks
    await session.ready()
    assert ticks[0] - before < 20


async def test_fifty_calls_in_and_out_leave_no_slot_taken(engine: PersonaPlexEngine) -> None:
    for n in range(50):
        session = await engine.open(ROLE)
        session.push(NOISE)
        if n % 3:
            await session.ready()
        if n % 2:
            await take(session, 1) if n % 3 else None
        await session.close()
    assert engine.capacity().used == 0
    last = await opened(engine)
    last.push(NOISE)
    assert len(await take(last, 1)) == 1


async def test_sound_that_is_no_number_harms_nobody(engine: PersonaPlexEngine) -> None:
    session = await opened(engine)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        session.push(np.full(FRAME_SAMPLES, value, np.float32))
    session.push(NOISE)
    for frame in await take(session, 5):
        assert np.isfinite(frame.audio).all()


async def test_a_call_longer_than_the_context_is_re_anchored_in_its_stride() -> None:
    engine = create({"engine_checkpoint": "tiny", "engine_device": "cpu", "engine_slots": "2", "engine_anchor_s": "2"})
    assert isinstance(engine, PersonaPlexEngine)
    await engine.start()
    assert engine._ticker is not None
    engine._ticker._schedule.latest_steps = 150  # instead of waiting until the ring is nearly full
    session, neighbour = await opened(engine), await opened(engine)
    frames = 200
    for pushed in range(0, frames, 20):
        for _ in range(20):
            session.push(NOISE)
            neighbour.push(NOISE)
        ours, theirs = await asyncio.gather(take(session, 20), take(neighbour, 20))
        assert [frame.index for frame in ours] == list(range(pushed, pushed + 20))
        assert len(theirs) == 20
    assert 2 <= engine.counters.anchors <= 6
    assert engine.counters.shed_frames == 0
    await engine.close()
