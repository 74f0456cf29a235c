"""Every query about calls; rows go in and out as the values of crm/call.py."""

from collections.abc import Iterable, Mapping, Sequence

from crm.call import (
    Call,
    CallEvent,
    CallFilter,
    CallPage,
    Customer,
    NewCall,
    OpenedCall,
    Outcome,
    Scorecard,
    Status,
    StoredScore,
    Turn,
)
from personas.db import Database


class CallStore:
    """The log of calls in one database. Methods raise SQLAlchemy's errors when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def open_call(self, new: NewCall) -> OpenedCall:
        """Log a ringing call and mint a nonce for its media socket; idempotent by (carrier, carrier_call_id).

        A repeated webhook gets the same call and a nonce of its own: whichever answer the carrier
        acts on works, and only one of them.
        """
        raise NotImplementedError

    async def refuse_call(self, new: NewCall, outcome: Outcome, reason: str) -> Call:
        """Log a call that was not answered by a persona, and why; idempotent like ``open_call``."""
        raise NotImplementedError

    async def claim(self, carrier_call_id: str, account_id: str, nonce: str) -> Call:
        """Make a ringing call live; a nonce works once, for its own call and account, for a few minutes.

        Raises:
            NonceRefused: with the reason.
        """
        raise NotImplementedError

    async def finish(
        self,
        call_id: str,
        *,
        status: Status,
        outcome: Outcome,
        reason: str = "",
        duration_ms: int | None = None,
        recording: str = "",
        turns: Sequence[Turn] = (),
        events: Sequence[CallEvent] = (),
        timing: Mapping[str, float] | None = None,
    ) -> bool:
        """End a call in one transaction; finishing twice keeps the first. Returns whether it was this one."""
        raise NotImplementedError

    async def call(self, call_id: str) -> Call:
        """Return one call.

        Raises:
            UnknownCall: there is none.
        """
        raise NotImplementedError

    async def call_by_carrier_id(self, carrier: str, carrier_call_id: str) -> Call | None:
        """Return the call that a carrier knows by its own id."""
        raise NotImplementedError

    async def calls(self, *, limit: int = 50, cursor: str = "", where: CallFilter | None = None) -> CallPage:
        """Return one page of calls, newest first, each with its latest score."""
        raise NotImplementedError

    async def turns(self, call_id: str) -> list[Turn]:
        """Return a call's turns by start time."""
        raise NotImplementedError

    async def add_events(self, call_id: str, events: Iterable[CallEvent]) -> None:
        """Add events to a call."""
        raise NotImplementedError

    async def events(self, call_id: str) -> list[CallEvent]:
        """Return a call's events by time."""
        raise NotImplementedError

    async def mark_lost_calls(self) -> int:
        """Mark calls as lost that a dead process left ringing or live; returns how many.

        Call ``crm.recorder.recover_lost_calls`` instead at start-up: it also saves what they said.
        """
        raise NotImplementedError

    async def customer_by_number(self, number: str) -> Customer | None:
        """Return who calls from this E.164 number, if known."""
        raise NotImplementedError

    async def save_customer(self, customer: Customer) -> None:
        """Add a customer, or replace the one with this number."""
        raise NotImplementedError

    async def save_score(self, call_id: str, persona_version_id: int | None, card: Scorecard) -> None:
        """Add a score to a call; earlier ones stay."""
        raise NotImplementedError

    async def scores(self, call_id: str) -> list[StoredScore]:
        """Return a call's scores with their verdicts, latest first."""
        raise NotImplementedError

    async def unscored(self, limit: int = 100) -> list[str]:
        """Return ids of calls that have turns and a persona but no score, oldest first."""
        raise NotImplementedError
