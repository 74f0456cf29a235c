"""The console's page of figures over many calls: how many, how they ended, how well roles were kept."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from crm.admin.filters import ChosenCalls, chosen_calls
from crm.admin.timing import shown_timing
from crm.admin.words import OUTCOMES, STATUSES
from crm.analytics import Analytics, Day, OutcomeCount, PersonaFigures
from crm.call import CallFilter
from personas.admin.access import ANALYST
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.store import PersonaStore

PATH = "/overview"
SHOWN_DAYS = 30
MOST_CRITERIA = 15
MOST_EMPTY_DAYS = 400


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's calls in the chart; ``height`` is of 100, ``answered_height`` the part that an agent answered."""

    day: date
    calls: int
    answered: int
    height: float
    answered_height: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the chosen calls. ``score`` is the mean over all that were scored, None without any."""

    calls: int
    answered: int
    minutes: float
    scored: int
    score: float | None
    failed_critical: int


def section(analytics: Analytics, personas: PersonaStore) -> Section:
    """Return the section "Overview" for ``personas.admin.console.mount``."""
    router, pages = APIRouter(), Pages("crm")

    @router.get(PATH, dependencies=ANALYST)
    async def overview(request: Request, chosen: Annotated[ChosenCalls, Depends(chosen_calls)]) -> Response:
        chosen = replace(_lately(chosen), status="", outcome="", caller_of="", kind="callers")
        where = chosen.where()
        figures = await analytics.figures(where.since, where.until, chosen.zone, chosen.persona)
        return await pages(
            request,
            "overview.html",
            active=PATH,
            chosen=chosen,
            titles=await personas.titles(),
            totals=totals(figures.days, figures.personas),
            bars=bars(figures.days, *_window(where, chosen.zone)),
            by_persona=figures.personas,
            outcomes=[(ending(each), each.calls, _calls(chosen, each)) for each in figures.outcomes],
            timing=await asyncio.to_thread(shown_timing, figures.timing),
            criteria=[each for each in figures.criteria if each.failed][:MOST_CRITERIA],
            calls_of=lambda slug: f"/calls?{urlencode(chosen.query() | {'persona': slug})}",
        )

    return Section("Overview", PATH, "history", router)


def totals(days: Sequence[Day], by_persona: Sequence[PersonaFigures]) -> Totals:
    """Return the sums of what was counted by day and by persona."""
    scored = sum(each.scored for each in by_persona)
    weighed = sum(each.score * each.scored for each in by_persona if each.score is not None)
    return Totals(
        calls=sum(each.calls for each in days),
        answered=sum(each.answered for each in days),
        minutes=sum(each.minutes for each in days),
        scored=scored,
        score=weighed / scored if scored else None,
        failed_critical=sum(each.failed_critical for each in by_persona),
    )


def bars(days: Sequence[Day], first: date, last: date) -> list[Bar]:
    """Return the bars of the days from ``first`` to ``last``; from first to last call where those are far apart."""
    if not days:
        return []
    first, last = min(first, days[0].day), max(last, days[-1].day)
    if (last - first).days >= MOST_EMPTY_DAYS:
        first, last = days[0].day, days[-1].day
    known = {each.day: each for each in days}
    most = max(each.calls for each in days)
    found = []
    for number in range((last - first).days + 1):
        day = first + timedelta(number)
        calls, answered = (known[day].calls, known[day].answered) if day in known else (0, 0)
        found.append(Bar(day, calls, answered, round(100 * calls / most, 2), round(100 * answered / most, 2)))
    return found


def ending(count: OutcomeCount) -> str:
    """Return in words how calls ended, or where they are."""
    status = STATUSES[count.status].title if count.status in STATUSES else count.status
    return OUTCOMES.get(count.outcome, count.outcome.replace("_", " ")) or status


def _calls(chosen: ChosenCalls, count: OutcomeCount) -> str:
    return f"/calls?{urlencode(chosen.query() | {'status': count.status, 'outcome': count.outcome})}"


def _window(where: CallFilter, zone: tzinfo) -> tuple[date, date]:
    """Return the first and last day that the chart should show."""
    today = datetime.now(UTC)
    last = where.until - timedelta(microseconds=1) if where.until else today
    return (where.since or last).astimezone(zone).date(), min(last, today).astimezone(zone).date()


def _lately(chosen: ChosenCalls) -> ChosenCalls:
    if chosen.since or chosen.until:
        return chosen
    return replace(chosen, since=(datetime.now(chosen.zone).date() - timedelta(SHOWN_DAYS - 1)).isoformat())
