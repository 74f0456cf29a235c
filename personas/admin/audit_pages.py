"""The console's page of the audit log: who did what, chosen by user, action and days; also as a file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from personas.admin.access import ADMIN
from personas.admin.csv_lines import csv_lines
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.audit import Action, AuditFilter, AuditLog, BadAuditCursor, Entry, Subject
from personas.days import begin_of_typed

PATH = "/audit"
PAGE_LENGTH = 50
MOST_NAMES = 200  # offered while a name is typed; any other may be typed whole
CHUNK = 500  # entries that are read at once for a file
COLUMNS = ("at", "user", "user_id", "via", "action", "kind", "id", "title", "detail")


@dataclass(frozen=True, slots=True)
class ChosenEntries:
    """The form's fields; empty ones do not filter. Days are those of the console's ``zone``, both included."""

    user: str = ""
    action: str = ""
    since: str = ""
    until: str = ""
    zone: tzinfo = UTC

    def query(self) -> dict[str, str]:
        """Return the fields that say something, for an address."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "zone"}
        return {name: value for name, value in given.items() if value}

    def where(self) -> AuditFilter:
        """Return the filter; raises HTTPException 400 for a day that is none."""
        try:
            since, until = begin_of_typed(self.since, self.zone), begin_of_typed(self.until, self.zone, after=1)
        except ValueError as error:
            raise HTTPException(400, f"{error} Go back and choose it again.") from None
        return AuditFilter(self.user, self.action, since, until)


def _chosen(request: Request, user: str = "", action: str = "", since: str = "", until: str = "") -> ChosenEntries:
    return ChosenEntries(user.strip(), action, since, until, request.app.state.time_zone)


Chosen = Annotated[ChosenEntries, Depends(_chosen)]


def section() -> Section:
    """Return the section "Audit"."""
    router, pages = APIRouter(), Pages("personas")

    @router.get(PATH, dependencies=ADMIN)
    async def listed(request: Request, chosen: Chosen, cursor: str = "") -> Response:
        state = request.app.state
        try:
            page = await state.audit.entries(chosen.where(), limit=PAGE_LENGTH, cursor=cursor)
        except BadAuditCursor as error:
            raise HTTPException(400, str(error)) from None
        query = chosen.query()
        values = {
            "page": page,
            "chosen": chosen,
            "actions": {action.value: words(action) for action in Action},
            "names": [user.name for user in await state.accounts.users(limit=MOST_NAMES)],
            "words": words,
            "subject_path": subject_path,
            "is_first": not cursor,
            "more": f"{PATH}?{urlencode(query | {'cursor': page.next_cursor})}" if page.next_cursor else "",
            "newest": f"{PATH}?{urlencode(query)}",
            "file": f"{PATH}.csv?{urlencode(query)}",
        }
        return await pages(request, "audit.html", active=PATH, **values)

    @router.get(f"{PATH}.csv", dependencies=ADMIN)
    async def file(request: Request, chosen: Chosen) -> Response:
        where, log = chosen.where(), request.app.state.audit
        about = ", ".join(f"{name} {value}" for name, value in chosen.query().items())
        await log.record(request.state.user.actor, Action.LIST_DOWNLOADED, Subject("audit", ""), about)
        name = f"audit-{datetime.now(chosen.zone):%Y%m%d-%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_as_csv(log, where, chosen.zone), media_type="text/csv", headers=headers)

    return Section("Audit", PATH, "shield-check", router)


def words(action: str) -> str:
    """Return an action in words, also one that only another version of Parley knows."""
    return action.replace("_", " ").capitalize()


def subject_path(subject: Subject) -> str:
    """Return the address of the page of what was acted on, "" where it has none."""
    folders = {"persona": "/personas/", "call": "/calls/", "customer": "/customers/", "number": "/numbers?edit="}
    folder = folders.get(subject.kind)
    return folder + quote(subject.id, safe="") if folder and subject.id else ""


async def _as_csv(log: AuditLog, where: AuditFilter, zone: tzinfo) -> AsyncIterator[str]:
    yield csv_lines([COLUMNS])
    cursor: str | None = ""
    while cursor is not None:
        page = await log.entries(where, limit=CHUNK, cursor=cursor)
        yield csv_lines(_cells(entry, zone) for entry in page.entries)
        cursor = page.next_cursor


def _cells(entry: Entry, zone: tzinfo) -> tuple[str, ...]:
    actor, subject = entry.actor, entry.subject
    at = entry.at.astimezone(zone).isoformat(timespec="seconds")
    return at, actor.name, actor.id, actor.via, entry.action, subject.kind, subject.id, subject.title, entry.detail
