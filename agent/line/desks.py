"""The desks of one process, for whoever starts, drains and stops all of them."""

import asyncio
from contextlib import AsyncExitStack

from agent.line.answer import CallDesk


class Desks(AsyncExitStack):
    """Several desks as one; an async context manager that all of them live in."""

    def __init__(self, *desks: CallDesk) -> None:
        super().__init__()
        self._desks = desks

    async def __aenter__(self) -> "Desks":
        for desk in self._desks:
            await self.enter_async_context(desk)
        return self

    @property
    def live_calls(self) -> int:
        """How many calls are connected."""
        return sum(desk.live_calls for desk in self._desks)

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken."""
        return any(desk.draining for desk in self._desks)

    def drain(self) -> None:
        """Take no more calls."""
        for desk in self._desks:
            desk.draining = True

    async def until_idle(self) -> None:
        """Return when every desk is idle; see ``CallDesk.until_idle``."""
        await asyncio.gather(*(desk.until_idle() for desk in self._desks))

    async def close(self) -> None:
        """Take no more calls, end those that live and wait for their rows; harmless twice."""
        await asyncio.gather(*(desk.close() for desk in self._desks))
