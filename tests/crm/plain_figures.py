"""Figures over many calls by one plain query each: what those that are added up from sums of days must equal."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Date, Executable, Float, case, cast, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from crm.analytics import CriterionCount, Day, Figures, OutcomeCount, PersonaFigures, Timing
from crm.call import CallFilter
from crm.queries import matching
from crm.reference import EDGES_MS
from crm.tables import CallRow, ScoreRow, TransferRow, VerdictRow
from personas.db import Database
from tests.crm.zone_offsets import offsets


@dataclass(frozen=True, slots=True)
class PlainFigures:
    """Figures of the calls in one database. ``CallFilter`` narrows them, as it does the list of calls."""

    database: Database

    async def figures(
        self, since: datetime | None = None, until: datetime | None = None, zone: tzinfo = UTC, persona: str = ""
    ) -> Figures:
        """Return what ``crm.analytics.Analytics.figures`` should."""
        where = CallFilter(persona_slug=persona, since=since, until=until, is_test=False)
        return Figures(
            await self.days(where, zone),
            await self.personas(where),
            await self.outcomes(where),
            await self.criteria(where),
            await self.timing(where),
        )

    async def days(self, where: CallFilter, zone: tzinfo = UTC) -> list[Day]:
        """Return calls by day of ``zone``, oldest first; days without calls are left out."""
        ends = select(*(select(end(CallRow.created_at)).scalar_subquery() for end in (func.min, func.max)))
        ((first, last),) = await self._rows(ends)
        if first is None:
            return []
        day = self._day(offsets(zone, max(where.since or first, first), min(where.until or last, last)))
        query = (
            select(
                day.label("day"),
                func.count(),
                func.count(CallRow.answered_at),
                func.coalesce(func.sum(CallRow.duration_ms), 0),
            )
            .where(*matching(where))
            .group_by("day")
            .order_by("day")
        )
        return [
            Day(found if isinstance(found, date) else date.fromisoformat(found), calls, answered, float(ms) / 60_000)
            for found, calls, answered, ms in await self._rows(query)
        ]

    def _day(self, spans: list[tuple[datetime, timedelta]]) -> ColumnElement[Any]:
        """Return a call's day, of a zone that has these offsets (``zone_offsets``)."""
        days = [self._shifted(offset) for _begin, offset in spans]
        before = [CallRow.created_at < begin for begin, _offset in spans[1:]]
        return case(*zip(before, days, strict=False), else_=days[-1]) if before else days[-1]

    def _shifted(self, offset: timedelta) -> ColumnElement[Any]:
        if self._is_sqlite:  # which would round the last half millisecond of a day into the next
            return func.date(func.substr(CallRow.created_at, 1, 19), f"{offset.total_seconds():+.0f} seconds")
        return cast(func.timezone("UTC", CallRow.created_at) + offset, Date)

    async def personas(self, where: CallFilter) -> list[PersonaFigures]:
        """Return each persona's figures, the busiest first."""
        query = (
            select(
                CallRow.persona_slug,
                func.max(CallRow.persona_title),
                func.count(),
                func.count(CallRow.score),
                func.avg(CallRow.score),
                func.avg(case((CallRow.score.is_not(None), CallRow.coverage))),
                func.count(case((CallRow.failed_critical > 0, 1))),
            )
            .where(CallRow.persona_slug.is_not(None), *matching(where))
            .group_by(CallRow.persona_slug)
            .order_by(func.count().desc(), CallRow.persona_slug)
        )
        found = await self._rows(self._wait_percentiles(where, CallRow.persona_slug))
        waits = {slug: (p50, p90) for slug, p50, p90 in found}
        return [
            PersonaFigures(*line, *(_rounded(wait) for wait in waits.get(line[0], (None, None))))
            for line in await self._rows(query)
        ]

    def _wait_percentiles(self, where: CallFilter, of: ColumnElement[Any] | InstrumentedAttribute[Any]) -> Executable:
        """p50 and p90 of all offsets by ``of``, by rank: the smallest with that share at or below it."""
        ranked = (
            select(
                of.label("of"),
                TransferRow.offset_ms.label("offset"),
                func.row_number().over(partition_by=of, order_by=TransferRow.offset_ms).label("place"),
                func.count().over(partition_by=of).label("number"),
            )
            .join(CallRow, CallRow.id == TransferRow.call_id)
            .where(of.is_not(None), *matching(where))
            .subquery()
        )

        def at(share: float) -> ColumnElement[Any]:
            reached = cast(ranked.c.place, Float) >= share * ranked.c.number
            return func.min(case((reached, ranked.c.offset)))

        return select(ranked.c.of, at(0.5), at(0.9)).group_by(ranked.c.of)

    async def timing(self, where: CallFilter) -> Timing:
        """Return the timing of all conversations together."""
        under = [func.count(case((TransferRow.offset_ms < int(edge), 1))) for edge in EDGES_MS]
        counting = select(*under, func.count()).join(CallRow, CallRow.id == TransferRow.call_id)
        ((*counts, number),) = await self._rows(counting.where(*matching(where)))
        percentiles = await self._rows(self._wait_percentiles(where, literal("all")))
        _, p50_ms, p90_ms = percentiles[0] if percentiles else ("", None, None)

        def total(*path: str) -> ColumnElement[int]:
            return func.coalesce(func.sum(CallRow.dynamics[path].as_integer()), 0)

        unanswered = CallRow.dynamics["agent_answered"].as_boolean().is_(False)
        dead_air = CallRow.dynamics["dead_air_count"].as_integer()
        sums = select(
            func.count(dead_air),
            func.count(case((unanswered, 1))),
            total("dead_air_count"),
            func.count(case((dead_air > 0, 1))),
            *(total("takeovers", name) for name in ("in_speech", "in_pause", "pauses", "long_ipus")),
            *(total("overlap", name) for name in ("ms", "speech_ms")),
            *(total("backchannels", name) for name in ("count", "caller_floor_ms")),
        )
        ((*plain, in_speech, in_pause, pauses, long_ipus, both_ms, speech_ms, heard, floor_ms),) = await self._rows(
            sums.where(*matching(where))
        )
        return Timing(
            tuple(np.diff([0, *counts, number]).tolist()),
            _rounded(p50_ms),
            _rounded(p90_ms),
            *plain,
            false_takeover_rate=_share(in_speech + in_pause, pauses + long_ipus),
            overlap_share=_share(both_ms, speech_ms),
            backchannels_per_minute=_share(60_000 * heard, floor_ms),
        )

    async def outcomes(self, where: CallFilter) -> list[OutcomeCount]:
        """Return how calls ended, the commonest first."""
        query = (
            select(CallRow.status, CallRow.outcome, func.count())
            .where(*matching(where))
            .group_by(CallRow.status, CallRow.outcome)
            .order_by(func.count().desc(), CallRow.status, CallRow.outcome)
        )
        return [OutcomeCount(*line) for line in await self._rows(query)]

    async def criteria(self, where: CallFilter) -> list[CriterionCount]:
        """Return how each criterion was judged in the calls' latest scores, those that failed most first."""
        other = aliased(ScoreRow)  # by call, not a list of all: SQLite would go through that list for every call
        latest = select(func.max(other.id)).where(other.call_id == CallRow.id).correlate(CallRow).scalar_subquery()

        def judged(verdict: str) -> ColumnElement[int]:
            return func.count(case((VerdictRow.verdict == verdict, 1)))

        query = (
            select(
                VerdictRow.criterion_id,
                func.max(VerdictRow.text),
                judged("pass"),
                judged("fail").label("failed"),
                judged("unresolved"),
            )
            .join(ScoreRow, ScoreRow.id == VerdictRow.score_id)
            .join(CallRow, CallRow.id == ScoreRow.call_id)
            .where(VerdictRow.verdict != "na", ScoreRow.id == latest, *matching(where))
            .group_by(VerdictRow.criterion_id)
            .order_by(judged("fail").desc(), VerdictRow.criterion_id)
        )
        return [CriterionCount(*line) for line in await self._rows(query)]

    @property
    def _is_sqlite(self) -> bool:
        return self.database.url.get_backend_name() == "sqlite"

    async def _rows(self, query: Executable) -> list[Any]:
        async with self.database.session() as session:
            return list((await session.execute(query)).all())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 1)


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
