"""Every query about calls; rows go in and out as the values of crm/call.py.

ringing ──claim──▶ live ──finish──▶ ended | lost
   └────refuse────▶ refused
"""

import hashlib
import os
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, insert, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from crm import rows
from crm.call import (
    Call,
    CallEvent,
    CallFilter,
    CallPage,
    Customer,
    NewCall,
    OpenedCall,
    Outcome,
    Scorecard,
    Status,
    StoredScore,
    Transfer,
    Turn,
)
from crm.errors import BadCursor, NonceRefused, UnknownCall
from crm.tables import CallRow, CustomerRow, EventRow, NonceRow, ScoreRow, TransferRow, TurnRow, VerdictRow
from personas.db import Base, Database, UtcDateTime


class LostEnd(TypedDict):
    """The part of an end that a lost call has."""

    outcome: Outcome
    reason: str


NONCE_LIFE = timedelta(minutes=10)
# No call is longer than PARLEY_MAX_CALL_S allows, a day at most; what is older has no process, wherever that ran.
LONGEST_CALL = timedelta(hours=25)
# What becomes of a call whose process is gone.
LOST: dict[str, LostEnd] = {
    "ringing": LostEnd(outcome="gateway_lost", reason="The server stopped before the call's audio reached it."),
    "live": LostEnd(outcome="gateway_lost", reason="The server stopped in the middle of the call."),
}
OPEN: tuple[Status, ...] = ("ringing", "live")


