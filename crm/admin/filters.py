"""Which calls a page is about, as its address says it; and those calls as a file.

?persona=…&since=2026-11-01 ──chosen_calls──▶ ChosenCalls ──where──▶ CallFilter
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, tzinfo

from fastapi import HTTPException, Request

from crm.admin.words import masked
from crm.call import CallFilter, ListedCall
from crm.store import CallStore
from personas.admin.csv_lines import csv_lines
from personas.days import begin_of_typed
from personas.store import PersonaStore

CHUNK = 100  # calls that are read at once for a file: live calls share the event loop
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
        try:
            since, until = begin_of_typed(self.since, self.zone), begin_of_typed(self.until, self.zone, after=1)
        except ValueError as error:
            raise HTTPException(400, f"{error} Go back and choose it again.") from None
        chosen = CallFilter(self.persona, self.status, self.outcome, caller_of=self.caller_of)
        is_test = self.kind == "tests" if self.kind in KINDS else None
        return replace(chosen, since=since, until=until, is_test=is_test)


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


async def as_csv(store: CallStore, personas: PersonaStore, chosen: ChosenCalls) -> AsyncIterator[str]:
    """Yield the calls as lines of CSV, newest first, times with their offset in the console's zone.

    Callers' numbers are masked as on the pages.
    """
    where = chosen.where()
    yield csv_lines([COLUMNS])
    cursor: str | None = ""
    versions: dict[int | None, int] = {None: 0}
    while cursor is not None:
        page = await store.calls(limit=CHUNK, cursor=cursor, where=where)
        ids = {row.call.persona_version_id for row in page.calls}
        if unknown := ids - versions.keys():
            versions |= dict.fromkeys(unknown, 0) | await personas.version_numbers(unknown)
        yield await asyncio.to_thread(_chunk, page.calls, versions, chosen.zone)
        cursor = page.next_cursor


def _chunk(calls: Sequence[ListedCall], versions: Mapping[int | None, int], zone: tzinfo) -> str:
    return csv_lines([_cells(row, versions, zone) for row in calls])


def _cells(row: ListedCall, versions: Mapping[int | None, int], zone: tzinfo) -> list[object]:
    call, score = row.call, row.score
    moments = [
        at.astimezone(zone).isoformat(timespec="seconds") if at else ""
        for at in (call.created_at, call.answered_at, call.ended_at)
    ]
    return [
        call.id,
        *moments,
        "erased" if call.is_anonymous else masked(call.from_number),
        call.to_number,
        call.persona_slug or "",
        versions[call.persona_version_id] or "",
        call.status,
        call.outcome,
        call.reason,
        "" if call.duration_ms is None else call.duration_ms / 1000,
        row.turn_count,
        *((score.score, score.coverage, score.failed_critical) if score else ("", "", "")),
        row.onset_p50_ms,
        call.engine,
        "" if call.is_anonymous else call.carrier_call_id,
        "yes" if call.is_test else "",
    ]
