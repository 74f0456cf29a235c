"""What every engine keeps: the test finds the engines by itself, and skips one whose packages are not installed."""

import asyncio
import pkgutil
from collections.abc import AsyncIterator, Iterator
from importlib import import_module

import numpy as np
import pytest
import pytest_asyncio

import agent.engines
from agent.duplex import (
    FRAME_SAMPLES,
    AgentFrame,
    DuplexEngine,
    DuplexSession,
    EngineFull,
    EngineUnavailable,
    RoleCard,
    RolePrompt,
    Samples,
    load_engine,
)
from agent.engines.loopback import LoopbackEngine
from tests.agent.engines.chat_server import served_beside

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one engine for the module: some take seconds to load

SLOTS = 2
OPTIONS: dict[str, dict[str, str]] = {"personaplex": {"engine_checkpoint": "tiny", "engine_device": "cpu"}}
"""What an engine needs to run in a test, where that is more than ``engine_slots``; ``remote`` needs a server."""

ENGINES = [
    found.name
    for found in pkgutil.iter_modules(agent.engines.__path__)
    if found.ispkg and hasattr(import_module(f"agent.engines.{found.name}"), "create")
]

CARD = RoleCard(
    agent_name="Dana",
    company="Northwind Waste",
    role="dispatcher",
    greeting="Northwind Waste, this is Dana. How can I help you?",
    unknown_say="I don't know that.",
    off_topic_say="Let's stay with your waste.",
    rude_say="I want to help.",
    closing_say="Goodbye!",
)
ROLE = RolePrompt(text="You are Dana of Northwind Waste.", voice="NATF2", card=CARD)


@pytest.fixture(scope="module", params=ENGINES)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "remote":
        yield request.param
        return
    with served_beside(LoopbackEngine(slots=100, delay_frames=0)) as address:
        OPTIONS["remote"] = {"engine_url": f"ws://{address}"}
        yield request.param


async def started(name: str) -> DuplexEngine:
    try:
        engine = load_engine(name, {"engine_slots": str(SLOTS), **OPTIONS.get(name, {})})
        await engine.start()
    except EngineUnavailable as error:
        pytest.skip(str(error))
    return engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(name: str) -> AsyncIterator[DuplexEngine]:
    engine = await started(name)
    yield engine
    await engine.close()


def noise(frames: int, seed: int = 0) -> list[Samples]:
    return list(np.random.default_rng(seed).normal(0, 0.01, (frames, FRAME_SAMPLES)).astype(np.float32))


async def take(session: DuplexSession, count: int) -> list[AgentFrame]:
    async with asyncio.timeout(20):
        taken = []
        async for frame in session.frames():
            taken.append(frame)
            if len(taken) == count:
                return taken
    raise AssertionError("the frames ended early")


async def test_one_frame_out_for_each_frame_in(engine: DuplexEngine) -> None:
    session = await engine.open(ROLE)
    sent = noise(40)
    for frame in sent[:10]:
        session.push(frame)  # frames may come before the session is ready
    await session.ready()
    for frame in sent[10:]:
        session.push(frame)
    frames = await take(session, len(sent))
    assert [frame.index for frame in frames] == list(range(len(sent)))
    for frame in frames:
        assert frame.audio.shape == (FRAME_SAMPLES,)
        assert frame.audio.dtype == np.float32
        assert np.abs(frame.audio).max() <= 1.0
        assert np.isfinite(frame.audio).all()
    await session.close()


async def test_nothing_comes_out_that_was_not_asked_for(engine: DuplexEngine) -> None:
    session = await engine.open(ROLE)
    await session.ready()
    session.push(noise(1)[0])
    await take(session, 1)
    waiting = asyncio.ensure_future(anext(aiter(session.frames())))
    _, pending = await asyncio.wait([waiting], timeout=0.3)
    assert pending
    await session.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_a_full_engine_says_so_and_a_closed_session_frees_its_slot(engine: DuplexEngine) -> None:
    sessions = [await engine.open(ROLE) for _ in range(SLOTS)]
    assert (engine.capacity().slots, engine.capacity().used) == (SLOTS, SLOTS)
    with pytest.raises(EngineFull):
        await engine.open(ROLE)
    await sessions[0].close()
    assert engine.capacity().used == SLOTS - 1
    again = await engine.open(ROLE)
    await again.ready()
    for session in (*sessions, again):
        await session.close()
    assert engine.capacity().used == 0


async def test_closing_ends_the_frames_and_twice_is_harmless(engine: DuplexEngine) -> None:
    session = await engine.open(ROLE)
    await session.ready()
    session.push(noise(1)[0])
    reader = asyncio.ensure_future(_all(session))
    await asyncio.sleep(0.05)
    await session.close()
    await session.close()
    session.push(noise(1)[0])  # ignored
    async with asyncio.timeout(5):
        assert len(await reader) <= 1


async def _all(session: DuplexSession) -> list[AgentFrame]:
    return [frame async for frame in session.frames()]


async def test_a_session_closed_at_once_leaves_nothing(engine: DuplexEngine) -> None:
    before = asyncio.all_tasks()
    session = await engine.open(ROLE)
    await session.close()
    assert engine.capacity().used == 0
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


async def test_closing_the_engine_ends_its_sessions_and_leaves_no_task(name: str) -> None:
    before = asyncio.all_tasks()
    engine = await started(name)
    sessions = [await engine.open(ROLE) for _ in range(SLOTS)]
    for session in sessions:
        await session.ready()
        for frame in noise(5):
            session.push(frame)
    readers = [asyncio.ensure_future(_all(session)) for session in sessions]
    await asyncio.sleep(0.05)
    await engine.close()
    async with asyncio.timeout(5):
        for reader in readers:
            await reader
    assert engine.capacity().used == 0
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


async def test_calls_are_not_mixed(engine: DuplexEngine) -> None:
    """What one call hears doesn't change with what its neighbour says."""
    alone = await _answers(engine, [noise(30, seed=1)])
    beside = await _answers(engine, [noise(30, seed=1), noise(30, seed=2)])
    assert [frame.text for frame in alone[0]] == [frame.text for frame in beside[0]]
    assert all(np.array_equal(a.audio, b.audio) for a, b in zip(alone[0], beside[0], strict=True))


async def _answers(engine: DuplexEngine, callers: list[list[Samples]]) -> list[list[AgentFrame]]:
    sessions = [await engine.open(RolePrompt(ROLE.text, ROLE.voice, CARD, seed=1)) for _ in callers]
    readers = []
    for session, frames in zip(sessions, callers, strict=True):
        await session.ready()
        readers.append(asyncio.ensure_future(take(session, len(frames))))
    await asyncio.sleep(0.3)  # an opening line may still be in the making
    for together in zip(*callers, strict=True):
        for session, frame in zip(sessions, together, strict=True):
            session.push(frame)
    answers = [await reader for reader in readers]
    for session in sessions:
        await session.close()
    return answers


async def test_a_frame_of_the_wrong_size_is_a_clear_error(engine: DuplexEngine) -> None:
    session = await engine.open(ROLE)
    with pytest.raises(ValueError, match=str(FRAME_SAMPLES)):
        session.push(np.zeros(100, np.float32))
    await session.close()
