"""A process that takes no more calls leaves its callers to one that does; where there is none, they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.line import sentences
from agent.line.answer import CallDesk
from crm.call import NewCall
from crm.store import CallStore
from personas.db import Database
from personas.numbers import NumberSettings
from telephony.carrier import ConnectStream, Hold, InboundCall, NextAsked, SayAndHangUp
from tests.agent.exchange import NUMBER, ScriptedEngine, card
from tests.agent.line.test_answer import Front

RINGING = InboundCall("twilio", "CA1", "AC1", "+15550199", NUMBER)
WAITED = NextAsked("CA1", "AC1", "in-progress", "wait", 1)


@pytest.fixture
async def front(tmp_path: Path, database: Database) -> Front:
    front = Front(tmp_path, database, ScriptedEngine())
    await front.personas.import_cards([card()])
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help", on_full="wait"))
    return front


@asynccontextmanager
async def two(front: Front) -> AsyncIterator[tuple[CallDesk, CallDesk]]:
    """Two processes of one database that know of each other."""
    other = replace(front.board, calls=CallStore(front.calls.database, "elsewhere:1"))
    async with CallDesk(front.board) as desk, CallDesk(other) as elsewhere:
        await until_any_other(desk, True)
        await until_any_other(elsewhere, True)
        yield desk, elsewhere


async def until_any_other(desk: CallDesk, expected: bool) -> None:
    """Wait until a process knows of another, or of none."""
    async with asyncio.timeout(10):
        while True:
            if await desk._colleagues.any_other() is expected:
                return
            await asyncio.sleep(0.02)


async def test_a_waiting_caller_is_admitted_by_the_other_process(front: Front) -> None:
    front.engine.slots = 0
    async with two(front) as (desk, elsewhere):
        assert await desk.answer(RINGING) == Hold(1, sentences.PLEASE_WAIT)
        desk.draining = True
        front.engine.slots = 1
        assert await desk.what_next(WAITED) == Hold(1)
        answer = await elsewhere.what_next(WAITED)
        assert isinstance(answer, ConnectStream)
        assert await front.calls.claim("CA1", "AC1", answer.parameters["nonce"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_call_that_rings_is_answered_by_the_other_process(front: Front) -> None:
    async with two(front) as (desk, elsewhere):
        desk.draining = True
        assert await desk.answer(RINGING) == Hold(1)
        assert await desk.answer(RINGING) == Hold(1, sentences.PLEASE_WAIT)
        assert front.engine.sessions == []
        assert isinstance(await elsewhere.what_next(WAITED), ConnectStream)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_call_that_the_shutdown_cut_off_goes_on_in_the_other_process(front: Front) -> None:
    version = await front.personas.published("acme-help")
    async with two(front) as (desk, elsewhere):
        call = (await front.calls.open_call(NewCall("twilio", "CA1", "AC1", "", NUMBER, "", version.id))).call
        await front.calls.finish(call.id, status="ended", outcome="gateway_lost")
        await desk.close()
        stream_over = NextAsked("CA1", "AC1", "in-progress", part=1)
        assert await desk.what_next(stream_over) == Hold(2, sentences.ONE_MOMENT)
        answer = await elsewhere.what_next(replace(WAITED, part=2))
        assert isinstance(answer, ConnectStream)
        assert answer.part == 2
    assert (await front.calls.parts("twilio", "CA1"))[1].continues == call.id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nobody_who_waits_is_left_by_the_last_process(front: Front) -> None:
    """Their next requests would find no server: it stays until they were told, or the human has come."""
    front.engine.slots = 0
    async with front.desk() as desk:
        await desk.answer(RINGING)
        desk._hand_offs._waiting.hear("CA2")
        desk.draining = True
        stopping = asyncio.ensure_future(desk.until_idle())
        assert isinstance(await desk.what_next(WAITED), SayAndHangUp)
        desk._hand_offs._waiting.hear("CA2")
        await asyncio.sleep(0.05)
        assert not stopping.done()
        desk._hand_offs._waiting.leave("CA2")
        async with asyncio.timeout(10):
            await stopping


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_where_all_take_no_more_calls_callers_are_told(front: Front) -> None:
    front.engine.slots = 0
    async with two(front) as (desk, elsewhere):
        await desk.answer(RINGING)
        desk.draining = elsewhere.draining = True
        await until_any_other(desk, False)
        assert isinstance(await desk.what_next(WAITED), SayAndHangUp)
        other_call = replace(RINGING, call_id="CA2")
        assert await desk.answer(other_call) == SayAndHangUp(sentences.REFUSALS["engine_unavailable"])
