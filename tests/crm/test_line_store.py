"""What the log keeps of a call's way over the line: parts, waits, hand-offs, messages, ends asked for by others."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from crm.call import AskedEnding, CallEvent, Handoff, TimedWord, Turn
from crm.errors import NonceRefused
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database

HANDOFF = Handoff("warm", "+15550111", "rule", "angry")


async def test_a_call_s_parts_are_rows_of_their_own(store: CallStore, new_call) -> None:
    first = (await store.open_call(new_call())).call
    turn = Turn("caller", 0, 400, "My bicycle is gone.", (TimedWord("My", 0, 100),))
    await store.finish(first.id, status="ended", outcome="engine_lost", turns=[turn])
    again = replace(new_call(), part=2, continues=first.id)
    second, repeated = await store.open_call(again), await store.open_call(again)
    assert (second.is_new, repeated.is_new, second.call.id) == (True, False, repeated.call.id)
    assert [part.part for part in await store.parts("twilio", "CA1")] == [1, 2]
    latest = await store.call_by_carrier_id("twilio", "CA1")
    assert latest is not None
    assert (latest.id, latest.continues) == (second.call.id, first.id)
    assert await store.history(first) == []
    assert [part.text for part in await store.history(latest)] == ["My bicycle is gone."]
    assert (await store.claim("CA1", "AC1", second.nonce)).part == 2


async def test_a_call_that_waits_has_no_nonce_until_it_rings(store: CallStore, new_call) -> None:
    held = await store.hold_call(new_call())
    assert (held.status, (await store.hold_call(new_call())).id) == ("waiting", held.id)
    opened = await store.open_call(new_call())
    assert (opened.call.id, opened.call.status, opened.nonce != "") == (held.id, "ringing", True)
    assert (await store.claim("CA1", "AC1", opened.nonce)).status == "live"


async def test_a_wait_outlives_its_process_but_not_for_ever(database: Database, new_call) -> None:
    here = CallStore(database, "here:1")
    call = await here.hold_call(new_call())
    assert await here.left_behind() == []
    async with database.session() as session:
        await session.execute(update(CallRow).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
    assert [each.id for each in await here.left_behind()] == [call.id]
    assert await here.mark_lost_calls() == 1
    assert (await here.call(call.id)).outcome == "abandoned"


async def test_who_heard_of_a_waiting_caller_last_has_the_call(database: Database, new_call) -> None:
    here, there = CallStore(database, "here:1"), CallStore(database, "there:1")
    assert (await here.hold_call(new_call())).gateway == "here:1"
    assert (await there.hold_call(new_call())).gateway == "there:1"


async def test_an_end_can_be_for_one_status_only(store: CallStore, new_call) -> None:
    opened = await store.open_call(new_call())
    await store.claim("CA1", "AC1", opened.nonce)
    assert not await store.finish(opened.call.id, status="ended", outcome="stream_failed", expect="ringing")
    assert (await store.call(opened.call.id)).status == "live"
    assert await store.finish(opened.call.id, status="ended", outcome="caller_hung_up")


async def test_of_a_claim_and_an_expiry_one_wins(store: CallStore, new_call) -> None:
    opened = await store.open_call(new_call())

    async def claim() -> bool:
        try:
            await store.claim("CA1", "AC1", opened.nonce)
        except NonceRefused:
            return False
        return True

    ended = store.finish(opened.call.id, status="ended", outcome="stream_failed", expect="ringing")
    claimed, expired = await asyncio.gather(claim(), ended)
    assert claimed is not expired
    assert (await store.call(opened.call.id)).status == ("live" if claimed else "ended")


async def test_what_was_asked_is_the_end_of_a_stream_that_the_carrier_ends(store: CallStore, new_call) -> None:
    call = (await store.open_call(new_call())).call
    asked = AskedEnding("transferred", "By an operator.", HANDOFF)
    assert await store.request_ending(call.id, asked)
    assert (await store.call(call.id)).asked == asked
    await store.finish(call.id, status="ended", outcome="caller_hung_up")
    ended = await store.call(call.id)
    assert (ended.outcome, ended.reason, ended.handoff) == ("transferred", "By an operator.", HANDOFF)
    assert not await store.request_ending(call.id, asked)


async def test_what_was_asked_gives_way_to_another_end(store: CallStore, new_call) -> None:
    call = (await store.open_call(new_call())).call
    await store.request_ending(call.id, AskedEnding("agent_hung_up"))
    await store.finish(call.id, status="ended", outcome="engine_lost")
    assert (await store.call(call.id)).outcome == "engine_lost"


async def test_what_was_asked_can_be_taken_back_while_the_call_lives(store: CallStore, new_call) -> None:
    call = (await store.open_call(new_call())).call
    await store.request_ending(call.id, AskedEnding("transferred", handoff=HANDOFF))
    assert await store.withdraw_ending(call.id, CallEvent("operator_refused", 0, "No."))
    await store.finish(call.id, status="ended", outcome="stream_failed")
    row = await store.call(call.id)
    assert (row.asked, row.outcome, row.handoff) == (None, "stream_failed", None)
    assert not await store.withdraw_ending(call.id, CallEvent("operator_refused", 0, "No."))
    assert await store.events(call.id) == [CallEvent("operator_refused", 0, "No.")]


async def test_a_hand_off_goes_forward_once(store: CallStore, new_call) -> None:
    call = (await store.open_call(new_call())).call
    await store.finish(call.id, status="ended", outcome="transferred", handoff=HANDOFF)
    assert (await store.call(call.id)).handoff == HANDOFF
    moves = [store.advance_handoff(call.id, "dialling", expect=("",)) for _ in range(5)]
    assert sorted(await asyncio.gather(*moves)) == [False] * 4 + [True]
    assert await store.advance_handoff(call.id, "dialling", expect=("dialling",), leg_id="CA9")
    assert not await store.advance_handoff(call.id, "failed", expect=("answered",))
    cold = replace(HANDOFF, mode="cold")
    assert await store.advance_handoff(call.id, "over", expect=("dialling", "answered"), handoff=cold)
    row = await store.call(call.id)
    assert (row.handoff_result, row.leg_id, row.handoff) == ("over", "CA9", cold)


async def test_a_refused_call_may_go_to_a_human(store: CallStore, new_call) -> None:
    call = await store.refuse_call(new_call(), "engine_full", "Every slot is taken.", HANDOFF)
    assert (call.status, call.handoff) == ("refused", HANDOFF)


async def test_a_message_is_kept_once(store: CallStore, new_call) -> None:
    call = await store.refuse_call(new_call(), "out_of_hours", "Closed.")
    assert await store.save_voicemail(call.id, "https://api.twilio.com/1")
    assert not await store.save_voicemail(call.id, "https://api.twilio.com/2")
    row = await store.call(call.id)
    assert (row.voicemail, row.outcome) == ("https://api.twilio.com/1", "voicemail")
