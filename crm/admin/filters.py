"""Which calls a page is about, as its address says it; and those calls as a file.

?persona=…&since=2026-11-01 ──chosen_calls──▶ ChosenCalls ──where──▶ CallFilter
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta, tzinfo

from fastapi import HTTPException, Request

from crm.admin.words import masked
from crm.call import CallFilter, ListedCall
from crm.days import begin_of
from crm.store import CallStore
from personas.store import PersonaStore

CHUNK = 50  # calls that are read at once for a file: live calls share the event loop
COLUMNS = (
    *("call_id", "created_at", "answered_at", "ended_at", "caller", "number", "persona", "persona_version"),
    *("status", "outcome", "reason", "length_s", "turns", "score", "coverage", "failed_critical"),
    *("onset_p50_ms", "engine", "carrier_call_id", "test"),
)
KINDS = {"callers": "Callers", "tests": "Tests"}


@dataclass(frozen=True, slots=True)
class ChosenCalls:
    """The form's fields; empty ones do not filter. ``since`` and ``until`` are days of the console's ``zone``, both
    included; ``caller_of`` is as in ``CallFilter``; ``kind`` is one of KINDS.
    """

    persona: str = ""
    status: str = ""
    outcome: str = ""
    since: str = ""
    until: str = ""
    caller_of: str = ""
    kind: str = ""
    zone: tzinfo = UTC

    @property
    def is_any(self) -> bool:
        """Whether anything is left out of the list."""
        return bool(self.query())

    def query(self) -> dict[str, str]:
        """Return the fields that say something, for an address."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "zone"}
        return {name: value for name, value in given.items() if value}

    def where(self) -> CallFilter:
        """Return the filter.

        Raises:
            HTTPException: 400, a day that is none.
        """
        until = self._midnight(self.until, days=1) if self.until else None
        since = self._midnight(self.since) if self.since else None
        chosen = CallFilter(self.persona, self.status, self.outcome, caller_of=self.caller_of)
        is_test = self.kind == "tests" if self.kind in KINDS else None
        return replace(chosen, since=since, until=until, is_test=is_test)

    def _midnight(self, day: str, days: int = 0) -> datetime:
        try:
            return begin_of(date.fromisoformat(day) + timedelta(days), self.zone)
        except (ValueError, OverflowError):
            raise HTTPException(400, "A day is written like 2026-11-21. Go back and choose it again.") from None


def chosen_calls(
    request: Request,
    persona: str = "",
    status: str = "",
    outcome: str = "",
    since: str = "",
    until: str = "",
    caller_of: str = "",
    kind: str = "",
) -> ChosenCalls:
    """Dependency of pages that filter calls."""
    return ChosenCalls(persona, status, outcome, since, until, caller_of, kind, request.app.state.time_zone)


async def persona_titles(personas: PersonaStore) -> dict[str, str]:
    """Return what calls can be chosen by: personas' titles by slug, those in use first."""
    every = sorted(await personas.personas(also_archived=True), key=lambda each: each.archived_at is not None)
    return {each.slug: each.title + (" (archived)" if each.archived_at else "") for each in every}


async def as_csv(store: CallStore, personas: PersonaStore, chosen: ChosenCalls) -> AsyncIterator[str]:
    """Yield the calls as lines of CSV, newest first, times with their offset in the console's zone.

    Callers' numbers are masked as on the pages.
    """
    where = chosen.where()
    yield _lines([COLUMNS])
    cursor: str | None = ""
    while cursor is not None:
        page = await store.calls(limit=CHUNK, cursor=cursor, where=where)
        versions = await personas.version_numbers({row.call.persona_version_id for row in page.calls})
        yield _lines([_cells(row, versions, chosen.zone) for row in page.calls])
        cursor = page.next_cursor


def _cells(row: ListedCall, versions: dict[int | None, int], zone: tzinfo) -> list[object]:
    call, score = row.call, row.score
    moments = [
        at.astimezone(zone).isoformat(timespec="seconds") if at else ""
        for at in (call.created_at, call.answered_at, call.ended_at)
    ]
    return [
        call.id,
        *moments,
        masked(call.from_number),
        call.to_number,
        call.persona_slug or "",
        versions.get(call.persona_version_id, ""),
        call.status,
        call.outcome,
        call.reason,
        "" if call.duration_ms is None else call.duration_ms / 1000,
        row.turn_count,
        *((score.score, score.coverage, score.failed_critical) if score else ("", "", "")),
        row.onset_p50_ms,
        call.engine,
        call.carrier_call_id,
        "yes" if call.is_test else "",
    ]


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[_safe(cell) for cell in row] for row in rows])
    return text.getvalue()


def _safe(cell: object) -> object:
    """Keep a spreadsheet from taking text for a formula."""
    is_formula = isinstance(cell, str) and cell[:1] in "=-@\t\r" and cell != ""
    return f"'{cell}" if is_formula else cell
