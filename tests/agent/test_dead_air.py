"""Nobody is left in silence while an agent takes its time: it rings until the agent is there, and keys work."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from agent.duplex import AgentFrame, EngineLost, RolePrompt
from agent.own_voice import OwnVoice
from agent.pipeline import attendant
from crm.call import Handoff
from crm.tracks import TRACKS
from personas.numbers import NumberSettings
from telephony.simulator import HangUp, Pause, Phone, ScriptedCaller
from telephony.simulator.signing import new_sid
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, SILENCE, TOKEN, TONE, Exchange, ScriptedEngine, ScriptedSession, nonce_of
from tests.agent.line.phone import Line

HUMAN = "+15550177"


@pytest.fixture(autouse=True)
def soon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it ring early, but where a test goes by the clock: frames come 16 times as fast as in a call."""
    if "by_the_clock" not in request.node.name:
        monkeypatch.setattr(attendant, "RINGS_AFTER_S", 0.2)


async def late_events(where: Exchange, call_id: str) -> list[str]:
    return [event.detail for event in await where.state.calls.events(call_id) if event.kind == "agent_late"]


def longest_silence_ms(heard: np.ndarray) -> int:
    """How long nothing was heard, in 20 ms, from the stream's begin to its end."""
    loud = np.abs(heard.reshape(-1, 160)).max(axis=1) > 100
    edges = np.flatnonzero(np.concatenate(([True], loud, [True])))
    return int(np.diff(edges).max() - 1) * 20


async def test_it_rings_until_the_role_prompt_is_in(open_exchange: Open) -> None:
    engine = ScriptedEngine(lambda index: AgentFrame(index, SILENCE), ready_after=asyncio.Event())
    assert engine.ready_after
    where = await open_exchange(engine, caller_silence_s=0.6, agent_mute_s=0.6)
    async with where.call() as stream:
        line = Line(stream)
        assert not await line.live(10, pcm=3_000, until=lambda: sum(line.loud) >= 10)  # who waits is not "silent"
        engine.ready_after.set()
        assert not await line.live(10, until=lambda: bool(engine.sessions[0].heard))
        line.loud.clear()
        assert not await line.live(0.4)
        assert not any(line.loud[3:])
        await stream.send("stop", stop={})
        await stream.closed()
    row = await where.row(stream.call_id)
    assert row.outcome == "caller_hung_up"
    (waited,) = await late_events(where, row.id)
    assert float(waited.removesuffix(" s")) >= 0.8
    assert not where.state.recordings.tracks(row.recording)[:, TRACKS["agent"]].any()
    assert {turn.side for turn in await where.state.calls.turns(row.id)} <= {"caller"}
    assert "agent_level_dbfs" not in row.timing


async def test_it_rings_while_a_slot_reserved_elsewhere_is_opened_here(open_exchange: Open) -> None:
    """Another process answered the webhook, and the engine takes its time to open a session."""
    engine, opens = ScriptedEngine(lambda index: AgentFrame(index, SILENCE)), asyncio.Event()
    where = await open_exchange(engine)
    open_now = engine.open

    async def open_late(role: RolePrompt) -> ScriptedSession:
        await opens.wait()
        return await open_now(role)

    for hangs_up in (True, False):
        opens.clear()
        engine.open = open_now
        call_id = new_sid("CA")
        nonce = nonce_of(await where.ring(call_id))
        await where.state.desk._reservations.release(call_id)
        engine.open = open_late
        async with where.stream(call_id, nonce) as stream:
            line = Line(stream)
            assert not await line.live(10, until=lambda line=line: sum(line.loud) >= 5)
            if not hangs_up:
                opens.set()
                assert not await line.live(10, until=lambda: bool(engine.sessions[-1].heard))
            await stream.send("stop", stop={})
            await stream.closed()
        assert (await where.row(call_id)).outcome == "caller_hung_up"
        assert engine.capacity().used == 0


