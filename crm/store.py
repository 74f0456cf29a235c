"""Every query about calls; rows go in and out as the values of crm/call.py.

waiting ──open──▶ ringing ──claim──▶ live ──finish──▶ ended | lost
                     └────refuse────▶ refused
"""

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import uuid4

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from crm import rows
from crm.call import (
    AskedEnding,
    Call,
    CallEvent,
    CallFilter,
    CallPage,
    Handoff,
    HandoffResult,
    NewCall,
    OpenedCall,
    Outcome,
    Status,
    Transfer,
    Turn,
)
from crm.errors import NonceRefused
from crm.gateways import OPEN, is_dead, own_name
from crm.queries import is_kept, known, page_query, why_refused
from crm.scores import ScoreQueries
from crm.tables import CallRow, EventRow, NonceRow, TransferRow, TurnRow
from personas.db import Base, Database


class LostEnd(TypedDict):
    """The part of an end that a lost call has."""

    outcome: Outcome
    reason: str


NONCE_LIFE = timedelta(minutes=10)
# No call is longer than PARLEY_MAX_CALL_S allows, a day at most; what is older has no process, wherever that ran.
LONGEST_CALL = timedelta(hours=25)
# A caller who waits for a slot asks again every few seconds, of whichever process answers.
LONGEST_WAIT = timedelta(minutes=15)
# What becomes of a call whose process is gone.
LOST: dict[str, LostEnd] = {
    "waiting": LostEnd(outcome="abandoned", reason="The caller waited for a free line and was not heard of again."),
    "ringing": LostEnd(outcome="gateway_lost", reason="The server stopped before the call's audio reached it."),
    "live": LostEnd(outcome="gateway_lost", reason="The server stopped in the middle of the call."),
}
# How a stream looks that the carrier was asked to end, from the process that carried it.
_LOOKS_ASKED: frozenset[Outcome] = frozenset({"caller_hung_up", "stream_failed"})


