"""Erasing on request: everything personal goes, what is counted stays, and nothing half-done stays half-done."""

import asyncio
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from sqlalchemy import delete, insert, select, text, update

from agent.messages import remover
from crm.analytics import Analytics, Figures
from crm.call import CallFilter, Scorecard, Turn
from crm.erasure import Erasures, Whose, _anonymous
from crm.errors import CannotErase, CannotHold, CannotScore, UnknownCall
from crm.keeping import Keeper, Limits
from crm.store import CallStore
from crm.tables import CallRow
from personas.audit import Actor, AuditLog
from personas.db import Base
from telephony.carriers.twilio import TwilioCarrier
from tests.crm.keeping import ANN, BOB, SECRET, Archive
from tests.crm.killing import STEPS, kill_at


@pytest.fixture
def archive(store: CallStore, tmp_path: Path, new_call) -> Archive:
    return Archive(store, tmp_path, new_call)


async def figures(archive: Archive) -> Figures:
    """Everything that Overview shows."""
    return await Analytics(archive.database).figures()


async def test_a_caller_leaves_no_trace_and_the_figures_stay(archive: Archive) -> None:
    first, second = await archive.call("CA1"), await archive.call("CA1", part=2)
    third, other = await archive.call("CA3"), await archive.call("CA4", BOB)
    await archive.know()
    before = await figures(archive)
    plan = await archive.erasures.plan(Whose(number=ANN))
    assert (plan.calls, plan.recordings, len(plan.messages), plan.has_profile, plan.obstacle) == (3, 3, 3, True, "")

    done = await archive.erasures.erase(Whose(number=ANN))
    assert (done.calls, done.recordings, done.stuck) == (3, 3, ())
    assert await archive.traces(ANN, "CA1", "CA3") == []
    assert not [path for path in archive.files() if any(each in path for each in (first, second, third))]
    assert {other} == {path.split("/")[-1].strip(".").split(".")[0] for path in archive.files()}
    assert await figures(archive) == before
    assert not (await archive.store.calls(where=CallFilter(caller=ANN))).calls
    call = await archive.store.call(second)
    assert (call.erased, call.is_anonymous, call.outcome, call.duration_ms) == ("request", True, "voicemail", 9_000)
    assert (call.carrier_call_id, call.continues) == (second, None)
    (score,) = await archive.store.scores(second)
    assert [(each.result, each.quote, each.reason, each.turn_index) for each in score.card.verdicts] == [
        ("pass", "", "", None),
        ("fail", "", "", None),
    ]
    assert await archive.customers.by_number(ANN) is None
    assert len(await archive.store.turns(other)) == 2
    with pytest.raises(UnknownCall, match="Nothing is kept"):
        await archive.erasures.erase(Whose(number=ANN))
    await archive.erasures.erase(Whose(number=BOB))
    assert await archive.traces(SECRET) == []
    today = archive.recordings.folder / f"{datetime.now(UTC):%Y/%m/%d}"
    assert os.listdir(today) == [], "the next call writes there at any moment"


def test_every_column_is_decided() -> None:
    """Who adds a column, or a table about calls, says here whether it stays when a call is erased."""
    identity = {"id", "carrier", "to_number", "part", "continues", "created_at", "answered_at", "ended_at", "is_test"}
    counted = {"persona_slug", "persona_version_id", "persona_title", "engine", "duration_ms", "turn_count"}
    counted |= {"timing", "dynamics", "scored_at", "score", "coverage", "failed_critical", "handoff_result"}
    state = {"erasing", "erased", "erased_at"}
    assert {column.name for column in CallRow.__table__.columns} == identity | counted | state | set(_anonymous())
    about_calls = {
        table.name
        for table in Base.metadata.sorted_tables
        if {key.column.table.name for key in table.foreign_keys} & {"calls", "scores"}
    }
    wiped, stay = {"turns", "call_nonces", "call_events", "verdicts"}, {"calls", "transfers", "scores"}
    assert about_calls == wiped | stay


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_sqlite_keeps_nothing_in_free_pages(archive: Archive, tmp_path: Path) -> None:
    for number in range(20):
        await archive.call(f"CA{number}")
    await archive.erasures.erase(Whose(number=ANN))
    async with archive.database.session() as session:
        await session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert SECRET.encode() not in (tmp_path / "parley.db").read_bytes()


