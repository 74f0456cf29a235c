"""Figures over many calls, for pages and reports: sums of days, added up (crm/sums.py, crm/kept_days.py).

Percentiles are those of all floor transfers pooled, not of calls: a call alone has too few.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

import numpy as np
import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from crm.kept_days import Kept, KeptDays, Span
from crm.reference import EDGES_MS
from crm.sums import ByPersona, Sums, Waits, counted, unpacked
from crm.tables import CallRow
from personas.days import begin_of
from personas.db import Database

log = structlog.get_logger(__name__)

COUNTS_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class Day:
    """Calls of one day of a time zone."""

    day: date
    calls: int
    answered: int
    minutes: float


@dataclass(frozen=True, slots=True)
class PersonaFigures:
    """One persona's calls: mean ``score`` and ``coverage`` of those scored, offsets of all transfers pooled."""

    slug: str
    title: str
    calls: int
    scored: int
    score: float | None
    coverage: float | None
    failed_critical: int
    onset_p50_ms: float | None
    onset_p90_ms: float | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many calls ended one way."""

    status: str
    outcome: str
    calls: int


@dataclass(frozen=True, slots=True)
class CriterionCount:
    """How a criterion was judged in the latest scores of the calls it applied to."""

    criterion_id: str
    text: str
    passed: int
    failed: int
    unresolved: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How conversations went in time, all of them pooled; what depends on an occasion is None where there was none.

    ``waits`` are the offsets of floor transfers from caller to agent by bin of ``crm.reference``, [17]; definitions
    as in ``crm.dynamics``. ``measured``: calls whose recording was looked at, ``unanswered`` of which heard no agent
    after the caller's first words.
    """

    waits: tuple[int, ...]
    p50_ms: float | None
    p90_ms: float | None
    measured: int
    unanswered: int
    dead_air: int
    dead_air_calls: int
    false_takeover_rate: float | None
    overlap_share: float | None
    backchannels_per_minute: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Days oldest first, those without calls left out; personas and endings the commonest first; criteria those
    that failed most first.
    """

    days: list[Day]
    personas: list[PersonaFigures]
    outcomes: list[OutcomeCount]
    criteria: list[CriterionCount]
    timing: Timing


class Analytics:
    """Figures of callers' calls in one database; tests are not counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept = KeptDays(database)

    async def figures(
        self, since: datetime | None = None, until: datetime | None = None, zone: tzinfo = UTC, persona: str = ""
    ) -> Figures:
        """Return the figures of calls that began from ``since`` to before ``until``, by days of ``zone``.

        ``persona`` is the slug of the one whose calls are meant; all calls, where it is empty.
        """
        spans = await self._days(since, until, zone)
        if not spans:
            return _figures([], persona)
        kept = await self._kept.kept(spans[0][1][0], spans[-1][1][1])
        found = []
        for day, span in spans:
            is_day = span == _whole(day, zone)
            found.append((day, kept.get(span) or await self._kept.count(*span, is_day=is_day)))
        return await asyncio.to_thread(_figures, found, persona)

    async def count_ahead(self, zone: tzinfo, stop: asyncio.Event, every_s: float = COUNTS_EVERY_S) -> None:
        """Until ``stop``, count days that are over before somebody asks; for a process without live calls."""
        while not stop.is_set():
            try:
                await self.figures(zone=zone)
            except (SQLAlchemyError, OSError) as error:
                log.warning("days could not be counted", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stop.wait()

    async def _days(self, since: datetime | None, until: datetime | None, zone: tzinfo) -> list[tuple[date, Span]]:
        """Return the days in which there may be calls, each with the part of it that is meant."""
        first, last = (select(end(CallRow.created_at)).scalar_subquery() for end in (func.min, func.max))
        async with self._database.session() as session:
            first, last = (await session.execute(select(first, last))).one()
        if first is None:
            return []
        first = max(first, since) if since else first
        found = []
        day = first.astimezone(zone).date()
        while (whole := _whole(day, zone))[0] <= last and (not until or whole[0] < until):
            span = max(whole[0], since or whole[0]), min(whole[1], until or whole[1])
            if span[0] < span[1]:  # a day that a zone left out has none
                found.append((day, span))
            day += timedelta(1)
        return found


def _whole(day: date, zone: tzinfo) -> Span:
    return begin_of(day, zone), begin_of(day + timedelta(1), zone)


def _figures(days: Sequence[tuple[date, ByPersona | Kept]], persona: str) -> Figures:
    """Add up; takes tens of milliseconds for months."""
    by_persona: ByPersona = {}
    by_day: list[Day] = []
    for day, found in days:
        sums = unpacked(*found) if isinstance(found, tuple) else found
        chosen = {slug: each for slug, each in sums.items() if not persona or slug == persona}
        for slug, each in chosen.items():
            by_persona.setdefault(slug, Sums()).add(each)
        if calls := sum(each.calls for each in chosen.values()):
            answered, ms = (sum(each.numbers[name] for each in chosen.values()) for name in ("answered", "duration_ms"))
            by_day.append(Day(day, calls, answered, ms / 60_000))
    total = Sums()
    for each in by_persona.values():
        total.add(each)
    personas = [_persona(slug, each) for slug, each in by_persona.items() if slug]
    outcomes = [OutcomeCount(*ending, calls) for ending, calls in total.endings.items()]
    criteria = [
        CriterionCount(name, each.text, each.passed, each.failed, each.unresolved)
        for name, each in total.criteria.items()
    ]
    return Figures(
        by_day,
        sorted(personas, key=lambda each: (-each.calls, each.slug)),
        sorted(outcomes, key=lambda each: (-each.calls, each.status, each.outcome)),
        sorted(criteria, key=lambda each: (-each.failed, each.criterion_id)),
        _timing(total),
    )


def _persona(slug: str, sums: Sums) -> PersonaFigures:
    waits, numbers = counted(sums.waits), sums.numbers
    return PersonaFigures(
        slug=slug,
        title=sums.title,
        calls=sums.calls,
        scored=numbers["scored"],
        score=_share(sums.score, numbers["scored"]),
        coverage=_share(sums.coverage, numbers["scored"]),
        failed_critical=numbers["failed_critical"],
        onset_p50_ms=_percentile(waits, 0.5),
        onset_p90_ms=_percentile(waits, 0.9),
    )


def _timing(sums: Sums) -> Timing:
    waits, numbers = counted(sums.waits), sums.numbers
    bins = np.searchsorted(EDGES_MS, waits[:, 0], side="right")
    return Timing(
        waits=tuple(np.bincount(bins, waits[:, 1], len(EDGES_MS) + 1).astype(int).tolist()),
        p50_ms=_percentile(waits, 0.5),
        p90_ms=_percentile(waits, 0.9),
        measured=numbers["measured"],
        unanswered=numbers["unanswered"],
        dead_air=numbers["dead_air"],
        dead_air_calls=numbers["dead_air_calls"],
        false_takeover_rate=_share(
            numbers["in_speech"] + numbers["in_pause"], numbers["pauses"] + numbers["long_ipus"]
        ),
        overlap_share=_share(numbers["both_ms"], numbers["speech_ms"]),
        backchannels_per_minute=_share(60_000 * numbers["heard"], numbers["floor_ms"]),
    )


def _percentile(waits: Waits, share: float) -> float | None:
    """Return the smallest offset with that share of them at or below it, None without any."""
    if not len(waits):
        return None
    reached = np.cumsum(waits[:, 1])
    return float(waits[np.searchsorted(reached, share * reached[-1]), 0])


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
