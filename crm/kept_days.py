"""Sums of days that are over, kept, so that figures over months read a row a day and not every call.

a call changes ──trigger──▶ changed_calls        page ──▶ kept day that no changed call lies in ──▶ sums
                                                      └─▶ else: counted, and kept again, what it took in struck off

Triggers (migration 0013) note each change of a call that began over half an hour ago, whoever makes it: a late end or
score, a new one, an erasure. What is noted is struck off by whoever has counted the day in one snapshot with it. Only
days that were over for an hour are kept: a transaction that changed a call of such a day without noting it would have
been open for half an hour.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crm.sums import ByPersona, packed, sums_of
from crm.tables import ChangedCallRow, KeptDayRow
from personas.db import Database

SETTLES = timedelta(hours=1)
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
        async with self._alone() as session:
            same = KeptDayRow.begin == begin, KeptDayRow.until == until
            if row := (await session.execute(_true().where(*same))).one_or_none():  # somebody was faster
                return row.figures, row.waits
            inside = ChangedCallRow.at >= begin, ChangedCallRow.at < until
            noted = (await session.scalars(select(ChangedCallRow.id).where(*inside))).all()
            sums = await sums_of(session, begin, until)
            figures, waits = packed(sums)
            await session.execute(delete(KeptDayRow).where(KeptDayRow.begin < until, KeptDayRow.until > begin))
            await session.execute(insert(KeptDayRow).values(begin=begin, until=until, figures=figures, waits=waits))
            for place in range(0, len(noted), 500):
                await session.execute(delete(ChangedCallRow).where(ChangedCallRow.id.in_(noted[place : place + 500])))
            return sums

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[AsyncSession]:
        """One transaction that sees one state of the database, while nobody else keeps days.

        SQLite's writers wait meanwhile; PostgreSQL's don't, and what they change is not seen nor struck off.
        """
        async with self._database.session() as session:
            if self._database.url.get_backend_name() == "sqlite":
                await session.execute(text("BEGIN IMMEDIATE"))
            else:
                await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                await session.execute(text("LOCK TABLE kept_days IN SHARE ROW EXCLUSIVE MODE"))
            yield session


def _true() -> Select[Any]:
    """Return the query for kept days in which no call has changed since they were counted."""
    changed = select(ChangedCallRow.id).where(
        ChangedCallRow.at >= KeptDayRow.begin, ChangedCallRow.at < KeptDayRow.until
    )
    return select(KeptDayRow.begin, KeptDayRow.until, KeptDayRow.figures, KeptDayRow.waits).where(~changed.exists())
