"""Calls that are kept though their time is over, or somebody asks to erase them: disputes, orders of a court."""

from datetime import UTC, datetime

from sqlalchemy import select, update

from crm import rows
from crm.call import Call
from crm.erasure import Whose
from crm.errors import CannotHold, UnknownCall
from crm.queries import is_kept
from crm.tables import CallRow
from personas.audit import Action, Actor, Subject, note
from personas.db import Database

LONGEST_REASON = 500


class Holds:
    """The holds of one database, each on a call with all its parts. Methods raise SQLAlchemy's errors.

    ``actor`` is who holds and releases, also for the audit log; reasons are not told there, since it keeps for ever.
    """

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database = database
        self._actor = actor

    async def hold(self, call_id: str, reason: str) -> None:
        """Keep a call until ``release``; a later reason replaces an earlier one.

        Raises:
            UnknownCall: there is none with this id.
            CannotHold: it is erased, or being erased; or the reason is empty or too long.
        """
        reason = " ".join(reason.split())
        if not 0 < len(reason) <= LONGEST_REASON:
            raise CannotHold(f"A hold needs a reason, of {LONGEST_REASON} characters at most.")
        hold = {"reason": reason, "by": self._actor.name, "at": datetime.now(UTC).isoformat()}
        held = update(CallRow).where(Whose(call_id).calls(), is_kept()).values(hold=hold).returning(CallRow.id)
        async with self._database.session() as session:
            if not (await session.scalars(held)).all():
                if await session.get(CallRow, call_id) is None:
                    raise UnknownCall("There is no call with this id.")
                raise CannotHold("This call is erased already, or is being erased.")
            note(session, self._actor, Action.CALL_HELD, Subject("call", call_id))

    async def release(self, call_id: str) -> None:
        """Let a call go when its time is over; harmless for one that is not held.

        Raises:
            UnknownCall: there is none with this id.
        """
        released = update(CallRow).where(Whose(call_id).calls()).values(hold=None).returning(CallRow.id)
        async with self._database.session() as session:
            if not (await session.scalars(released)).all():
                raise UnknownCall("There is no call with this id.")
            note(session, self._actor, Action.CALL_RELEASED, Subject("call", call_id))

    async def held(self) -> list[Call]:
        """Return the calls on hold, oldest first."""
        query = select(CallRow).where(CallRow.hold.is_not(None)).order_by(CallRow.created_at)
        async with self._database.session() as session:
            return [rows.call(row) for row in await session.scalars(query)]
