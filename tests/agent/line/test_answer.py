"""Who gets connected, and what the others hear and the operator reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.call import Switchboard
from agent.duplex import Capacity, EngineUnavailable, RolePrompt
from agent.line.answer import CallDesk
from agent.line.callers import LOOKUP_FAILED
from agent.line.sentences import REFUSALS
from agent.live import LiveCalls, LiveEvent, Noted
from agent.role import role_for
from crm.call import Call, CallEvent, KnownCaller
from crm.customer import Customer
from crm.customers import Customers
from crm.recordings import Recordings
from crm.store import CallStore
from personas.db import Database
from personas.store import PersonaStore
from telephony.carrier import ConnectStream, HangUp, InboundCall, NextAsked, SayAndHangUp
from telephony.carriers.twilio import TwilioCarrier
from tests.agent.exchange import NOBODYS_NUMBER, NUMBER, OTHER_NUMBER, ScriptedEngine, card, ended_row
from tests.agent.records import Answer, asking, knowing, records, saying, silent


class Front:
    """A desk without sockets: webhooks only."""

    def __init__(self, folder: Path, database: Database, engine: ScriptedEngine) -> None:
        self.calls = CallStore(database)
        self.personas = PersonaStore(database)
        self.engine = engine
        carrier = TwilioCarrier("http://127.0.0.1", ())
        self.board = Switchboard(
            engine, self.personas, self.calls, Recordings(folder), LiveCalls(), carrier, ready_timeout_s=1, max_call_s=9
        )

    def desk(self, reservation_s: float = 15) -> CallDesk:
        return CallDesk(self.board, reservation_s=reservation_s)


@pytest.fixture
async def front(tmp_path: Path, database: Database) -> Front:
    """A desk's surroundings, on both kinds of database."""
    front = Front(tmp_path, database, ScriptedEngine())
    await front.personas.import_cards([card(), card("bell-help", "Bell")])
    await front.personas.set_number(NUMBER, "acme-help")
    await front.personas.set_number(OTHER_NUMBER, "bell-help")
    return front


def ringing(call_id: str = "CA1", to_number: str = NUMBER, from_number: str = "+15550199") -> InboundCall:
    return InboundCall("twilio", call_id, "AC1", from_number, to_number)


async def test_the_number_decides_who_answers(front: Front) -> None:
    async with front.desk() as desk:
        assert isinstance(await desk.answer(ringing("CA1")), ConnectStream)
        assert isinstance(await desk.answer(ringing("CA2", OTHER_NUMBER)), ConnectStream)
        assert [role.card.company for role in front.engine.roles] == ["Acme", "Bell"]
        row = await front.calls.call_by_carrier_id("twilio", "CA2")
        assert row is not None
        assert (row.status, row.persona_slug, row.engine) == ("ringing", "bell-help", "scripted")
        assert row.role_prompt == front.engine.roles[1].text
        assert (await front.personas.version(row.persona_version_id or 0)).card.agent.company == "Bell"


async def test_a_known_caller_is_in_the_role_and_on_the_calls_record(front: Front) -> None:
    customers = Customers(front.calls.database)
    kim = await customers.save(Customer(("+15550176", "+15550177"), "Kim", "Has a red bicycle."))
    async with front.desk() as desk:
        await desk.answer(ringing(from_number="+15550177"))
        await customers.save(Customer(kim.numbers, "Kim", "Has a blue bicycle.", kim.id))
        await desk.answer(ringing("CA2", from_number=""))
        await desk.answer(ringing("CA3", from_number="sip:kim@example.com"))
    known, withheld, _ = front.engine.roles
    assert known.text.endswith("About the caller: Their name is Kim. Has a red bicycle.")
    assert (known.card.customer_name, known.card.customer_profile) == ("Kim", "Has a red bicycle.")
    assert "About the caller" not in withheld.text
    row, other = [await front.calls.call_by_carrier_id("twilio", name) for name in ("CA1", "CA2")]
    assert row is not None
    assert other is not None
    assert (row.customer, other.customer) == (KnownCaller("Kim", "Has a red bicycle."), None)


@asynccontextmanager
async def looking_up(front: Front, answer: Answer, timeout_s: float = 5.0) -> AsyncIterator[Front]:
    """The desk's surroundings with records of the company's own."""
    async with records(answer) as served, asking(served.url, timeout_s) as lookup:
        front.board = replace(front.board, lookup=lookup)
        yield front


