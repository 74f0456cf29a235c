"""Sums of days that are over, kept, so that figures over months read a row a day and not every call.

a call changes ──trigger──▶ changed_calls        page ──▶ kept day that no changed call lies in ──▶ sums
                                                      └─▶ else: counted, and kept again, what it took in struck off

Triggers (migration 0015) note each change of a call that began over half an hour ago, whoever makes it: a late end or
score, a new one, an erasure. What is noted is struck off by whoever has counted the day in one snapshot with it. Only
days that were over for an hour are kept: a transaction that changed a call of such a day without noting it would have
been open for half an hour.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm.sums import ByPersona, Rows, packed, sums_of
from crm.tables import ChangedCallRow, KeptDayRow
from personas.db import Database

SETTLES = timedelta(hours=1)
_STRUCK_OFF = 500
_CHANGES_EVER = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changed_calls'")
_AT_ONCE = 8  # rows, of some ten KB each: live calls share the event loop

Span = tuple[datetime, datetime]
"""From a moment to before another."""
Kept = tuple[str, bytes]
"""As ``crm.sums.packed`` makes it."""


class KeptDays:
    """The sums of one database's days, of whichever time zone they are asked for; of two zones the last one stays."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self, begin: datetime, until: datetime) -> dict[Span, Kept]:
        """Return what is kept of the days within a span, and still true."""
        query = _true().where(KeptDayRow.begin >= begin, KeptDayRow.until <= until)
        found: dict[Span, Kept] = {}
        async with self._database.session() as session:
            rows = await session.stream(query, execution_options={"yield_per": _AT_ONCE})
            async for row in rows:
                found[row.begin, row.until] = row.figures, row.waits
        return found

    async def count(self, begin: datetime, until: datetime, *, is_day: bool) -> ByPersona | Kept:
        """Count a span; keep it, if it is a day that is over."""
        if not is_day or until > datetime.now(UTC) - SETTLES:
            async with self._database.session() as session:
                return await sums_of(session, begin, until)
        keep = self._keep_beside_writers if self._is_sqlite else self._keep_in_one
        return await keep(begin, until)

    async def _keep_in_one(self, begin: datetime, until: datetime) -> ByPersona | Kept:
        """For PostgreSQL: what is changed meanwhile is not seen, and stays noted."""
        async with self._database.session() as session:
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await session.execute(
                text("LOCK TABLE kept_days IN SHARE ROW EXCLUSIVE MODE")
            )  # others that keep days wait
            if row := (await session.execute(_true().where(*_same(begin, until)))).one_or_none():
                return row.figures, row.waits  # somebody was faster
            noted = (await session.scalars(_noted(begin, until))).all()
            sums = await sums_of(session, begin, until)
            await _keep(session, begin, until, sums, noted)
            return sums

    async def _keep_beside_writers(self, begin: datetime, until: datetime) -> ByPersona:
        """For SQLite, where one who writes keeps all others from it: count as a reader, write if nothing has changed.

        Otherwise the next one who asks counts again.
        """
        async with self._database.session() as session:
            await session.execute(text("BEGIN"))  # one state for all that is read
            changes = await session.scalar(_CHANGES_EVER)
            noted = (await session.scalars(_noted(begin, until))).all()
            sums = await sums_of(session, begin, until)
        async with self._database.session() as session:
            await session.execute(text("BEGIN IMMEDIATE"))
            if await session.scalar(_CHANGES_EVER) == changes:
                await _keep(session, begin, until, sums, noted)
        return sums

    @property
    def _is_sqlite(self) -> bool:
        return self._database.url.get_backend_name() == "sqlite"


async def _keep(session: AsyncSession, begin: datetime, until: datetime, sums: ByPersona, noted: Sequence[int]) -> None:
    figures, waits = packed(sums)
    await session.execute(delete(KeptDayRow).where(KeptDayRow.begin < until, KeptDayRow.until > begin))
    await session.execute(insert(KeptDayRow).values(begin=begin, until=until, figures=figures, waits=waits))
    for place in range(0, len(noted), _STRUCK_OFF):
        some = noted[place : place + _STRUCK_OFF]
        await session.execute(delete(ChangedCallRow).where(ChangedCallRow.id.in_(some)))


def _same(begin: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return KeptDayRow.begin == begin, KeptDayRow.until == until


def _noted(begin: datetime, until: datetime) -> Select[int]:
    return select(ChangedCallRow.id).where(ChangedCallRow.at >= begin, ChangedCallRow.at < until)


def _true() -> Rows:
    """Return the query for kept days in which no call has changed since they were counted."""
    changed = select(ChangedCallRow.id).where(
        ChangedCallRow.at >= KeptDayRow.begin, ChangedCallRow.at < KeptDayRow.until
    )
    return select(KeptDayRow.begin, KeptDayRow.until, KeptDayRow.figures, KeptDayRow.waits).where(~changed.exists())