async def test_a_customers_numbers_are_one_caller_and_the_log_tells_who_erased_them(archive: Archive) -> None:
    await archive.know()
    ann = await archive.customers.by_number(ANN)
    assert ann is not None
    await archive.customers.save(replace(ann, numbers=(ANN, BOB)))
    await archive.call("CA1")
    call_id = await archive.call("CA2", BOB)
    await archive.holds.hold(call_id, SECRET)
    with pytest.raises(CannotErase, match="One of these calls is on hold"):
        await archive.erasures.by(Actor("ann")).erase(Whose(number=ANN))
    await archive.holds.release(call_id)
    done = await archive.erasures.by(Actor("ann")).erase(Whose(number=ANN))
    assert done.calls == 2
    assert await archive.traces(SECRET, ANN, BOB) == []
    told = [(each.action, each.detail) for each in (await AuditLog(archive.database).entries(limit=3)).entries]
    held = [("call_released", ""), ("call_held", "")]
    assert told == [("caller_erased", "calls: 2, recordings: 2"), *held]


async def test_a_call_goes_with_all_its_parts_and_no_other(archive: Archive) -> None:
    first, second, other = await archive.call("CA1"), await archive.call("CA1", part=2), await archive.call("CA2")
    await archive.know()
    done = await archive.erasures.erase(Whose(first))
    assert done.calls == 2
    assert (await archive.store.call(second)).is_anonymous
    assert (await archive.store.call(other)).from_number == ANN
    assert await archive.customers.by_number(ANN)
    for call_id in (first, "0" * 32):
        with pytest.raises(UnknownCall):
            await archive.erasures.erase(Whose(call_id))


@pytest.mark.parametrize("state", ["live", "with a human", "held"])
async def test_what_may_not_go_is_refused_whole(archive: Archive, state: str) -> None:
    await archive.know()
    over = await archive.call("CA1")
    there = await archive.live("CA2") if state == "live" else await archive.call("CA2")
    if state == "with a human":
        await archive.store.advance_handoff(there, "dialling", expect=[""])
    if state == "held":
        await archive.holds.hold(there, "court order 7")
    why = "on hold: court order 7" if state == "held" else "still going on"
    files = archive.files()
    for whose in (Whose(number=ANN), Whose(there)):
        assert why in (await archive.erasures.plan(whose)).obstacle
        with pytest.raises(CannotErase, match=why):
            await archive.erasures.erase(whose)
    await archive.keeper().sweep()  # no tombstone was left that would do it after all
    assert archive.files() == files
    assert (await archive.store.call(over)).role_prompt == SECRET
    assert await archive.customers.by_number(ANN)
    await archive.holds.release(there)
    await archive.store.advance_handoff(there, "over", expect=["dialling"])
    await archive.store.finish(there, status="ended", outcome="caller_hung_up", expect="live")
    await archive.erasures.erase(Whose(number=ANN))
    assert await archive.traces(SECRET, ANN) == []


async def test_holds_tell_why_and_take_no_erased_call(archive: Archive) -> None:
    call_id, second = await archive.call("CA1"), await archive.call("CA1", part=2)
    await archive.holds.hold(call_id, "  a \n dispute ")
    await archive.holds.hold(second, "a court's order")
    hold = (await archive.store.call(call_id)).hold
    assert hold is not None
    assert (hold.reason, hold.by) == ("a court's order", "ann")
    assert {call.id for call in await archive.holds.held()} == {call_id, second}
    for reason in (" ", "x" * 501):
        with pytest.raises(CannotHold, match="reason"):
            await archive.holds.hold(call_id, reason)
    await archive.holds.release(call_id)
    await archive.erasures.erase(Whose(call_id))
    with pytest.raises(CannotHold, match="erased"):
        await archive.holds.hold(call_id, "too late")
    for work in (archive.holds.hold("0" * 32, "why"), archive.holds.release("0" * 32)):
        with pytest.raises(UnknownCall):
            await work
    assert await archive.holds.held() == []


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_erasure_is_finished_by_the_next_sweep(archive: Archive, database_url: str, step: str) -> None:
    await archive.call("CA1")
    call_id = await archive.call("CA2")
    await archive.know()
    before = await figures(archive)
    assert await kill_at(step, database_url, archive.recordings.folder, ANN) == -signal.SIGKILL
    if step == "customer buried":  # before anything was decided: it is asked for again
        assert (await archive.erasures.erase(Whose(number=ANN))).calls == 2
    else:
        assert (await archive.store.call(call_id)).erasing == "request"
        assert await archive.customers.by_number(ANN) is None
        assert (await archive.keeper().due()).unfinished == 2
        assert (await archive.keeper().sweep()).calls == 2
    assert await archive.traces(SECRET, ANN, "CA1", "CA2") == []
    assert await figures(archive) == before
    assert len(list((archive.recordings.folder / "erased").iterdir())) == 3


