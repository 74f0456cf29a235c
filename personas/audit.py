"""Who did what, in the console and on the command line: a log that is only ever added to.

a change ──note──▶ audit_entries, in the change's own transaction ──entries──▶ the page Audit, CSV, `parley audit`
a look, a call ended ──record──▶ the same, in a transaction of its own

An entry names its actor and what was acted on in text, so that it outlives both. It holds nothing of callers: no
words, no numbers of theirs. Nothing here changes or removes an entry.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from personas.db import Database, UtcDateTime
from personas.errors import PersonaError
from personas.tables import AuditRow

CONSOLE, COMMAND_LINE = "console", "command line"
LONGEST_TEXT = 500


class BadAuditCursor(PersonaError):
    """A place in the audit log that no page gave out."""


class Action(StrEnum):
    """What can be done; the names read as sentences of the actor."""

    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    PERSONA_PUBLISHED = "persona_published"
    PERSONA_ARCHIVED = "persona_archived"
    PERSONA_BROUGHT_BACK = "persona_brought_back"
    NUMBER_SET = "number_set"
    NUMBER_CLEARED = "number_cleared"
    USER_ADDED = "user_added"
    USER_REMOVED = "user_removed"
    ROLE_CHANGED = "role_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 no password
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    CALL_OPENED = "call_opened"
    RECORDING_PLAYED = "recording_played"
    RECORDING_DOWNLOADED = "recording_downloaded"
    CALL_HUNG_UP = "call_hung_up"
    CALL_HANDED_OVER = "call_handed_over"
    LIST_DOWNLOADED = "list_downloaded"
    CALL_HELD = "call_held"
    CALL_RELEASED = "call_released"
    CALL_ERASED = "call_erased"
    CALLER_ERASED = "caller_erased"
    CALLER_HANDED_OUT = "caller_handed_out"
    CALLS_PRUNED = "calls_pruned"
    CUSTOMER_SAVED = "customer_saved"
    CUSTOMER_REMOVED = "customer_removed"
    CUSTOMERS_IMPORTED = "customers_imported"
    CUSTOMERS_EXPORTED = "customers_exported"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user of the console by name and id, or whoever gave a command, by the operating system's name."""

    name: str
    id: str = ""
    via: str = CONSOLE


PARLEY = Actor("parley", via="parley")
"""The program itself, where nobody asked for what it does."""


def command_line() -> Actor:
    """Return who gives a command: the operating system's user of this process."""
    import pwd  # which Windows lacks

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in containers that run as any number
        name = f"uid {os.getuid()}"
    return Actor(name, via=COMMAND_LINE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is acted on: a persona, number, user, call or list. ``title`` is what it was called then."""

    kind: str
    id: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log; ``action`` may be one that another version of Parley knows."""

    id: int
    at: datetime
    actor: Actor
    action: str
    subject: Subject
    detail: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; "" and None do not filter. ``since`` is included, ``until`` is not."""

    actor: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; ``next_cursor`` leads on, None at the end."""

    entries: Sequence[Entry] = field(default_factory=tuple)
    next_cursor: str | None = None


def note(session: AsyncSession, actor: Actor, action: Action, subject: Subject, detail: str = "") -> None:
    """Add an entry to the transaction of the change that it is about."""
    session.add(
        AuditRow(
            at=datetime.now(UTC),
            actor_name=actor.name[:128],
            actor_id=actor.id,
            via=actor.via,
            action=action.value,
            subject_kind=subject.kind,
            subject_id=subject.id[:128],
            subject_title=subject.title[:LONGEST_TEXT],
            detail=detail[:LONGEST_TEXT],
        )
    )


class AuditLog:
    """The log in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        actor: Actor,
        action: Action,
        subject: Subject,
        detail: str = "",
        *,
        once_in: timedelta | None = None,
    ) -> None:
        """Add an entry in a transaction of its own, for what is no change in the database.

        Args:
            once_in: add none where this actor did the same to the same within this time. Of two at one moment both
                may be added.
        """
        if once_in:  # asked before: SQLite lets nobody go on to write who has read what is no longer so
            async with self._database.session() as session:
                if await session.scalar(_same(actor, action, subject, datetime.now(UTC) - once_in)):
                    return
        async with self._database.session() as session:
            note(session, actor, action, subject, detail)

    async def entries(self, where: AuditFilter | None = None, *, limit: int = 50, cursor: str = "") -> AuditPage:
        """Return a page of the log, newest first; the hundredth costs what the first does.

        Raises:
            BadAuditCursor: ``cursor`` is none that a page gave out.
        """
        async with self._database.session() as session:
            rows = (await session.scalars(_page_query(where or AuditFilter(), limit, cursor))).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return AuditPage([_entry(row) for row in rows[:limit]], last and f"{last.at.isoformat()}_{last.id}")


def _same(actor: Actor, action: Action, subject: Subject, since: datetime) -> Select[int]:
    row = AuditRow
    return (
        select(row.id)
        .where(row.subject_id == subject.id, row.action == action.value, row.at > since)
        .where(row.subject_kind == subject.kind, row.actor_name == actor.name[:128], row.actor_id == actor.id)
        .limit(1)
    )


def _page_query(where: AuditFilter, limit: int, cursor: str) -> Select[AuditRow]:
    query = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(limit + 1)
    if cursor:
        moment, _, number = cursor.partition("_")
        try:
            at, last_id = datetime.fromisoformat(moment).astimezone(UTC), int(number[:9])
        except (ValueError, OverflowError):
            raise BadAuditCursor("This page of the log can't be found; start again from the first page.") from None
        query = query.where(tuple_(AuditRow.at, AuditRow.id) < tuple_(literal(at, UtcDateTime), literal(last_id)))
    if where.actor:
        query = query.where(AuditRow.actor_name == where.actor)
    if where.action:
        query = query.where(AuditRow.action == where.action)
    if where.since:
        query = query.where(AuditRow.at >= where.since)
    if where.until:
        query = query.where(AuditRow.at < where.until)
    return query


def _entry(row: AuditRow) -> Entry:
    actor = Actor(row.actor_name, row.actor_id, row.via)
    subject = Subject(row.subject_kind, row.subject_id, row.subject_title)
    return Entry(row.id, row.at, actor, row.action, subject, row.detail)
