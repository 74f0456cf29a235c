"""The other processes of the same database: who drains leaves them its callers, who is gone leaves them its calls.

join ─ every 10 s ─▶ crm.gateways ◀─ any_other ─ who drains
retire, close ─────▶      └─ silent for a minute ─▶ what it left of its calls goes into the log
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime

import structlog

from agent.call import Switchboard
from agent.logs import log_failure
from agent.shared import differences
from crm.gateways import Gateway, Gateways, is_dead, place_of
from crm.recovery import recover_calls_of

log = structlog.get_logger(__name__)

BEAT_S = 10.0
SILENT_S = 60.0
"""Silence after which a process is gone, by the clock of who listens: those of two machines may differ."""
_ASKED_WITHIN_S = 1.0
_BEATS_WITHIN_S = 10.0  # a connection that hangs must not look like this process's silence


class Colleagues:
    """One process's; nothing here raises, because a call that waits for the answer goes on without it."""

    def __init__(self, group: asyncio.TaskGroup, board: Switchboard, gateways: Gateways) -> None:
        self._group = group
        self._board = board
        self._gateways = gateways
        self._heard: dict[str, tuple[datetime, float]] = {}
        self._told: set[tuple[str, str]] = set()
        self._retired = self._closed = False
        self._changed = asyncio.Event()

    def join(self) -> None:
        """Be one of them until ``close``."""
        self._group.create_task(self._take_part())

    def retire(self) -> None:
        """Take no more calls, but carry those that live; harmless twice."""
        self._retired = True
        self._changed.set()

    def close(self) -> None:
        """Carry no calls any more; harmless twice."""
        self._closed = True
        self._changed.set()

    async def any_other(self) -> bool:
        """Whether another process takes calls; False where that can't be known."""
        try:
            async with asyncio.timeout(_ASKED_WITHIN_S):
                return await self._gateways.any_other()
        except Exception as error:
            log_failure(log, "other processes could not be looked up", error)
            return False

    async def _take_part(self) -> None:
        while not self._closed:
            self._changed.clear()
            await self._try(self._beat())
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._changed.wait()
        await self._try(self._gateways.leave())

    async def _beat(self) -> None:
        async with asyncio.timeout(_BEATS_WITHIN_S):
            await self._gateways.beat(takes_calls=not self._retired)
        others = await self._gateways.others()
        self._heard = {other.name: self._heard[other.name] for other in others if other.name in self._heard}
        for other in others:
            if self._is_gone(other) and await self._gateways.take_over(other):
                lost = await recover_calls_of(self._board.calls, self._board.recordings, other.name)
                await self._gateways.strike(other.name)
                log.warning("a process is gone", gateway=other.name, calls=lost)

    def _is_gone(self, other: Gateway) -> bool:
        """Whether a process has ended, on this machine, or has said nothing new to this one for long enough."""
        now_s = time.monotonic()
        seen_at, since_s = self._heard.get(other.name, (other.seen_at, now_s))
        if seen_at != other.seen_at:
            since_s = now_s
            self._compare(other)
        self._heard[other.name] = other.seen_at, since_s
        return now_s - since_s >= SILENT_S or is_dead(other.name, self._gateways.name)

    def _compare(self, other: Gateway) -> None:
        """Say once what the machine of a process that is alive has that ought to be the same."""
        for difference in differences(self._gateways, other):
            told = place_of(other.name), difference
            if told not in self._told:
                self._told.add(told)
                log.error("machines of one database differ", gateway=other.name, what=difference)

    async def _try(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except Exception as error:  # the database is away, for others too: their silence says nothing
            self._heard.clear()
            log_failure(log, "the list of processes could not be kept", error)
