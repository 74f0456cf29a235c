"""Who calls: what the company's own records say, asked while it rings, else the customer whom the database knows."""

import asyncio

import structlog

from agent.customer_lookup import CustomerLookup, LookupFailed
from agent.logs import log_failure
from crm.call import CallEvent, KnownCaller
from crm.customers import Customers
from crm.phone_numbers import is_e164

log = structlog.get_logger(__name__)

LOOKUP_FAILED = "customer_lookup_failed"


class Callers:
    """Knows callers by their number; without ``lookup`` from the database alone."""

    def __init__(self, customers: Customers, lookup: CustomerLookup | None) -> None:
        self._customers = customers
        self._lookup = lookup

    async def who_calls(self, number: str) -> tuple[KnownCaller | None, tuple[CallEvent, ...]]:
        """Return the caller, if known, and what went wrong in finding out.

        Numbers that are withheld and addresses of SIP belong to nobody. A lookup that fails or knows nobody leaves it
        to the database, and takes no longer than its timeout.
        """
        if not is_e164(number):
            return None, ()
        kept, (looked_up, events) = await asyncio.gather(self._customers.by_number(number), self._look_up(number))
        return looked_up or (KnownCaller(kept.name, kept.profile) if kept else None), events

    async def _look_up(self, number: str) -> tuple[KnownCaller | None, tuple[CallEvent, ...]]:
        if self._lookup is None:
            return None, ()
        try:
            return await self._lookup.find(number), ()
        except LookupFailed as error:
            log.warning("customer could not be looked up", reason=str(error))
            return None, (CallEvent(LOOKUP_FAILED, 0, str(error)),)
        except Exception as error:  # whatever else: it is no reason to turn a caller away
            log_failure(log, "customer could not be looked up", error)
            return None, (CallEvent(LOOKUP_FAILED, 0, type(error).__name__),)