async def test_messages_at_the_carrier_go_first_and_are_asked_for_again(archive: Archive, run_app) -> None:
    """An address that is not at hand any more could never be removed, so its call waits for it."""
    carrier, statuses, asked = FastAPI(), [500, 404, 204], []

    @carrier.delete("/2010-04-01/Accounts/AC1/Recordings/{recording}.json")
    async def remove(recording: str) -> Response:
        asked.append(recording)
        return Response(status_code=statuses.pop(0))

    left, other = await archive.call("CA1"), await archive.call("CA2", BOB)
    address = f"https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE{SECRET.encode().hex():0<32.32}"
    async with archive.database.session() as session:
        await session.execute(update(CallRow).values(voicemail=address))
    twilio = TwilioCarrier("https://a.example", ["t"], "AC1", run_app(carrier))
    erasures = Erasures(archive.database, archive.recordings, remover(twilio), rests=0)
    assert (await erasures.plan(Whose(left))).takes_messages
    ((stuck, why),) = (await erasures.erase(Whose(left))).stuck
    assert (stuck, "at the carrier: Twilio did not say" in why) == (left, True)
    assert (await archive.store.call(left)).voicemail == address
    assert (await Keeper(erasures, Limits()).sweep()).calls == 1
    assert (await erasures.erase(Whose(other))).calls == 1
    assert asked == [address[-34:]] * 3
    assert await archive.traces(address) == []


async def test_what_comes_too_late_brings_nothing_back(archive: Archive) -> None:
    """A scorer that read the words before, the end of a call that was given up as lost, a message's address."""
    call_id = await archive.live("CA1")
    await archive.store.finish(call_id, status="lost", outcome="gateway_lost")
    await archive.erasures.erase(Whose(call_id))
    late = await archive.store.finish(
        call_id, status="ended", outcome="caller_hung_up", turns=[Turn("caller", 0, 9, SECRET)], recording="x"
    )
    assert not late
    assert not await archive.store.save_voicemail(call_id, SECRET)
    with pytest.raises(CannotScore, match="erased"):
        await archive.store.save_score(call_id, None, Scorecard(SECRET, "0" * 64, 1.0, 1.0, ()))
    assert await archive.traces(SECRET, ANN) == []


async def test_a_caller_may_call_while_they_are_erased(archive: Archive) -> None:
    """Calls that ring meanwhile are either refused with the erasure, or newer than it and whole."""
    for number in range(4):
        await archive.call(f"CA{number}")
    ringing = asyncio.Event()

    async def ring() -> list[str]:
        called = []
        for number in range(30):
            called.append(await archive.live(f"CB{number}"))
            await archive.store.finish(called[-1], status="ended", outcome="caller_hung_up", reason=SECRET)
            ringing.set()
        return called

    async def erase() -> int:
        await ringing.wait()
        while True:
            try:
                return (await archive.erasures.erase(Whose(number=ANN))).calls
            except CannotErase:
                await asyncio.sleep(0)

    called, erased = await asyncio.gather(ring(), erase())
    calls = [await archive.store.call(call_id) for call_id in called]
    assert erased >= 5
    assert sum(call.is_anonymous for call in calls) == erased - 4
    assert all(call.from_number == ("" if call.is_anonymous else ANN) for call in calls)
    assert not any(call.erasing for call in calls)


async def test_two_erase_the_same_caller_at_once(archive: Archive) -> None:
    for number in range(5):
        await archive.call(f"CA{number}")
    before = await figures(archive)
    twice = [Erasures(archive.database, archive.recordings).erase(Whose(number=ANN)) for _ in range(2)]
    found = await asyncio.gather(*twice, archive.keeper().sweep(), return_exceptions=True)
    assert not [each for each in found if isinstance(each, Exception) and not isinstance(each, UnknownCall)]
    assert await archive.traces(SECRET, ANN) == []
    assert await figures(archive) == before


async def test_what_a_backup_brings_back_is_erased_again(archive: Archive) -> None:
    """Its rows, its files, the customer's profile and a hold that was released before the erasure."""
    call_id = await archive.call("CA1")
    await archive.know()
    await archive.holds.hold(call_id, "until the dispute is over")
    tables = [Base.metadata.tables[name] for name in ("calls", "turns", "customers", "customer_numbers")]
    async with archive.database.session() as session:
        kept = [(await session.execute(select(table))).mappings().all() for table in tables]
    files = {path: (archive.recordings.folder / path).read_bytes() for path in archive.files()}
    await archive.holds.release(call_id)
    await archive.erasures.erase(Whose(number=ANN))
    tombstones = [path.read_bytes() for path in (archive.recordings.folder / "erased").iterdir()]
    assert not [each for each in tombstones if SECRET.encode() in each or ANN.encode() in each]

    async with archive.database.session() as session:
        for table, rows in zip(tables, kept, strict=True):
            await session.execute(delete(table))
            await session.execute(insert(table), [dict(row) for row in rows])
    for path, content in files.items():
        (archive.recordings.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (archive.recordings.folder / path).write_bytes(content)
    assert await archive.traces(SECRET)
    await archive.keeper().sweep()
    assert await archive.traces(SECRET, ANN) == []
    await archive.know()  # who becomes a customer afterwards is no ghost
    await archive.keeper().sweep()
    assert await archive.customers.by_number(ANN)