async def answered(front: Front) -> Call:
    async with front.desk() as desk:
        assert isinstance(await desk.answer(ringing(from_number="+15550177")), ConnectStream)
    row = await front.calls.call_by_carrier_id("twilio", "CA1")
    assert row is not None
    return row


async def test_the_companys_own_records_say_who_calls(front: Front) -> None:
    await Customers(front.calls.database).save(Customer(("+15550177",), "Kim", "Has a red bicycle."))
    async with looking_up(front, knowing(name="Kimberly", profile="Has a car.")):
        row = await answered(front)
    assert row.customer == KnownCaller("Kimberly", "Has a car.", "lookup")
    assert "Their name is Kimberly. Has a car." in front.engine.roles[0].text
    assert await front.calls.events(row.id) == []


@pytest.mark.parametrize(
    ("answer", "timeout_s", "events"),
    [
        (saying("404 Not Found"), 5.0, []),
        (saying("500 Oops"), 5.0, [CallEvent(LOOKUP_FAILED, 0, "answered with status 500")]),
        (silent, 0.05, [CallEvent(LOOKUP_FAILED, 0, "no answer within 50 ms")]),
    ],
)
async def test_a_lookup_without_an_answer_leaves_it_to_the_customers_that_are_kept(
    front: Front, answer: Answer, timeout_s: float, events: list[CallEvent]
) -> None:
    await Customers(front.calls.database).save(Customer(("+15550177",), "Kim", "Has a red bicycle."))
    noted: list[LiveEvent] = []
    front.board = replace(front.board, live=LiveCalls(lambda call_id, event: noted.append(event)))
    async with looking_up(front, answer, timeout_s):
        row = await answered(front)
    assert row.customer == KnownCaller("Kim", "Has a red bicycle.")
    assert await front.calls.events(row.id) == events
    assert noted == [Noted(event.kind, 0, event.detail) for event in events]


async def test_a_lookup_that_breaks_in_an_unforeseen_way_turns_no_caller_away(front: Front) -> None:
    async with looking_up(front, knowing(name="Kim")):
        assert front.board.lookup is not None
        await front.board.lookup.close()
        row = await answered(front)
    assert await front.calls.events(row.id) == [CallEvent(LOOKUP_FAILED, 0, "RuntimeError")]


async def test_a_call_that_goes_on_is_told_the_same_of_its_caller(front: Front) -> None:
    async with looking_up(front, knowing(name="Kim", profile="Has a car.")), front.desk() as desk:
        connect = await desk.answer(ringing(from_number="+15550177"))
        assert isinstance(connect, ConnectStream)
        call = await front.calls.claim("CA1", "AC1", connect.parameters["nonce"])
        await front.calls.finish(call.id, status="ended", outcome="engine_lost")
        assert front.board.lookup is not None
        await front.board.lookup.close()  # nobody is asked a second time
        again = await desk.what_next(NextAsked("CA1", "AC1", "in-progress", "stream", 1))
    assert isinstance(again, ConnectStream)
    assert [role.card.customer_profile for role in front.engine.roles] == ["Has a car."] * 2
    parts = await front.calls.parts("twilio", "CA1")
    assert [part.customer for part in parts] == [KnownCaller("Kim", "Has a car.", "lookup")] * 2
    assert await front.calls.events(parts[1].id) == []


async def test_repeated_webhooks_get_one_answer_and_one_slot(front: Front) -> None:
    async with front.desk() as desk:
        answers = await asyncio.gather(*(desk.answer(ringing()) for _ in range(5)))
        assert all(answer == answers[0] for answer in answers)
        assert front.engine.capacity().used == 1
        assert len((await front.calls.calls()).calls) == 1


async def test_another_process_answers_the_repetition_without_a_slot(front: Front) -> None:
    async with front.desk() as desk, front.desk() as other:
        await desk.answer(ringing())
        answer = await other.answer(ringing())
        assert isinstance(answer, ConnectStream)
        assert front.engine.capacity().used == 1
        await front.calls.claim("CA1", "AC1", answer.parameters["nonce"])
        assert await other.answer(ringing()) == HangUp()