class CallStore:
    """The log of calls in one database. Methods raise SQLAlchemy's errors when the database is away.

    ``gateway`` names this process, ``host:pid``; calls keep it, so that a later start finds out whose they were.
    """

    def __init__(self, database: Database, gateway: str = "") -> None:
        self.database = database
        self.gateway = gateway or f"{socket.gethostname()}:{os.getpid()}"

    async def open_call(self, new: NewCall) -> OpenedCall:
        """Log a ringing call and mint a nonce for its media socket; idempotent by (carrier, carrier_call_id).

        A repeated webhook gets the same call and a nonce of its own: whichever answer the carrier
        acts on works, and only one of them. The nonce is empty when the call no longer rings.
        """
        async with self.database.session() as session:
            row, is_new = await self._insert_call(session, new, "ringing")
            nonce = ""
            if row.status == "ringing":
                nonce = secrets.token_urlsafe(32)
                await session.execute(
                    insert(NonceRow).values(nonce_hash=_hash(nonce), call_id=row.id, created_at=_now(), used_at=None)
                )
            return OpenedCall(rows.call(row), nonce, is_new)

    async def refuse_call(self, new: NewCall, outcome: Outcome, reason: str) -> Call:
        """Log a call that was not answered by a persona, and why; idempotent like ``open_call``."""
        async with self.database.session() as session:
            row, _ = await self._insert_call(session, new, "refused")
            if not row.outcome and row.status in ("ringing", "refused"):
                row.status, row.outcome, row.reason, row.ended_at = "refused", outcome, reason, _now()
            return rows.call(row)

    async def _insert_call(self, session: AsyncSession, new: NewCall, status: Status) -> tuple[CallRow, bool]:
        call_id = uuid4().hex
        values = asdict(new) | {"status": status, "id": call_id, "created_at": _now(), "gateway": self.gateway}
        await session.execute(self._upsert(CallRow).values(**values).on_conflict_do_nothing())
        same = (CallRow.carrier == new.carrier) & (CallRow.carrier_call_id == new.carrier_call_id)
        row = (await session.execute(select(CallRow).where(same))).scalar_one()
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
            )
            if call_id is None or _changed(await session.execute(live)) != 1:
                raise NonceRefused(await _why_refused(session, carrier_call_id, account_id, nonce))
            return rows.call((await session.execute(select(CallRow).where(CallRow.id == call_id))).scalar_one())

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
    ) -> bool:
        """End a call in one transaction; return False, changing nothing, if it had an end already.

        A call that was given up as lost takes a later end that knows what was said.
        ``transfers`` and ``dynamics`` are what crm.dynamics finds.

        Raises:
            UnknownCall: there is none with this id.
        """
        can_end = CallRow.status.in_(OPEN) | ((CallRow.status == "lost") & (CallRow.turn_count == 0))
        values = {"status": status, "outcome": outcome, "reason": reason, "ended_at": _now()}
        values |= {"duration_ms": duration_ms, "recording": recording, "turn_count": len(turns)}
        values |= {"timing": dict(timing or {}), "dynamics": dict(dynamics or {})}
        parts = {
            TurnRow: [rows.turn_values(call_id, position, turn) for position, turn in enumerate(turns)],
            EventRow: [asdict(event) | {"call_id": call_id} for event in events],
            TransferRow: [asdict(transfer) | {"call_id": call_id} for transfer in transfers],
        }
        async with self.database.session() as session:
            result = await session.execute(update(CallRow).where(CallRow.id == call_id, can_end).values(**values))
            if _changed(result) != 1:
                await _known(session, call_id)
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
            return rows.call(await _known(session, call_id))

    async def call_by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        """Return the call that a carrier knows by its own id."""
        query = select(CallRow).where(CallRow.carrier == carrier, CallRow.carrier_call_id == carrier_call_id)
        async with self.database.session() as session:
            row = (await session.execute(query)).scalar_one_or_none()
            return None if row is None else rows.call(row)

    async def calls(self, *, limit: int = 50, cursor: str = "", where: CallFilter | None = None) -> CallPage:
        """Return one page of calls, newest first, each with its latest score.

        Raises:
            BadCursor: ``cursor`` is none that a page gave out.
        """
        query = page_query(limit, cursor, where or CallFilter())
        async with self.database.session() as session:
            found = list(await session.scalars(query))
        shown = found[:limit]
        more = f"{shown[-1].created_at.isoformat()}_{shown[-1].id}" if len(found) > limit else None
        return CallPage(tuple(rows.listed(row) for row in shown), more)

    async def turns(self, call_id: str) -> list[Turn]:
        """Return a call's turns by start time."""
        query = select(TurnRow).where(TurnRow.call_id == call_id).order_by(TurnRow.position)
        async with self.database.session() as session:
            return [rows.turn(row) for row in (await session.execute(query)).scalars()]

    async def dynamics(self, call_id: str) -> dict[str, Any]:
        """Return a call's figures as ``crm.dynamics.summary`` makes them; empty where no recording was kept."""
        async with self.database.session() as session:
            return dict((await _known(session, call_id)).dynamics)

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
        oldest = _now() - LONGEST_CALL
        return [rows.call(row) for row in found if row.created_at < oldest or self._is_dead(row.gateway)]

    def _is_dead(self, gateway: str) -> bool:
        host, _, pid = gateway.rpartition(":")
        own_host, _, own_pid = self.gateway.rpartition(":")
        if host != own_host or not pid.isdigit():
            return False
        # A process that is only starting has no calls: its own id is a predecessor's (always 1 in a container).
        return pid == own_pid or not _runs(int(pid))

    async def mark_lost_calls(self) -> int:
        """Mark calls as lost that a dead process left ringing or live; returns how many. For a start-up only.

        Prefer ``crm.recovery.recover_lost_calls``, which also saves what was said.
        """
        lost = await self.left_behind()
        return sum([await self.finish(call.id, status="lost", **LOST[call.status]) for call in lost])

    async def customer_by_number(self, number: str) -> Customer | None:
        """Return who calls from this E.164 number, if known."""
        query = select(CustomerRow).where(CustomerRow.phone_number == number)
        async with self.database.session() as session:
            row = (await session.execute(query)).scalar_one_or_none()
            return None if row is None else Customer(row.phone_number, row.name, row.profile)

    async def save_customer(self, customer: Customer) -> None:
        """Add a customer, or replace the one with this number."""
        values = asdict(customer) | {"updated_at": _now()}
        statement = self._upsert(CustomerRow).values(**values)
        statement = statement.on_conflict_do_update(index_elements=["phone_number"], set_=values)
        async with self.database.session() as session:
            await session.execute(statement)

    async def save_score(self, call_id: str, persona_version_id: int | None, card: Scorecard) -> None:
        """Add a score to a call; earlier ones stay.

        Raises:
            UnknownCall: there is no such call.
        """
        now = _now()
        async with self.database.session() as session:
            call = await _known(session, call_id)
            row = ScoreRow(
                call_id=call_id,
                persona_version_id=persona_version_id,
                rubric_hash=card.rubric_hash,
                scorer=card.scorer,
                score=card.score,
                coverage=card.coverage,
                created_at=now,
            )
            session.add(row)
            call.scored_at, call.score, call.coverage = now, card.score, card.coverage
            call.failed_critical = sum(v.result == "fail" and v.severity == "critical" for v in card.verdicts)
            await session.flush()
            lines = [rows.verdict_values(row.id, position, verdict) for position, verdict in enumerate(card.verdicts)]
            if lines:
                await session.execute(insert(VerdictRow), lines)

    async def scores(self, call_id: str) -> list[StoredScore]:
        """Return a call's scores with their verdicts, latest first."""
        heads = select(ScoreRow).where(ScoreRow.call_id == call_id).order_by(ScoreRow.id.desc())
        async with self.database.session() as session:
            found = list((await session.execute(heads)).scalars())
            body = select(VerdictRow).where(VerdictRow.score_id.in_([row.id for row in found]))
            lines = list((await session.execute(body.order_by(VerdictRow.position))).scalars())
        return [rows.score(row, [line for line in lines if line.score_id == row.id]) for row in found]

    async def unscored(self, limit: int = 100) -> list[str]:
        """Return ids of calls that have turns and a persona version but no score, oldest first."""
        query = (
            select(CallRow.id)
            .where(CallRow.scored_at.is_(None), CallRow.turn_count > 0, CallRow.persona_version_id.is_not(None))
            .order_by(CallRow.created_at)
            .limit(limit)
        )
        async with self.database.session() as session:
            return list((await session.execute(query)).scalars())

    async def scorable(self) -> list[str]:
        """Return ids of all calls that have turns and a persona version, oldest first."""
        query = select(CallRow.id).where(CallRow.turn_count > 0, CallRow.persona_version_id.is_not(None))
        async with self.database.session() as session:
            return list((await session.execute(query.order_by(CallRow.created_at))).scalars())

    def _upsert(self, table: type[Base]) -> Any:
        dialect = postgresql if self.database.url.get_backend_name() == "postgresql" else sqlite
        return dialect.insert(table)


