"""Queries about calls that the store and the analytics build on, and what they find."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm.call import Call, CallFilter
from crm.errors import BadCursor, UnknownCall
from crm.tables import CallRow, NonceRow
from personas.db import UtcDateTime

# What lists show of a call. Role prompts and timings, most of a row's bytes, are read by a call's own page only.
_LISTED = (
    *(getattr(CallRow, part.name) for part in fields(Call) if part.name != "role_prompt"),
    literal("").label("role_prompt"),
    *(CallRow.scored_at, CallRow.score, CallRow.coverage, CallRow.failed_critical, CallRow.turn_count),
    CallRow.dynamics[("onset", "p50_ms")].as_float().label("onset_p50_ms"),
)


def page_query(limit: int, cursor: str, where: CallFilter) -> Select[*tuple[Any, ...]]:
    """Return the query of one page: ``limit`` calls and one more, which tells whether there is a next page.

    Pages begin after a key (created_at, id), so that the hundredth costs what the first does.

    Raises:
        BadCursor: ``cursor`` is none that a page gave out.
    """
    query = select(*_LISTED).order_by(CallRow.created_at.desc(), CallRow.id.desc()).limit(limit + 1)
    if cursor:
        moment, _, call_id = cursor.partition("_")
        try:
            at = datetime.fromisoformat(moment).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadCursor("This page of calls cannot be found; start again from the first page.") from None
        key = tuple_(CallRow.created_at, CallRow.id)
        query = query.where(key < tuple_(literal(at, UtcDateTime), literal(call_id)))
    return query.where(*matching(where))


def matching(where: CallFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter, for any query about calls."""
    conditions = [
        getattr(CallRow, column) == value
        for column in ("persona_slug", "status", "outcome")
        if (value := getattr(where, column))
    ]
    if where.caller:
        conditions.append(CallRow.from_number == where.caller)
    if where.caller_of:
        one = aliased(CallRow)  # callers who withheld their number are not one caller
        its_number = select(one.from_number).where(one.id == where.caller_of, one.from_number != "")
        conditions.append(CallRow.from_number == its_number.scalar_subquery())
    if where.name:
        conditions.append(or_(CallRow.id == where.name, CallRow.carrier_call_id == where.name))
    if where.since:
        conditions.append(CallRow.created_at >= where.since)
    if where.until:
        conditions.append(CallRow.created_at < where.until)
    if where.is_test is not None:
        conditions.append(CallRow.is_test.is_(where.is_test))
    return conditions


def is_kept() -> ColumnElement[bool]:
    """Return the condition of calls whose personal part is there, and is not being erased: what goes stays gone."""
    return CallRow.erasing.in_(("", "recording")) & CallRow.erased.in_(("", "recording"))


async def known(session: AsyncSession, call_id: str) -> CallRow:
    """Return a call's row; raises UnknownCall."""
    row = await session.get(CallRow, call_id)
    if row is None:
        raise UnknownCall("There is no call with this id.")
    return row


async def why_refused(session: AsyncSession, carrier_call_id: str, account_id: str, nonce_hash: str) -> str:
    """Return why a nonce does not open a call's media socket, as a sentence."""
    query = select(NonceRow, CallRow).join(CallRow, CallRow.id == NonceRow.call_id)
    found = (await session.execute(query.where(NonceRow.nonce_hash == nonce_hash))).one_or_none()
    if found is None:
        return "The media socket's nonce was not given out by this server."
    given, call = found
    if (call.carrier_call_id, call.account_id) != (carrier_call_id, account_id):
        return "The media socket's nonce belongs to another call."
    if given.used_at is not None:
        return "The media socket's nonce was used before."
    if call.status != "ringing":
        return "The call has its media socket already, or is over."
    return "The media socket's nonce is too old."
