"""The other processes that take calls from the same database, to whom a process that takes no more leaves its callers.

join ─ every 10 s ─▶ crm.gateways ◀─ any_other ─ who drains
leave ─────────────▶
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import structlog

from agent.logs import log_failure
from crm.gateways import Gateways

log = structlog.get_logger(__name__)

BEAT_S = 10.0
_ASKED_WITHIN_S = 1.0


class Colleagues:
    """One process's; nothing here raises, because a call that waits for the answer goes on without it."""

    def __init__(self, group: asyncio.TaskGroup, gateways: Gateways) -> None:
        self._group = group
        self._gateways = gateways
        self._left = asyncio.Event()

    def join(self) -> None:
        """Be one of them until ``leave``."""
        self._group.create_task(self._take_part())

    def leave(self) -> None:
        """Take no more calls; harmless twice."""
        self._left.set()

    async def any_other(self) -> bool:
        """Whether another process takes calls; False where that can't be known."""
        try:
            async with asyncio.timeout(_ASKED_WITHIN_S):
                return await self._gateways.any_other()
        except Exception as error:
            log_failure(log, "other processes could not be looked up", error)
            return False

    async def _take_part(self) -> None:
        while not self._left.is_set():
            await self._tell(self._gateways.beat())
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._left.wait()
        await self._tell(self._gateways.leave())

    async def _tell(self, telling: Awaitable[None]) -> None:
        try:
            await telling
        except Exception as error:  # the database is away: others hear of this process when it is back
            log_failure(log, "other processes could not be told", error)