class CallStore(ScoreQueries):
    """The log of calls in one database. Methods raise SQLAlchemy's errors when the database is away.

    ``gateway`` names this process, as ``own_name`` does; calls keep it, so that others find out whose they were.
    """

    def __init__(self, database: Database, gateway: str = "") -> None:
        self.database = database
        self.gateway = gateway or own_name()

    async def open_call(self, new: NewCall) -> OpenedCall:
        """Log a ringing call and mint a nonce for its media socket; idempotent by (carrier, carrier_call_id, part).

        A repeated webhook gets the same call and a nonce of its own: whichever answer the carrier
        acts on works, and only one of them. The nonce is empty when the call no longer rings. A call
        that waited rings from now on.
        """
        async with self.database.session() as session:
            row, is_new = await self._insert_call(session, new, "ringing")
            nonce = ""
            if row.status == "waiting":
                row.status, row.gateway = "ringing", self.gateway
            if row.status == "ringing":
                nonce = secrets.token_urlsafe(32)
                await session.execute(
                    insert(NonceRow).values(nonce_hash=_hash(nonce), call_id=row.id, created_at=_now(), used_at=None)
                )
            return OpenedCall(rows.call(row), nonce, is_new)

    async def hold_call(self, new: NewCall) -> Call:
        """Log a call whose caller waits for a free slot; idempotent like ``open_call``, which ends the wait.

        The process that heard of a waiting caller last has the call.
        """
        async with self.database.session() as session:
            row, _ = await self._insert_call(session, new, "waiting")
            if row.status == "waiting":
                row.gateway = self.gateway
            return rows.call(row)

    async def refuse_call(self, new: NewCall, outcome: Outcome, reason: str, handoff: Handoff | None = None) -> Call:
        """Log a call that was not answered by a persona, and why; idempotent like ``open_call``.

        With ``handoff`` it is given to a human instead.
        """
        async with self.database.session() as session:
            row, _ = await self._insert_call(session, new, "refused")
            if not row.outcome and row.status in ("waiting", "ringing", "refused"):
                row.status, row.outcome, row.reason, row.ended_at = "refused", outcome, reason, _now()
                row.handoff = asdict(handoff) if handoff else None
            return rows.call(row)

    async def _insert_call(self, session: AsyncSession, new: NewCall, status: Status) -> tuple[CallRow, bool]:
        call_id = uuid4().hex
        values = asdict(new) | {"status": status, "id": call_id, "created_at": _now(), "gateway": self.gateway}
        events = [event | {"call_id": call_id} for event in values.pop("events")]
        await session.execute(self._upsert(CallRow).values(**values).on_conflict_do_nothing())
        same = (CallRow.carrier == new.carrier) & (CallRow.carrier_call_id == new.carrier_call_id)
        row = (await session.execute(select(CallRow).where(same, CallRow.part == new.part))).scalar_one()
        if events and row.id == call_id:
            await session.execute(insert(EventRow), events)
        return row, row.id == call_id

    async def claim(self, carrier_call_id: str, account_id: str, nonce: str) -> Call:
        """Make a ringing call live; a nonce works once, for its own call and account, for ten minutes.

        Raises:
            NonceRefused: with the reason.
        """
        now = _now()
        mine = select(CallRow.id).where(
            CallRow.carrier_call_id == carrier_call_id, CallRow.account_id == account_id, CallRow.status == "ringing"
        )
        is_good = (
            NonceRow.nonce_hash == _hash(nonce),
            NonceRow.used_at.is_(None),
            NonceRow.created_at > now - NONCE_LIFE,
            NonceRow.call_id.in_(mine),
        )
        async with self.database.session() as session:
            used = update(NonceRow).where(*is_good).values(used_at=now).returning(NonceRow.call_id)
            call_id = (await session.execute(used)).scalar_one_or_none()
            # Two nonces of one call may race: the second finds the call live already.
            live = (
                update(CallRow)
                .where(CallRow.id == call_id, CallRow.status == "ringing")
                .values(status="live", answered_at=now, gateway=self.gateway)
                .returning(CallRow)
            )
            row = (await session.execute(live)).scalar_one_or_none() if call_id else None
            if row is None:
                raise NonceRefused(await why_refused(session, carrier_call_id, account_id, _hash(nonce)))
            return rows.call(row)

    async def finish(
        self,
        call_id: str,
        *,
        status: Status,
        outcome: Outcome,
        reason: str = "",
        duration_ms: int | None = None,
        recording: str = "",
        turns: Sequence[Turn] = (),
        events: Sequence[CallEvent] = (),
        transfers: Sequence[Transfer] = (),
        timing: Mapping[str, float] | None = None,
        dynamics: Mapping[str, Any] | None = None,
        handoff: Handoff | None = None,
        expect: Status | None = None,
    ) -> bool:
        """End a call in one transaction; return False, changing nothing, if it had an end already.

        A call that was given up as lost takes a later end that knows what was said. What ``request_ending`` asked
        for is what a call ended by its carrier has as its end. ``handoff`` gives it to a human; ``expect`` ends it
        only in this status. ``transfers`` and ``dynamics`` are what crm.dynamics finds.

        Raises:
            UnknownCall: there is none with this id.
        """
        can_end = CallRow.status.in_(OPEN) | ((CallRow.status == "lost") & (CallRow.turn_count == 0))
        if expect:
            can_end &= CallRow.status == expect
        values: dict[str, Any] = {"status": status, "outcome": outcome, "reason": reason, "ended_at": _now()}
        values |= {"duration_ms": duration_ms, "recording": recording, "turn_count": len(turns)}
        values |= {"timing": dict(timing or {}), "dynamics": dict(dynamics or {})}
        parts = {
            TurnRow: [rows.turn_values(call_id, position, turn) for position, turn in enumerate(turns)],
            EventRow: [asdict(event) | {"call_id": call_id} for event in events],
            TransferRow: [asdict(transfer) | {"call_id": call_id} for transfer in transfers],
        }
        if handoff:
            values["handoff"] = asdict(handoff)
        async with self.database.session() as session:
            asked = (await known(session, call_id)).asked
            if asked and outcome in _LOOKS_ASKED:
                values |= asked
            ended = update(CallRow).where(CallRow.id == call_id, can_end, is_kept()).values(**values)
            if _changed(await session.execute(ended)) != 1:
                return False
            for table, lines in parts.items():
                if lines:
                    await session.execute(insert(table), lines)
            return True

    async def call(self, call_id: str) -> Call:
        """Return one call.

        Raises:
            UnknownCall: there is none.
        """
        async with self.database.session() as session:
            return rows.call(await known(session, call_id))

    async def call_by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        """Return the call that a carrier knows by its own id: the latest part of it."""
        parts = await self.parts(carrier, carrier_call_id)
        return parts[-1] if parts else None

    async def parts(self, carrier: str, carrier_call_id: str) -> list[Call]:
        """Return every part of a carrier's call, first to latest; none if the call is unknown."""
        query = select(CallRow).where(CallRow.carrier == carrier, CallRow.carrier_call_id == carrier_call_id)
        async with self.database.session() as session:
            return [rows.call(row) for row in await session.scalars(query.order_by(CallRow.part))]

    async def request_ending(self, call_id: str, asked: AskedEnding) -> bool:
        """Say how a call that another process carries shall end; False if it is over already.

        It takes effect when the carrier is made to end the stream (``Carrier.redirect``).
        """
        wish = update(CallRow).where(CallRow.id == call_id, CallRow.status.in_(OPEN)).values(asked=asdict(asked))
        async with self.database.session() as session:
            return _changed(await session.execute(wish)) == 1

    async def withdraw_ending(self, call_id: str, why: CallEvent) -> bool:
        """Take back what ``request_ending`` left, because the carrier refused; ``why`` goes to the events.

        False, changing nothing, if the call is over: it has ended like that.
        """
        mind = update(CallRow).where(CallRow.id == call_id, CallRow.status.in_(OPEN)).values(asked=None)
        async with self.database.session() as session:
            if _changed(await session.execute(mind)) != 1:
                return False
            await session.execute(insert(EventRow), [asdict(why) | {"call_id": call_id}])
            return True

    async def advance_handoff(
        self,
        call_id: str,
        to: HandoffResult,
        *,
        expect: Collection[HandoffResult],
        handoff: Handoff | None = None,
        leg_id: str = "",
    ) -> bool:
        """Note how far giving the call to a human has come; False, changing nothing, if it is not at ``expect``.

        So of repeated or racing webhooks one acts. ``handoff`` and ``leg_id`` are kept where given.
        """
        values: dict[str, Any] = {"handoff_result": to}
        values |= {"handoff": asdict(handoff)} if handoff else {}
        values |= {"leg_id": leg_id} if leg_id else {}
        there = update(CallRow).where(CallRow.id == call_id, CallRow.handoff_result.in_(expect)).values(**values)
        async with self.database.session() as session:
            return _changed(await session.execute(there)) == 1

    async def hear(self, call_id: str) -> None:
        """Note that this process has the call of a caller who waits for a human: it heard of them last."""
        async with self.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id == call_id).values(gateway=self.gateway))

    async def save_voicemail(self, call_id: str, recording_url: str) -> bool:
        """Keep the address of the message that a caller left; False if one is, or the call is erased."""
        kept = update(CallRow).where(CallRow.id == call_id, CallRow.voicemail == "", is_kept())
        async with self.database.session() as session:
            left = await session.execute(kept.values(voicemail=recording_url, outcome="voicemail"))
            return _changed(left) == 1

    async def calls(self, *, limit: int = 50, cursor: str = "", where: CallFilter | None = None) -> CallPage:
        """Return one page of calls, newest first, each with its latest score and without its role prompt.

        Raises:
            BadCursor: ``cursor`` is none that a page gave out.
        """
        query = page_query(limit, cursor, where or CallFilter())
        async with self.database.session() as session:
            found = (await session.execute(query)).all()
        shown = found[:limit]
        more = f"{shown[-1].created_at.isoformat()}_{shown[-1].id}" if len(found) > limit else None
        return CallPage(tuple(rows.listed(row) for row in shown), more)

    async def turns(self, call_id: str) -> list[Turn]:
        """Return a call's turns by start time."""
        query = select(TurnRow).where(TurnRow.call_id == call_id).order_by(TurnRow.position)
        async with self.database.session() as session:
            return [rows.turn(row) for row in (await session.execute(query)).scalars()]

    async def history(self, call: Call) -> list[Turn]:
        """Return what was said in the parts of a carrier's call before this one."""
        parts = await self.parts(call.carrier, call.carrier_call_id) if call.part > 1 else []
        return [turn for part in parts if part.part < call.part for turn in await self.turns(part.id)]

    async def dynamics(self, call_id: str) -> dict[str, Any]:
        """Return a call's figures as ``crm.dynamics.summary`` makes them; empty where no recording was kept."""
        async with self.database.session() as session:
            return dict((await known(session, call_id)).dynamics)

    async def add_events(self, call_id: str, events: Iterable[CallEvent]) -> None:
        """Add events to a call."""
        lines = [asdict(event) | {"call_id": call_id} for event in events]
        if lines:
            async with self.database.session() as session:
                await session.execute(insert(EventRow), lines)

    async def events(self, call_id: str) -> list[CallEvent]:
        """Return a call's events by time."""
        query = select(EventRow).where(EventRow.call_id == call_id).order_by(EventRow.at_ms, EventRow.id)
        async with self.database.session() as session:
            return [CallEvent(row.kind, row.at_ms, row.detail) for row in (await session.execute(query)).scalars()]

    async def left_behind(self) -> list[Call]:
        """Return calls that are ringing or live in the log, though the process that had them is gone."""
        query = select(CallRow).where(CallRow.status.in_(OPEN)).order_by(CallRow.created_at)
        async with self.database.session() as session:
            found = list((await session.execute(query)).scalars())
        now = _now()
        return [rows.call(row) for row in found if self._is_left(row, now)]

    async def left_by(self, gateway: str) -> list[Call]:
        """Return the calls of a process that is gone: open ones, and those given up without knowing what was said."""
        unknown = (CallRow.status == "lost") & (CallRow.turn_count == 0) & (CallRow.created_at > _now() - LONGEST_CALL)
        query = select(CallRow).where(CallRow.status.in_(OPEN) | unknown, CallRow.gateway == gateway, is_kept())
        async with self.database.session() as session:
            return [rows.call(row) for row in await session.scalars(query.order_by(CallRow.created_at))]

    def is_left_behind(self, call: Call) -> bool:
        """Whether a call that is open in the log lives in no process any more."""
        return call.status in OPEN and self._is_left(call, _now())

    def _is_left(self, call: CallRow | Call, now: datetime) -> bool:
        if call.status == "waiting":
            return call.created_at < now - LONGEST_WAIT
        return call.created_at < now - LONGEST_CALL or is_dead(call.gateway, self.gateway)

    async def mark_lost_calls(self) -> int:
        """Mark calls as lost that a dead process left ringing or live; returns how many. For a start-up only.

        Prefer ``crm.recovery.recover_lost_calls``, which also saves what was said.
        """
        lost = await self.left_behind()
        return sum([await self.finish(call.id, status="lost", **LOST[call.status]) for call in lost])

    def _upsert(self, table: type[Base]) -> Any:
        dialect = postgresql if self.database.url.get_backend_name() == "postgresql" else sqlite
        return dialect.insert(table)


def _changed(result: Any) -> int:
    return result.rowcount


def _hash(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
