"""The store on real databases of both kinds."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, text, update

from crm.call import (
    CallEvent,
    CallFilter,
    Scorecard,
    TimedWord,
    Transfer,
    Turn,
    Verdict,
)
from crm.errors import BadCursor, NonceRefused, UnknownCall
from crm.gateways import own_name, place_of
from crm.queries import page_query
from crm.store import CallStore
from crm.tables import CallRow, NonceRow
from personas.db import Database

TURNS = (
    Turn("agent", 0, 900, "Hello.", (TimedWord("Hello.", 0, 900),)),
    Turn("caller", 1200, 2000, "hi there", (TimedWord("hi", 1200, 1500), TimedWord("there", 1500, 2000))),
    Turn("agent", 1500, 1700, "mm-hmm", (), backchannel=True),
)


async def test_a_call_from_ring_to_end(store: CallStore, new_call):
    opened = await store.open_call(new_call())
    assert (opened.call.status, opened.is_new) == ("ringing", True)
    live = await store.claim("CA1", "AC1", opened.nonce)
    assert live.status == "live"
    assert live.answered_at is not None
    ended = await store.finish(
        live.id,
        status="ended",
        outcome="caller_hung_up",
        duration_ms=2000,
        recording="2026/07/14/x.wav",
        turns=TURNS,
        events=[CallEvent("digit", 500, "0"), CallEvent("gap", 100)],
        transfers=[Transfer(1200, 300)],
        timing={"endpoint": 510.0},
        dynamics={"transfers": 1},
    )
    assert ended
    call = await store.call(live.id)
    assert (call.status, call.outcome, call.duration_ms) == ("ended", "caller_hung_up", 2000)
    assert call.timing == {"endpoint": 510.0}
    assert await store.turns(live.id) == list(TURNS)
    assert [event.kind for event in await store.events(live.id)] == ["gap", "digit"]
    assert await store.dynamics(live.id) == {"transfers": 1}
    assert not await store.finish(live.id, status="ended", outcome="agent_hung_up")
    assert (await store.call(live.id)).outcome == "caller_hung_up"


async def test_a_repeated_webhook_opens_one_call_that_one_answer_may_claim(store: CallStore, new_call):
    first = await store.open_call(new_call())
    second = await store.open_call(new_call())
    assert (second.call.id, second.is_new) == (first.call.id, False)
    await store.claim("CA1", "AC1", second.nonce)
    with pytest.raises(NonceRefused, match="already"):
        await store.claim("CA1", "AC1", first.nonce)
    assert (await store.open_call(new_call())).nonce == ""


async def test_of_simultaneous_webhooks_one_makes_the_call(store: CallStore, new_call):
    opened = await asyncio.gather(*[store.open_call(new_call()) for _ in range(5)])
    assert len({one.call.id for one in opened}) == 1
    assert sum(one.is_new for one in opened) == 1


async def test_of_simultaneous_claims_one_wins(store: CallStore, new_call):
    nonces = [(await store.open_call(new_call())).nonce for _ in range(2)]
    claims = [store.claim("CA1", "AC1", nonce) for nonce in nonces * 3]
    results = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, NonceRefused) for result in results if isinstance(result, Exception))


@pytest.mark.parametrize(
    ("carrier_call_id", "account_id", "why"), [("CA2", "AC1", "another call"), ("CA1", "AC2", "another call")]
)
async def test_a_nonce_opens_its_own_call_only(store: CallStore, new_call, carrier_call_id, account_id, why):
    nonce = (await store.open_call(new_call())).nonce
    await store.open_call(new_call("CA2"))
    with pytest.raises(NonceRefused, match=why):
        await store.claim(carrier_call_id, account_id, nonce)
    assert (await store.claim("CA1", "AC1", nonce)).status == "live"


async def test_a_nonce_works_once_and_only_if_given_out(store: CallStore, new_call):
    nonce = (await store.open_call(new_call())).nonce
    with pytest.raises(NonceRefused, match="not given out"):
        await store.claim("CA1", "AC1", "made up")
    await store.claim("CA1", "AC1", nonce)
    with pytest.raises(NonceRefused, match="used before"):
        await store.claim("CA1", "AC1", nonce)


async def test_an_old_nonce_is_refused_and_none_is_kept_in_clear(store: CallStore, new_call, database: Database):
    nonce = (await store.open_call(new_call())).nonce
    async with database.session() as session:
        kept = (await session.scalars(select(NonceRow.nonce_hash))).all()
        assert nonce not in kept
        await session.execute(update(NonceRow).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
    with pytest.raises(NonceRefused, match="too old"):
        await store.claim("CA1", "AC1", nonce)


async def test_a_refused_call_says_why(store: CallStore, new_call):
    new = new_call(persona_slug=None, persona_title="")
    call = await store.refuse_call(new, "unknown_number", "No persona answers this number.")
    again = await store.refuse_call(new, "engine_full", "Another reason.")
    assert call == again
    assert (call.status, call.outcome) == ("refused", "unknown_number")
    assert (await store.open_call(new)).nonce == ""


async def test_a_ringing_call_can_be_refused(store: CallStore, new_call):
    opened = await store.open_call(new_call())
    refused = await store.refuse_call(new_call(), "engine_full", "Every slot is taken.")
    assert (refused.id, refused.status) == (opened.call.id, "refused")
    with pytest.raises(NonceRefused):
        await store.claim("CA1", "AC1", opened.nonce)


async def test_unknown_calls_are_named_so(store: CallStore):
    assert await store.call_by_carrier_id("twilio", "CA9") is None
    with pytest.raises(UnknownCall):
        await store.call("0" * 32)
    with pytest.raises(UnknownCall):
        await store.finish("0" * 32, status="ended", outcome="")


async def test_pages_hold_every_call_once_newest_first(store: CallStore, new_call):
    for index in range(7):
        await store.open_call(new_call(f"CA{index}"))
    seen, cursor = [], ""
    while True:
        page = await store.calls(limit=3, cursor=cursor)
        seen += [line.call.carrier_call_id for line in page.calls]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [f"CA{index}" for index in reversed(range(7))]
    with pytest.raises(BadCursor):
        await store.calls(cursor="yesterday")


async def test_lists_filter(store: CallStore, new_call):
    await store.open_call(new_call("CA1", persona_slug="bank", from_number="+15557777"))
    await store.open_call(new_call("CA2"))
    await store.refuse_call(new_call("CA3"), "engine_full", "Full.")

    async def ids(**where: object) -> list[str]:
        page = await store.calls(where=CallFilter(**where))  # pyright: ignore[reportArgumentType]
        return [line.call.carrier_call_id for line in page.calls]

    assert await ids(persona_slug="bank") == ["CA1"]
    assert await ids(status="ringing") == ["CA2", "CA1"]
    assert await ids(outcome="engine_full") == ["CA3"]
    assert await ids(caller="+15557777") == ["CA1"]
    assert await ids(caller="+15550100") == []
    assert await ids(since=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert await ids(until=datetime.now(UTC) - timedelta(minutes=1)) == []


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (CallFilter(), "ix_calls_created_at"),
        (CallFilter(persona_slug="waste"), "ix_calls_persona_slug"),
        (CallFilter(status="ended"), "ix_calls_status"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_ten_thousand_calls_are_listed_by_index(database: Database, where: CallFilter, index: str):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"carrier": "twilio", "account_id": "AC1", "from_number": "+1", "to_number": "+2", "persona_title": ""}
    row |= {"persona_slug": "waste", "engine": "", "status": "ended", "role_prompt": "", "gateway": "h:1"}
    lines = [
        row | {"id": f"{n:032x}", "carrier_call_id": f"CA{n}", "created_at": start + timedelta(seconds=n)}
        for n in range(10_000)
    ]
    async with database.session() as session:
        await session.execute(insert(CallRow), lines)
    store = CallStore(database)
    page = await store.calls(where=where)
    query = page_query(50, page.next_cursor or "", where)
    statement = query.compile(database.engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with database.session() as session:
        plan = " ".join(str(line) for line in await session.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
    assert f"SEARCH calls USING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan
    assert (await store.calls(cursor=page.next_cursor or "", where=where)).calls[0].call.id == f"{9_949:032x}"


def verdict(name: str, result: str, severity: str = "major") -> Verdict:
    return Verdict(name, "States it.", result, severity, 1.0, "it", 0, "")  # pyright: ignore[reportArgumentType]


async def test_scores_keep_their_history(store: CallStore, new_call):
    call = (await store.open_call(new_call())).call
    await store.finish(call.id, status="ended", outcome="caller_hung_up", turns=TURNS)
    first = Scorecard("deterministic/1", "a" * 64, 0.5, 1.0, (verdict("x", "pass"), verdict("y", "fail", "critical")))
    second = Scorecard("deterministic/1", "b" * 64, 1.0, 0.5, (verdict("x", "pass"),))
    await store.save_score(call.id, None, first)
    listed = (await store.calls()).calls[0].score
    assert listed is not None
    assert (listed.score, listed.failed_critical) == (0.5, 1)
    await store.save_score(call.id, None, second)
    assert [stored.card for stored in await store.scores(call.id)] == [second, first]
    listed = (await store.calls()).calls[0].score
    assert listed is not None
    assert (listed.score, listed.coverage, listed.failed_critical) == (1.0, 0.5, 0)
    with pytest.raises(UnknownCall):
        await store.save_score("0" * 32, None, first)


async def test_a_start_gives_up_calls_of_dead_processes_only(database: Database, new_call):
    host = place_of(own_name())
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    for name, gateway in {"dead": f"{host}:{gone.pid}", "alive": f"{host}:{os.getppid()}", "else": "other:1"}.items():
        await CallStore(database, gateway).open_call(new_call(name))
    store = CallStore(database)
    assert await store.mark_lost_calls() == 1
    lost = await store.call_by_carrier_id("twilio", "dead")
    assert lost is not None
    assert (lost.status, lost.outcome) == ("lost", "gateway_lost")
    assert "stopped" in lost.reason
    async with database.session() as session:
        await session.execute(update(CallRow).values(created_at=datetime.now(UTC) - timedelta(days=2)))
    assert await store.mark_lost_calls() == 2


async def test_a_call_given_up_takes_its_real_end(store: CallStore, new_call):
    call = (await store.open_call(new_call())).call
    assert await store.mark_lost_calls() == 1
    assert await store.finish(call.id, status="ended", outcome="caller_hung_up", turns=TURNS)
    assert (await store.call(call.id)).status == "ended"


async def test_test_calls_are_marked_and_told_apart(store: CallStore, new_call) -> None:
    await store.open_call(new_call("CA1"))
    opened = await store.open_call(new_call("BR1", carrier="browser", account_id="ann", is_test=True))
    assert (await store.call(opened.call.id)).is_test
    for is_test, ids in ((None, {"CA1", "BR1"}), (False, {"CA1"}), (True, {"BR1"})):
        page = await store.calls(where=CallFilter(is_test=is_test))
        assert {row.call.carrier_call_id for row in page.calls} == ids
