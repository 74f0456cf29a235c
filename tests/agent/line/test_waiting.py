"""What callers meet when the engine has no slot: they are told, get the number's human, or wait for one."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from agent.duplex import AgentFrame, EngineLost
from agent.pipeline.ending import Ending
from crm.tables import CallRow
from telephony.simulator import HangUp, Pause
from tests.agent.conftest import Open
from tests.agent.exchange import TONE, Exchange, ScriptedEngine
from tests.agent.line.dialling import dial, parts_of, set_number, until


@pytest.fixture
async def full(open_exchange: Open) -> Exchange:
    where = await open_exchange(ScriptedEngine(slots=1))
    await set_number(where)
    return where


async def test_a_full_engine_is_busy(full: Exchange) -> None:
    async with full.call():
        result = await dial(full)
    assert result.steps == ("Say", "Hangup")
    assert "busy" in result.sentences[0]


async def test_a_full_engine_leads_to_the_human(full: Exchange) -> None:
    await set_number(full, on_full="human")
    async with full.call():
        result = await dial(full, Pause(60_000))
    assert result.steps == ("Say", "Dial", "Hangup")
    (call,) = await parts_of(full, result)
    assert (call.status, call.outcome, call.handoff_result) == ("refused", "engine_full", "over")


async def test_a_caller_waits_for_a_slot_and_gets_it(full: Exchange) -> None:
    await set_number(full, on_full="wait")
    async with asyncio.TaskGroup() as group:
        async with full.call():
            waiting = group.create_task(dial(full, Pause(100_000), speed=5))
            await until(lambda: full.state.desk._lobby._clocks)
        await until(lambda: len(full.state.engine.sessions) == 2 and full.state.desk._live)
        next(iter(full.state.desk._live.values())).settle(Ending("agent_hung_up"))
    result = waiting.result()
    assert result.steps[:3] == ("Say", "Play", "Redirect")
    assert result.steps[-2:] == ("Connect", "Hangup")
    assert not result.errors
    assert [part.outcome for part in await parts_of(full, result)] == ["agent_hung_up"]


async def test_a_caller_whose_engine_is_lost_and_full_waits_and_goes_on(full: Exchange) -> None:
    await set_number(full, on_full="wait")
    engine = full.state.engine

    def play(index: int) -> AgentFrame | Exception:
        if index >= 6 and len(engine.sessions) == 1:
            engine.slots = 0
            return EngineLost("It is gone.")
        return AgentFrame(index, TONE, text=" Bicycles." if index == 1 else "")

    engine.play = play
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(dial(full, Pause(100_000), speed=10))
        await until(lambda: full.state.desk._lobby._clocks)
        engine.slots = 1
        await until(lambda: len(engine.sessions) == 2 and full.state.desk._live)
        next(iter(full.state.desk._live.values())).settle(Ending("agent_hung_up"))
    result = waiting.result()
    assert result.steps[:4] == ("Connect", "Say", "Play", "Redirect")
    assert result.steps[-2:] == ("Connect", "Hangup")
    assert "stay on the line" in result.sentences[0]
    assert not result.errors
    assert [part.outcome for part in await parts_of(full, result)] == ["engine_lost", "agent_hung_up"]
    assert "Bicycles" in engine.roles[1].text


async def test_a_caller_waits_no_longer_than_the_number_is_set_to(full: Exchange) -> None:
    await set_number(full, on_full="wait", wait_limit_s=60)
    async with full.call(), asyncio.TaskGroup() as group:
        waiting = group.create_task(dial(full, Pause(100_000)))
        await until(lambda: full.state.desk._lobby._clocks)
        async with full.state.database.session() as session:
            long_ago = datetime.now(UTC) - timedelta(seconds=61)
            await session.execute(update(CallRow).where(CallRow.status == "waiting").values(created_at=long_ago))
    result = waiting.result()
    assert result.steps[-2:] == ("Dial", "Hangup")
    (call,) = await parts_of(full, result)
    assert (call.status, call.outcome, call.handoff_result) == ("ended", "engine_full", "over")


async def test_a_caller_who_hangs_up_while_waiting_has_abandoned(full: Exchange) -> None:
    await set_number(full, on_full="wait")
    async with full.call():
        result = await dial(full, Pause(6_000), HangUp())
    (call,) = await parts_of(full, result)
    assert (call.status, call.outcome) == ("ended", "abandoned")