async def test_0_leads_to_a_human_before_the_agent_is_there(open_exchange: Open) -> None:
    await asyncio.to_thread(OwnVoice("auto").load)
    engine = ScriptedEngine(ready_after=asyncio.Event())
    where = await open_exchange(engine)
    await where.state.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=HUMAN))
    async with where.call() as stream:
        line = Line(stream)
        await stream.send("dtmf", dtmf={"digit": "0"})
        assert await line.live()
    row = await where.row(stream.call_id)
    assert (row.outcome, row.handoff) == ("transferred", Handoff("cold", "", "dtmf"))
    (turn,) = await where.state.calls.turns(row.id)
    assert (turn.side, turn.text.strip()) == ("agent", attendant.ONE_MOMENT)
    assert engine.sessions[0].heard == []


async def test_it_rings_where_an_engine_stalls_until_it_is_back(open_exchange: Open) -> None:
    engine = ScriptedEngine(lambda index: AgentFrame(index, TONE if index < 5 else SILENCE))
    where = await open_exchange(engine, engine_stall_s=5)
    async with where.call() as stream:
        line = Line(stream)
        assert not await line.live(10, until=lambda: len(line.loud) >= 8 and not line.loud[-1])
        (session,) = engine.sessions
        push, session.push = session.push, lambda frame: session.heard.append(frame)  # takes all, answers nothing
        assert not await line.live(60, until=lambda: sum(line.loud) >= 10)
        session.push = push
        line.loud.clear()
        assert not await line.live(0.5)
        assert not any(line.loud[3:])
        await stream.send("stop", stop={})
        await stream.closed()
    row = await where.row(stream.call_id)
    assert row.outcome == "caller_hung_up"
    assert len(await late_events(where, row.id)) == 1


async def test_nobody_is_in_dead_air_by_the_clock(open_exchange: Open) -> None:
    """The first engine is lost, and the one after it takes its time with the role prompt."""
    engine = ScriptedEngine(ready_after=asyncio.Event())
    ready = engine.ready_after
    assert ready
    ready.set()

    def play(index: int) -> AgentFrame | Exception:
        if index == 4 and len(engine.sessions) == 1:
            ready.clear()
            asyncio.get_running_loop().call_later(2.6, ready.set)
            return EngineLost("It is gone.")
        return AgentFrame(index, TONE)

    engine.play = play
    where = await open_exchange(engine)
    caller = ScriptedCaller((Pause(3_800), HangUp()), patience_ms=0)
    async with asyncio.timeout(30):
        result = await Phone(where.url, TOKEN).call(caller, to_number=NUMBER)
    assert result.steps == ("Connect", "Say", "Connect")
    assert not result.errors
    assert longest_silence_ms(result.streams[1].heard) < 2_000
    assert result.streams[1].backlog_ms <= 200
    await where.row(result.call_id)
    first, second = await where.state.calls.parts("twilio", result.call_id)
    assert len(await late_events(where, second.id)) == 1
    assert not await late_events(where, first.id)


async def test_it_rings_while_the_database_is_locked_by_the_clock(open_exchange: Open, tmp_path: Path) -> None:
    """The socket is there, but which call it carries can't be looked up yet."""
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, TONE)))
    call_id = new_sid("CA")
    nonce = nonce_of(await where.ring(call_id))
    with closing(sqlite3.connect(tmp_path / "parley.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with where.stream(call_id, nonce) as stream:
            began_s = asyncio.get_running_loop().time()
            while not (await stream.heard()).any():
                pass
            assert asyncio.get_running_loop().time() - began_s < 2
            assert (await where.state.calls.call_by_carrier_id("twilio", call_id)).status == "ringing"
            other.execute("COMMIT")
            await stream.frames(2)
            await stream.receive("mark", 10)
            await stream.send("stop", stop={})
            await stream.closed()
    assert (await where.row(call_id)).outcome == "caller_hung_up"