async def test_nobody_answers_this_number(front: Front) -> None:
    async with front.desk() as desk:
        for _ in range(2):
            answer = await desk.answer(ringing(to_number=NOBODYS_NUMBER))
            assert answer == SayAndHangUp(REFUSALS["unknown_number"])
    row = await front.calls.call_by_carrier_id("twilio", "CA1")
    assert row is not None
    assert (row.status, row.outcome) == ("refused", "unknown_number")
    assert row.reason
    assert front.engine.sessions == []


async def test_a_persona_that_is_only_a_draft(front: Front) -> None:
    await front.personas.save_draft(card("new-help"))
    await front.personas.set_number(NOBODYS_NUMBER, "new-help")
    async with front.desk() as desk:
        assert await desk.answer(ringing(to_number=NOBODYS_NUMBER)) == SayAndHangUp(REFUSALS["not_published"])
    row = await front.calls.call_by_carrier_id("twilio", "CA1")
    assert row is not None
    assert row.outcome == "not_published"
    assert "new-help" in row.reason


async def test_the_engine_is_full(front: Front) -> None:
    front.engine.slots = 1
    async with front.desk() as desk:
        await desk.answer(ringing("CA1"))
        assert await desk.answer(ringing("CA2")) == SayAndHangUp(REFUSALS["engine_full"])
        row = await front.calls.call_by_carrier_id("twilio", "CA2")
        assert row is not None
        assert (row.status, row.outcome, row.persona_slug) == ("refused", "engine_full", "acme-help")
        assert "slots" in row.reason


class GoneEngine(ScriptedEngine):
    async def open(self, role: RolePrompt):
        raise EngineUnavailable("The engine is not there.")


async def test_the_engine_is_not_there(front: Front) -> None:
    board_engine = GoneEngine()
    front.board = Switchboard(
        board_engine,
        front.personas,
        front.calls,
        front.board.recordings,
        front.board.live,
        front.board.carrier,
        ready_timeout_s=1,
        max_call_s=9,
    )
    async with front.desk() as desk:
        assert await desk.answer(ringing()) == SayAndHangUp(REFUSALS["engine_unavailable"])
    row = await front.calls.call_by_carrier_id("twilio", "CA1")
    assert row is not None
    assert (row.outcome, row.reason) == ("engine_unavailable", "The engine is not there.")


async def test_a_call_that_never_connects_frees_its_slot(front: Front) -> None:
    async with front.desk(reservation_s=0.1) as desk:
        await desk.answer(ringing())
        assert front.engine.capacity().used == 1
        row = await ended_row(front.calls, "CA1")
        assert (row.status, row.outcome) == ("ended", "stream_failed")
        assert front.engine.capacity().used == 0


async def test_a_stream_that_never_reached_us(front: Front) -> None:
    async with front.desk() as desk:
        await desk.answer(ringing())
        again = await desk.what_next(NextAsked("CA1", "AC1", "in-progress", part=1))
        assert isinstance(again, ConnectStream)
        assert (again.part, front.engine.capacity().used) == (2, 1)
        first, second = await front.calls.parts("twilio", "CA1")
        assert (first.status, first.outcome) == ("ended", "stream_failed")
        assert (second.status, second.continues) == ("ringing", first.id)
        assert await desk.what_next(NextAsked("CA1", "AC1", "in-progress", part=1)) == again
        assert isinstance(await desk.what_next(NextAsked("CA1", "AC1", "in-progress", part=2)), SayAndHangUp)
        assert front.engine.capacity().used == 0
        await desk.answer(ringing("CA2"))
        assert await desk.what_next(NextAsked("CA2", "AC1", "completed")) == HangUp()
        row = await front.calls.call_by_carrier_id("twilio", "CA2")
        assert row is not None
        assert (row.status, row.outcome) == ("ended", "caller_hung_up")


async def test_closing_frees_what_was_reserved(front: Front) -> None:
    async with front.desk() as desk:
        await desk.answer(ringing())
    assert front.engine.capacity() == Capacity(10, 0)
    row = await front.calls.call_by_carrier_id("twilio", "CA1")
    assert row is not None
    assert (row.status, row.outcome) == ("ended", "gateway_lost")


async def test_a_role_holds_all_that_the_card_says() -> None:
    role = role_for(card())
    assert role.voice == card().voice
    assert role.card.agent_name == "Ann"
    assert role.card.greeting == "Hello, this is Ann of Acme."
    (fact,) = role.card.facts
    assert (fact.id, fact.kind, fact.value) == ("price", "amount", "$5")
    assert "It costs $5." in role.text
