"""What is personal of a call goes; what is counted stays.

somebody asks, or its time is over ─▶ mark ─▶ message at the carrier, files, tombstone ─▶ rows

A process that is killed in between leaves the mark, from which the next sweep goes on. Any number of processes may do
the same at once: each step is done by whoever comes first and harmless for the others.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from crm.call import HandoffResult
from crm.errors import CannotErase, UnknownCall
from crm.recordings import Recordings
from crm.removal import Doomed, bury, exhume, remove_files
from crm.store import LONGEST_CALL, LOST, OPEN
from crm.tables import CallRow, CustomerNumberRow, CustomerRow, EventRow, NonceRow, ScoreRow, TurnRow, VerdictRow
from personas.audit import PARLEY, Action, Actor, Subject, note
from personas.db import Database

BATCH = 100
"""Calls that are wiped in one transaction, a few milliseconds long: calls that live write to the same tables."""

_MOST_REFUSALS = 3
RemoveMessage = Callable[[str], Awaitable[str]]
# The caller may be with a human, or on the way to one.
_ON_THE_LINE: tuple[HandoffResult, ...] = ("dialling", "taken", "answered")
_GONE = ("call", "request")


@dataclass(frozen=True, slots=True)
class Whose:
    """Which calls are meant: those of the caller with this ``number``, as the carrier writes it, and with all other
    numbers of the same customer; or else the call ``call_id`` with all its parts.
    """

    call_id: str = ""
    number: str = ""

    def calls(self) -> ColumnElement[bool]:
        """Return the condition of these calls."""
        if self.number:
            others = select(CustomerNumberRow.number).where(CustomerNumberRow.customer_id.in_(_customer(self.number)))
            return or_(CallRow.from_number == self.number, CallRow.from_number.in_(others))
        one = aliased(CallRow)

        def its(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
            return select(column).where(one.id == self.call_id).scalar_subquery()

        return (CallRow.carrier == its(one.carrier)) & (CallRow.carrier_call_id == its(one.carrier_call_id))


@dataclass(frozen=True, slots=True)
class Plan:
    """What erasing would remove. ``obstacle`` says why it can't be done, empty if it can.

    ``messages`` are the addresses of those that callers left at the carrier; ``takes_messages`` says whether they go
    too, or have to be removed there by hand.
    """

    calls: int
    recordings: int
    messages: tuple[str, ...]
    takes_messages: bool
    has_profile: bool
    obstacle: str


@dataclass(frozen=True, slots=True)
class Done:
    """What was removed, and ``stuck``: by call, why its files are still there; those are tried again."""

    calls: int = 0
    recordings: int = 0
    stuck: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: "Done") -> "Done":
        stuck = dict((*self.stuck, *other.stuck))
        return Done(self.calls + other.calls, self.recordings + other.recordings, tuple(stuck.items()))


class Erasures:
    """Erases calls of one database and its folder of recordings. Methods raise SQLAlchemy's errors.

    ``remove_message(address)`` removes a message at the carrier and returns why it can't be removed, "" if it is gone;
    without it they stay there. Between two batches it rests for ``rests`` times as long as the one before took.
    """

    def __init__(
        self,
        database: Database,
        recordings: Recordings,
        remove_message: RemoveMessage | None = None,
        rests: float = 1.0,
        actor: Actor = PARLEY,
    ) -> None:
        self.database = database
        self.recordings = recordings
        self._remove_message = remove_message
        self._rests = rests
        self._actor = actor

    def by(self, actor: Actor) -> "Erasures":
        """Return the same, in the hands of ``actor``, of whom the audit log tells."""
        return Erasures(self.database, self.recordings, self._remove_message, self._rests, actor)

    async def plan(self, whose: Whose) -> Plan:
        """Return what erasing would remove.

        Raises:
            UnknownCall: there is no such call, or nothing is known of this caller.
        """
        async with self.database.session() as session:
            return await self._plan(session, whose)

    async def erase(self, whose: Whose) -> Done:
        """Erase a call with all its parts, or all that is known of a caller.

        Raises:
            UnknownCall: there is none.
            CannotErase: one of the calls is going on or held; nothing was erased.
        """
        customer = await self._bury_customer(whose.number)
        subject = Subject("call", whose.call_id) if whose.call_id else Subject("caller", "", customer)
        try:
            async with self.database.session() as session:
                asked = update(CallRow).where(whose.calls(), CallRow.erased.not_in(_GONE), may_go())
                await session.execute(asked.values(erasing="request"))
                if (plan := await self._plan(session, whose)).obstacle:
                    raise CannotErase(plan.obstacle)
                query = select(CallRow.id).where(whose.calls(), CallRow.erasing == "request")
                marked = (await session.scalars(query)).all()
                await session.execute(delete(CustomerRow).where(CustomerRow.id.in_(_customer(whose.number))))
                action = Action.CALL_ERASED if whose.call_id else Action.CALLER_ERASED
                note(session, self._actor, action, subject, f"calls: {plan.calls}, recordings: {plan.recordings}")
        except Exception:
            if customer:
                await asyncio.to_thread(exhume, self.recordings, customer)
            raise
        return await self.complete(marked)

    async def mark(self, ids: Collection[str], erasing: str, *conditions: ColumnElement[bool]) -> None:
        """Mark calls, at most some hundreds, of which something is to go; those that fail a condition are left."""
        marked = update(CallRow).where(CallRow.id.in_(ids), *conditions).values(erasing=erasing)
        async with self.database.session() as session:
            await session.execute(marked)

    async def complete(self, ids: Sequence[str] | None = None) -> Done:
        """Remove what is marked, of these calls or of all."""
        done = Done()
        if ids is not None:
            for first in range(0, len(ids), BATCH):
                done += await self._complete(CallRow.id.in_(ids[first : first + BATCH]))
            return done
        after = ""
        while batch := await self._marked(CallRow.id > after):
            done += await self._complete(CallRow.id.in_([each.id for each in batch]))
            after = batch[-1].id
        return done

    async def _complete(self, which: ColumnElement[bool]) -> Done:
        began_s = time.monotonic()
        batch = await self._marked(which)
        stuck = await self._remove_messages(batch)
        stuck |= await asyncio.to_thread(self._remove, [each for each in batch if each.id not in stuck])
        freed = [each for each in batch if each.id not in stuck]
        await self._wipe([each.id for each in freed if each.erasing == "recording"], {"recording": ""})
        await self._wipe([each.id for each in freed if each.erasing != "recording"], _anonymous())
        await asyncio.sleep(self._rests * (time.monotonic() - began_s))
        calls = sum(each.erasing != "recording" for each in freed)
        return Done(calls, sum(bool(each.recording) for each in freed), tuple(stuck.items()))

    async def _plan(self, session: AsyncSession, whose: Whose) -> Plan:
        kept = whose.calls() & CallRow.erased.not_in(_GONE)
        not_gone = kept & ~may_go()
        counts = select(func.count(), func.count(case((CallRow.recording != "", 1)))).where(kept)
        calls, recordings = (await session.execute(counts)).one()
        messages = await session.scalars(select(CallRow.voicemail).where(kept, CallRow.voicemail != ""))
        has_profile = await session.scalar(_customer(whose.number)) is not None
        if not calls and not has_profile:
            raise UnknownCall(_NOTHING_OF_CALLER if whose.number else _NO_CALL)
        held = list(await session.scalars(select(CallRow.hold).where(kept, CallRow.hold.is_not(None))))
        going_on = await session.scalar(select(func.count()).where(not_gone, CallRow.hold.is_(None)))
        obstacle = _obstacle(calls, held, going_on or 0)
        takes_messages = self._remove_message is not None
        return Plan(calls, recordings, tuple(messages), takes_messages, has_profile, obstacle)

    async def _remove_messages(self, batch: Sequence[Doomed]) -> dict[str, str]:
        stuck: dict[str, str] = {}
        if self._remove_message is None:
            return stuck
        why = ""
        for each in batch:
            if each.voicemail and each.erasing != "recording":
                if len(stuck) < _MOST_REFUSALS:  # each may take seconds where the carrier is away
                    why = await self._remove_message(each.voicemail)
                if why:
                    stuck[each.id] = f"The caller's message can't be removed at the carrier: {why}"
        return stuck

    def _remove(self, batch: Sequence[Doomed]) -> dict[str, str]:
        stuck = remove_files(self.recordings, batch)
        asked = [each.id for each in batch if each.erasing == "request" and each.id not in stuck]
        try:
            bury(self.recordings, asked, datetime.now(UTC))
        except OSError as error:
            stuck |= dict.fromkeys(asked, f"Its tombstone can't be written: {error.strerror}.")
        return stuck

    async def _marked(self, which: ColumnElement[bool]) -> list[Doomed]:
        query = select(CallRow.id, CallRow.recording, CallRow.erasing, CallRow.voicemail)
        query = query.where(CallRow.erasing.in_(("recording", *_GONE)))
        async with self.database.session() as session:
            found = await session.execute(query.where(which).order_by(CallRow.id).limit(BATCH))
            return [Doomed(*each) for each in found]

    async def _wipe(self, ids: Collection[str], values: dict[str, Any]) -> None:
        if not ids:
            return
        values = values | {"erased": CallRow.erasing, "erasing": "", "erased_at": datetime.now(UTC)}
        scores = select(ScoreRow.id).where(ScoreRow.call_id.in_(ids))
        async with self.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id.in_(ids), CallRow.erasing != "").values(**values))
            if "from_number" not in values:
                return
            for table in (TurnRow, NonceRow):
                await session.execute(delete(table).where(table.call_id.in_(ids)))
            await session.execute(update(EventRow).where(EventRow.call_id.in_(ids)).values(detail=""))
            quotes = update(VerdictRow).where(VerdictRow.score_id.in_(scores))
            await session.execute(quotes.values(quote="", reason="", turn_index=None))

    async def _bury_customer(self, number: str) -> str:
        """Leave the tombstone of a customer who is about to go; return its name, "" where there is none."""
        if not number:
            return ""
        async with self.database.session() as session:
            found = await session.scalar(_customer(number))
        if found is None:
            return ""
        await asyncio.to_thread(bury, self.recordings, [f"customer-{found}"], datetime.now(UTC))
        return f"customer-{found}"


def may_go() -> ColumnElement[bool]:
    """Return the condition of calls that are over, for their callers too, and not held."""
    is_over = CallRow.status.not_in(OPEN) & CallRow.handoff_result.not_in(_ON_THE_LINE)
    return CallRow.hold.is_(None) & or_(is_over, CallRow.created_at < datetime.now(UTC) - LONGEST_CALL)


def _anonymous() -> dict[str, Any]:
    """Return the columns of a call of which nobody can tell whose it was; what analytics counts is none of them."""
    is_open = CallRow.status.in_(OPEN)
    blank = ("from_number", "account_id", "gateway", "reason", "role_prompt", "recording", "leg_id", "voicemail")
    return {
        **dict.fromkeys(blank, ""),
        **dict.fromkeys(("handoff", "asked", "hold", "customer", "score_due_at")),
        "judge_tries": 0,  # no judge is to come any more
        "carrier_call_id": CallRow.id,  # what the carrier calls it would lead to the carrier's own log
        "status": case((is_open, "lost"), else_=CallRow.status),
        "outcome": case((is_open, LOST["live"]["outcome"]), else_=CallRow.outcome),
    }


def _customer(number: str) -> Select[int]:
    return select(CustomerNumberRow.customer_id).where(CustomerNumberRow.number == number)


_NO_CALL = "There is no call with this id, or it is erased already."
_NOTHING_OF_CALLER = "Nothing is kept of this caller."


def _obstacle(calls: int, held: Sequence[Any], going_on: int) -> str:
    if held:
        of_many = "One of these calls is" if len(held) == 1 else f"{len(held)} of these calls are"
        number = "This call is" if calls == 1 else of_many
        reasons = "; ".join(sorted({each["reason"].rstrip(".") for each in held}))
        return f"{number} on hold: {reasons}. Release the hold first."
    if going_on:
        return "A call that is still going on can't be erased; wait until the caller has hung up."
    return ""