def page_query(limit: int, cursor: str, where: CallFilter) -> Select[Any]:
    """Return the query of one page: ``limit`` calls and one more, which tells whether there is a next page.

    Pages begin after a key (created_at, id), so that the hundredth costs what the first does.

    Raises:
        BadCursor: ``cursor`` is none that a page gave out.
    """
    query = select(CallRow).order_by(CallRow.created_at.desc(), CallRow.id.desc()).limit(limit + 1)
    if cursor:
        moment, _, call_id = cursor.partition("_")
        try:
            at = datetime.fromisoformat(moment).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadCursor("This page of calls cannot be found; start again from the first page.") from None
        key = tuple_(CallRow.created_at, CallRow.id)
        query = query.where(key < tuple_(literal(at, UtcDateTime), literal(call_id)))
    return query.where(*matching(where))


def matching(where: CallFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter, for any query about calls."""
    conditions = [
        getattr(CallRow, column) == value
        for column in ("persona_slug", "status", "outcome")
        if (value := getattr(where, column))
    ]
    if where.number:
        conditions.append(or_(CallRow.from_number == where.number, CallRow.to_number == where.number))
    if where.since:
        conditions.append(CallRow.created_at >= where.since)
    if where.until:
        conditions.append(CallRow.created_at < where.until)
    return conditions


async def _known(session: AsyncSession, call_id: str) -> CallRow:
    row = await session.get(CallRow, call_id)
    if row is None:
        raise UnknownCall("There is no call with this id.")
    return row


async def _why_refused(session: AsyncSession, carrier_call_id: str, account_id: str, nonce: str) -> str:
    query = select(NonceRow, CallRow).join(CallRow, CallRow.id == NonceRow.call_id)
    found = (await session.execute(query.where(NonceRow.nonce_hash == _hash(nonce)))).one_or_none()
    if found is None:
        return "The media socket's nonce was not given out by this server."
    given, call = found
    if (call.carrier_call_id, call.account_id) != (carrier_call_id, account_id):
        return "The media socket's nonce belongs to another call."
    if given.used_at is not None:
        return "The media socket's nonce was used before."
    if call.status != "ringing":
        return "The call has its media socket already, or is over."
    return "The media socket's nonce is too old."


def _changed(result: Any) -> int:
    return result.rowcount


def _hash(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
