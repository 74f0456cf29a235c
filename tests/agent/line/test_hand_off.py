"""A warm hand-off, request by request: the human takes the call or does not, and the caller asks again meanwhile."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.line import hand_off
from crm.call import Handoff, HandoffResult, NewCall
from crm.store import CallStore
from personas.db import Database
from personas.numbers import NumberSettings
from telephony.carrier import BriefHuman, ConnectStream, HangUp, Hold, JoinRoom, NextAsked, SayAndHangUp
from telephony.carriers.twilio import TwilioCarrier
from tests.agent.exchange import NUMBER, ScriptedEngine, card
from tests.agent.line.test_answer import Front

HUMAN = "+15550111"
WAITED = NextAsked("CA1", "AC1", "in-progress", "wait", 1)
HUMANS = NextAsked("CA9", "AC1", "in-progress", "brief", 1, about_call="CA1")
ACCEPTED = replace(HUMANS, after="accept")
LEG_OVER = replace(HUMANS, after="leg", call_status="completed", result="answered")
HANDED_OFF = NextAsked("CA1", "AC1", "in-progress", "dial", 1, "answered")


@pytest.fixture
async def front(tmp_path: Path, database: Database) -> Front:
    """A call whose human is being called."""
    front = Front(tmp_path, database, ScriptedEngine())
    await front.personas.import_cards([card()])
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=HUMAN))
    version = await front.personas.published("acme-help")
    call = (await front.calls.open_call(NewCall("twilio", "CA1", "AC1", "", NUMBER, "acme-help", version.id))).call
    warm = Handoff("warm", HUMAN, "dtmf")
    await front.calls.finish(call.id, status="ended", outcome="transferred", handoff=warm)
    assert await front.calls.advance_handoff(call.id, "dialling", expect=("",), handoff=warm)
    return front


async def state(front: Front) -> HandoffResult:
    return (await front.calls.parts("twilio", "CA1"))[0].handoff_result


async def test_the_caller_comes_once_the_human_is_there(front: Front) -> None:
    async with front.desk() as desk:
        assert await desk.what_next(WAITED) == Hold(1)
        assert isinstance(await desk.what_next(HUMANS), BriefHuman)
        there = await desk.what_next(ACCEPTED)
        assert isinstance(there, JoinRoom)
        assert there.is_human
        for _ in range(2):
            came = await desk.what_next(WAITED)
            assert came == JoinRoom(there.room, 1)
            assert await desk.what_next(ACCEPTED) == there
        assert await desk.what_next(LEG_OVER) == HangUp()
        assert await state(front) == "answered"
        assert await desk.what_next(HANDED_OFF) == HangUp()
        assert await state(front) == "over"
        assert await desk.what_next(WAITED) == HangUp()
        assert isinstance(await desk.what_next(ACCEPTED), SayAndHangUp)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("took_it", [False, True])
async def test_a_human_who_is_gone_before_the_caller_came_gives_them_back(front: Front, took_it: bool) -> None:
    async with front.desk() as desk:
        if took_it:
            await desk.what_next(ACCEPTED)
            assert await state(front) == "taken"
        assert await desk.what_next(LEG_OVER) == HangUp()
        answer = await desk.what_next(WAITED)
        assert isinstance(answer, ConnectStream)
        assert answer.part == 2
        assert await desk.what_next(WAITED) == answer
        assert await state(front) == "failed"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_caller_who_enters_as_the_human_leaves_is_fetched(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = asyncio.Event()

    async def redirect(carrier: TwilioCarrier, call_id: str, *, part: int = 0) -> bool:
        fetched.set()
        return (call_id, part) == ("CA1", 1)

    monkeypatch.setattr(TwilioCarrier, "redirect", redirect)
    async with front.desk() as desk:
        desk._hand_offs._alone._gone_s = 0.05
        await desk.what_next(ACCEPTED)
        assert isinstance(await desk.what_next(WAITED), JoinRoom)
        await desk.what_next(LEG_OVER)
        async with asyncio.timeout(10):
            await fetched.wait()
        assert isinstance(await desk.what_next(replace(WAITED, after="stream")), ConnectStream)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nobody_waits_for_ever_for_word_of_a_human(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_off, "datetime", Later)
    async with front.desk() as desk:
        assert isinstance(await desk.what_next(WAITED), ConnectStream)
        assert await state(front) == "failed"


class Later(datetime):
    """A clock that is two minutes ahead."""

    @classmethod
    def now(cls, tz: object = UTC) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=2)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_caller_who_asks_another_process_has_not_hung_up(front: Front) -> None:
    other = Front(Path(), front.calls.database, front.engine)
    other.board = replace(other.board, calls=CallStore(front.calls.database, "elsewhere:1"))
    async with front.desk() as desk, other.desk() as elsewhere:
        await desk.what_next(WAITED)
        await elsewhere.what_next(WAITED)
        await desk._hand_offs._gone("CA1")
        assert await state(front) == "dialling"
        await elsewhere._hand_offs._gone("CA1")
        assert await state(front) == "over"
