"""Callers who wait for a free slot, in the order they came, as far as this process has heard of them.

They ask again every few seconds; who does not for 20 s has hung up.
"""

import asyncio
from collections.abc import Awaitable, Callable

GONE_S = 20.0


class Lobby:
    """``on_gone(call_id)`` is awaited for a caller who asks no more; ``group`` runs the clocks."""

    def __init__(
        self, group: asyncio.TaskGroup, on_gone: Callable[[str], Awaitable[None]], gone_s: float = GONE_S
    ) -> None:
        self._group = group
        self._on_gone = on_gone
        self._gone_s = gone_s
        self._clocks: dict[str, asyncio.Task[None]] = {}

    def hear(self, call_id: str, *, first: bool = False) -> None:
        """Note that a caller waits, and keep the place of one who does already; a new one is last, or ``first``."""
        clock = self._group.create_task(self._expire(call_id))
        if before := self._clocks.get(call_id):
            before.cancel()
        if first and not before:
            self._clocks = {call_id: clock, **self._clocks}
        else:
            self._clocks[call_id] = clock

    def leave(self, call_id: str) -> None:
        """Note that a caller waits no more; harmless for one who did not."""
        if clock := self._clocks.pop(call_id, None):
            clock.cancel()

    async def until_heard(self) -> None:
        """Return when each of those who wait now has asked again, was told, or is gone."""
        if clocks := list(self._clocks.values()):
            await asyncio.wait(clocks)

    async def until_none(self) -> None:
        """Return when nobody waits."""
        while self._clocks:
            await self.until_heard()

    def close(self) -> None:
        """Stop every clock; the callers go on asking, of another process."""
        for call_id in list(self._clocks):
            self.leave(call_id)

    def is_next(self, call_id: str, free_slots: int) -> bool:
        """Whether a caller, waiting or new, may take one of the free slots: not before those who came earlier."""
        waiting = list(self._clocks)
        ahead = waiting.index(call_id) if call_id in self._clocks else len(waiting)
        return ahead < max(1, free_slots)

    async def _expire(self, call_id: str) -> None:
        await asyncio.sleep(self._gone_s)
        self._clocks.pop(call_id)
        await self._on_gone(call_id)
