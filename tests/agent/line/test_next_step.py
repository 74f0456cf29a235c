"""What comes next for every outcome and every setting of a number: the whole table."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import update

from agent.line import sentences
from agent.line.answer import CallDesk
from agent.line.next_step import AFTER_STREAM, Step, after_human, at_answer
from crm.call import Handoff, NewCall, Outcome
from crm.tables import CallRow
from personas.db import Database
from personas.numbers import NumberSettings, OnFull
from telephony.carrier import ConnectStream, DialHuman, HangUp, Hold, InboundCall, NextAsked, Result, SayAndHangUp
from tests.agent.exchange import NUMBER, ScriptedEngine, card
from tests.agent.line.test_answer import Front

HUMAN = "+15550111"
OVER, LOST, TOLD = "hang up", "reconnect", "say"
WHAT_COMES: dict[Outcome, str] = {
    "caller_hung_up": OVER,
    "agent_hung_up": OVER,
    "time_limit": OVER,
    "caller_silent": OVER,
    "abandoned": OVER,
    "voicemail": OVER,
    "engine_lost": LOST,
    "gateway_lost": LOST,
    "agent_mute": LOST,
    "stream_failed": LOST,
    "engine_full": LOST,
    "engine_unavailable": LOST,
    "unknown_number": TOLD,
    "not_published": TOLD,
    "out_of_hours": TOLD,
    "transferred": "dial",
}


def test_every_outcome_has_its_row() -> None:
    assert set(AFTER_STREAM) == set(get_args(Outcome))
    assert set(WHAT_COMES) == set(get_args(Outcome)) - {""}
    assert all(steps[-1] in (Step.SAY, Step.HANG_UP) for steps in AFTER_STREAM.values())


@pytest.fixture
async def front(tmp_path: Path, database: Database) -> Front:
    front = Front(tmp_path, database, ScriptedEngine())
    await front.personas.import_cards([card()])
    return front


async def end(front: Front, outcome: Outcome, part: int = 1, continues: str | None = None) -> str:
    """Log a part of the call CA1 that ended like this; return its id."""
    version = await front.personas.published("acme-help")
    new = NewCall("twilio", "CA1", "AC1", "+15550199", NUMBER, "acme-help", version.id, part=part, continues=continues)
    call = (await front.calls.open_call(new)).call
    handoff = Handoff("cold", "+15550122", "dtmf") if outcome == "transferred" else None
    await front.calls.finish(call.id, status="ended", outcome=outcome, handoff=handoff)
    return call.id


def asked(part: int) -> NextAsked:
    return NextAsked("CA1", "AC1", "in-progress", part=part)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("human", ["", HUMAN])
@pytest.mark.parametrize("outcome", WHAT_COMES)
async def test_after_a_stream(front: Front, outcome: Outcome, human: str) -> None:
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=human))
    first = await end(front, outcome)
    async with front.desk() as desk:
        instruction = await desk.what_next(asked(1))
    expected = {OVER: HangUp, LOST: ConnectStream, TOLD: SayAndHangUp, "dial": DialHuman}[WHAT_COMES[outcome]]
    assert isinstance(instruction, expected)
    if isinstance(instruction, DialHuman):
        assert (instruction.to, instruction.caller_id) == ("+15550122", "+15550199")
    if isinstance(instruction, ConnectStream):
        await front.calls.finish((await front.calls.parts("twilio", "CA1"))[1].id, status="ended", outcome=outcome)
        async with front.desk() as desk:
            instruction = await desk.what_next(asked(2))
        assert isinstance(instruction, DialHuman if human else SayAndHangUp)  # reconnected once, not twice
        assert not isinstance(instruction, DialHuman) or instruction.to == human
        assert (await front.calls.parts("twilio", "CA1"))[1].continues == first


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("outcome", [name for name, what in WHAT_COMES.items() if what == LOST])
async def test_a_lost_caller_hears_why_where_no_engine_is_left(front: Front, outcome: Outcome) -> None:
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=HUMAN))
    await end(front, outcome)
    front.engine.slots = 0
    async with front.desk() as desk:
        assert isinstance(await desk.what_next(asked(1)), DialHuman)
        failed = NextAsked("CA1", "AC1", "in-progress", "dial", 1, "busy")
        assert isinstance(await desk.what_next(failed), SayAndHangUp)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("on_full", "comes"), [("busy", DialHuman), ("human", DialHuman), ("wait", Hold)])
@pytest.mark.parametrize("outcome", ["engine_lost", "gateway_lost", "engine_full"])
async def test_a_lost_caller_meets_a_full_engine_as_the_number_is_set(
    front: Front, outcome: Outcome, on_full: OnFull, comes: type
) -> None:
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=HUMAN, on_full=on_full))
    await end(front, outcome)
    front.engine.slots = 0
    async with front.desk() as desk:
        answer = await desk.what_next(asked(1))
        assert isinstance(answer, comes)
        assert await desk.what_next(asked(1)) == answer


@pytest.fixture
async def waiting(front: Front) -> Front:
    """A number whose callers wait where the engine is full."""
    number = NumberSettings(NUMBER, "acme-help", human_number=HUMAN, on_full="wait", wait_limit_s=60)
    await front.personas.save_number(number)
    front.engine.slots = 0
    return front


def waited(part: int) -> NextAsked:
    return NextAsked("CA1", "AC1", "in-progress", "wait", part)


async def has_waited(front: Front) -> None:
    """Let part 2 have waited for as long as its number allows."""
    async with front.calls.database.session() as session:
        long_ago = datetime.now(UTC) - timedelta(seconds=61)
        await session.execute(update(CallRow).where(CallRow.part == 2).values(created_at=long_ago))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_lost_caller_who_waits_goes_on_before_those_who_only_come(waiting: Front) -> None:
    first = await end(waiting, "engine_lost")
    async with waiting.desk() as desk:
        assert await desk.answer(InboundCall("twilio", "CA2", "AC1", "", NUMBER)) == Hold(1, sentences.PLEASE_WAIT)
        assert await desk.what_next(asked(1)) == Hold(2, sentences.PLEASE_WAIT_AGAIN)
        waiting.engine.slots = 1
        assert await desk.what_next(NextAsked("CA2", "AC1", "in-progress", "wait", 1)) == Hold(1)
        answer = await desk.what_next(waited(2))
        assert isinstance(answer, ConnectStream)
        assert answer.part == 2
        assert await desk.what_next(waited(2)) == answer
        (_, second) = await waiting.calls.parts("twilio", "CA1")
        assert (second.status, second.continues) == ("ringing", first)
        assert second.role_prompt == waiting.engine.roles[-1].text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_lost_caller_waits_no_longer_than_others(waiting: Front) -> None:
    await end(waiting, "engine_lost")
    async with waiting.desk() as desk:
        assert isinstance(await desk.what_next(asked(1)), Hold)
        await has_waited(waiting)
        answer = await desk.what_next(waited(2))
        assert isinstance(answer, DialHuman)
        assert (answer.to, answer.part) == (HUMAN, 2)
    assert (await waiting.calls.parts("twilio", "CA1"))[1].outcome == "engine_full"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_comes_back_from_a_human_to_a_full_engine_waits_and_is_not_dialled_again(waiting: Front) -> None:
    await end(waiting, "transferred")
    async with waiting.desk() as desk:
        assert isinstance(await desk.what_next(asked(1)), DialHuman)
        busy = NextAsked("CA1", "AC1", "in-progress", "dial", 1, "busy")
        assert await desk.what_next(busy) == Hold(2, sentences.PLEASE_WAIT_AGAIN)
        await has_waited(waiting)
        assert isinstance(await desk.what_next(waited(2)), SayAndHangUp)


REFUSED: list[tuple[Outcome, str, Step]] = [
    ("engine_full", "busy", Step.SAY),
    ("engine_full", "wait", Step.WAIT),
    ("engine_full", "human", Step.HUMAN),
    *[("engine_unavailable", on_full, Step.HUMAN) for on_full in ("busy", "wait", "human")],
    *[("not_published", on_full, Step.HUMAN) for on_full in ("busy", "wait", "human")],
    *[("unknown_number", on_full, Step.SAY) for on_full in ("busy", "wait", "human")],
]


@pytest.mark.parametrize(("outcome", "on_full", "first"), REFUSED)
def test_at_the_answer(outcome: Outcome, on_full, first: Step) -> None:
    steps = at_answer(outcome, on_full)
    assert steps[0] is first
    assert steps[-1] is Step.SAY


@pytest.mark.parametrize("why", ["dtmf", "rule", "operator", "engine_lost", "agent_mute", "engine_full"])
@pytest.mark.parametrize("result", [name for name in get_args(Result) if name])
def test_after_a_human_was_called(result: Result, why: str) -> None:
    first = after_human(result, why)[0]
    if result in ("answered", "canceled"):
        assert first is Step.HANG_UP
    else:
        assert first is (Step.RECONNECT if why in ("dtmf", "rule", "operator") else Step.SAY)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nobody_is_reconnected_to_a_server_that_shuts_down(front: Front) -> None:
    await front.personas.save_number(NumberSettings(NUMBER, "acme-help"))
    await end(front, "gateway_lost")
    async with CallDesk(front.board) as desk:
        desk.draining = True
        assert isinstance(await desk.what_next(asked(1)), SayAndHangUp)
