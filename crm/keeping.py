"""How long calls are kept: what is older than the limits goes, and so does what was asked to go and has not gone yet.

sweep: what a restored backup brought back ─▶ what is marked ─▶ calls, recordings over their time ─▶ files of no call
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, delete, false, func, or_, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from crm.call import Erasure
from crm.erasure import BATCH, Done, Erasures, may_go
from crm.removal import Doomed, buried, calls_in, old_folders, remove_files
from crm.store import OPEN
from crm.tables import CallRow, CustomerRow
from personas.audit import PARLEY, Action, AuditLog, Subject

log = structlog.get_logger(__name__)

SWEEPS_EVERY_S = 600.0
RETRIES_AFTER_S = 5.0
_LONGEST_RETRY_S = 300.0
_CUSTOMER = "customer-"
_MOST_AT_ONCE = 500  # calls that one query asks for by name


@dataclass(frozen=True, slots=True)
class Limits:
    """Days that a call is kept after it began, and its recording, which goes with the call at the latest.

    0 is for ever.
    """

    calls_days: int = 0
    recordings_days: int = 0

    def calls(self) -> ColumnElement[bool]:
        """Return the condition of calls whose time is over."""
        is_there = CallRow.erased.in_(("", "recording")) & CallRow.erasing.in_(("", "recording"))
        return _before(self.calls_days) & is_there

    def recordings(self) -> ColumnElement[bool]:
        """Return the condition of calls whose recording's time is over, whether they had one or not."""
        return _before(self.recordings_days) & (CallRow.erased == "") & (CallRow.erasing == "")


@dataclass(frozen=True, slots=True)
class Due:
    """What a sweep would remove; ``held`` calls it would leave, ``unfinished`` is what was begun."""

    calls: int
    recordings: int
    held: int
    unfinished: int


class Keeper:
    """Sweeps one database and its folder of recordings. Methods raise SQLAlchemy's errors."""

    def __init__(self, erasures: Erasures, limits: Limits) -> None:
        self._erasures = erasures
        self._database = erasures.database
        self._recordings = erasures.recordings
        self._limits = limits

    async def due(self) -> Due:
        """Return what a sweep would remove."""
        calls, recordings = self._limits.calls(), self._limits.recordings()
        conditions = (
            calls & may_go(),
            recordings & may_go() & (CallRow.recording != "") & ~calls,
            or_(calls, recordings) & CallRow.hold.is_not(None),
            CallRow.erasing != "",
        )
        async with self._database.session() as session:
            counts = [select(func.count()).select_from(CallRow).where(each) for each in conditions]
            return Due(*[await session.scalar(count) or 0 for count in counts])

    async def sweep(self) -> Done:
        """Remove what is due, in small batches with rests between."""
        await self._again_after_restore()
        done = await self._erasures.complete()
        done += await self._over_time("call", self._limits.calls)
        done += await self._over_time("recording", self._limits.recordings)
        await self._strays()
        for call_id, why in done.stuck:
            log.error("files of a call could not be removed", call_id=call_id, reason=why)
        if done.calls or done.recordings:
            log.info("calls were erased", calls=done.calls, recordings=done.recordings)
            what = f"calls: {done.calls}, recordings: {done.recordings}"
            await AuditLog(self._database).record(PARLEY, Action.CALLS_PRUNED, Subject("calls", ""), what)
        return done

    async def _over_time(self, erasing: Erasure, due: Callable[[], ColumnElement[bool]]) -> Done:
        done = Done()
        query = select(CallRow.id, CallRow.recording).order_by(CallRow.erased, CallRow.created_at).limit(BATCH)
        while True:
            async with self._database.session() as session:
                found = (await session.execute(query.where(due(), may_go()))).all()
            if not found:
                return done
            ids = [call_id for call_id, _ in found]
            try:
                await self._erasures.mark(ids, erasing, due(), may_go())
            except OperationalError:  # a full disk takes no mark: what is due anyway makes room for it
                doomed = [Doomed(call_id, recording, erasing) for call_id, recording in found]
                await asyncio.to_thread(remove_files, self._recordings, doomed)
                await self._erasures.mark(ids, erasing, due(), may_go())
            done += await self._erasures.complete(ids)

    async def _again_after_restore(self) -> None:
        """Mark what was erased on request once and is there again: a hold on it is older than its tombstone."""
        tombstones = await asyncio.to_thread(buried, self._recordings)
        customers = {name: at for name, at in tombstones.items() if name.startswith(_CUSTOMER)}
        for ids in _some_at_once(tombstones.keys() - customers.keys()):
            await self._erasures.mark(ids, "request", CallRow.erased != "request", CallRow.erasing != "request")
        for name, at in customers.items():
            number = name.removeprefix(_CUSTOMER)
            if number.isdecimal():  # a database may give the number again, to a customer who came later
                same = (CustomerRow.id == int(number)) & (CustomerRow.updated_at <= at)
                async with self._database.session() as session:
                    await session.execute(delete(CustomerRow).where(same))

    async def _strays(self) -> None:
        """Remove files over their time that no call leads to: of restored folders, lost databases, torn writes."""
        days = min(filter(None, (self._limits.calls_days, self._limits.recordings_days)), default=0)
        if days:
            before = _ago(days + 1).date()  # a recording lies in the day of its first second, not of its call's
            for folder in await asyncio.to_thread(old_folders, self._recordings, before):
                await self._strays_in(folder, datetime.now(UTC))
        if self._limits.calls_days:
            for folder in ("live", "unsaved"):
                await self._strays_in(folder, _ago(self._limits.calls_days))

    async def _strays_in(self, folder: str, before: datetime) -> None:
        """Remove the files in a folder, last written before ``before``, of calls that do not have them there."""
        for ids in _some_at_once(await asyncio.to_thread(calls_in, self._recordings, folder, before)):
            has_it = CallRow.recording == folder + "/" + CallRow.id + ".wav"
            wanted = has_it | CallRow.status.in_(OPEN) | (CallRow.erasing != "")
            async with self._database.session() as session:
                kept = set(await session.scalars(select(CallRow.id).where(CallRow.id.in_(ids), wanted)))
            strays = [Doomed(each, f"{folder}/{each}.wav", "call") for each in ids if each not in kept]
            if not strays:
                continue
            stuck = await asyncio.to_thread(remove_files, self._recordings, strays)
            log.warning("files of no call were removed", folder=folder, calls=len(strays) - len(stuck))
            for call_id, why in stuck.items():
                log.error("files of no call could not be removed", call_id=call_id, reason=why)


async def keep(
    keeper: Keeper, stop: asyncio.Event, every_s: float = SWEEPS_EVERY_S, retry_s: float = RETRIES_AFTER_S
) -> None:
    """Sweep now and then until ``stop``; a database that is away is asked again, ever less often."""
    tries = 0
    while not stop.is_set():
        try:
            await keeper.sweep()
            pause_s, tries = every_s, 0
        except (SQLAlchemyError, OSError) as error:
            pause_s, tries = min(2**tries * retry_s, _LONGEST_RETRY_S), tries + 1
            log.warning("calls could not be erased yet", error=type(error).__name__, again_in_s=pause_s)
        try:
            async with asyncio.timeout(pause_s):
                await stop.wait()
        except TimeoutError:
            continue


def _before(days: int) -> ColumnElement[bool]:
    return CallRow.created_at < _ago(days) if days else false()


def _ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days)


def _some_at_once(ids: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(ids)
    for first in range(0, len(every), _MOST_AT_ONCE):
        yield every[first : first + _MOST_AT_ONCE]
