"""Slots held for calls that were answered and whose media socket is on its way."""

import asyncio
from collections.abc import Awaitable, Callable

from agent.duplex import DuplexSession

EXPIRES_S = 15.0


class Reservations:
    """One process's reserved sessions, by the carrier's call id. A slot nobody takes in 15 s is freed.

    ``on_expired(call_id)`` is awaited after that; ``group`` runs the clocks.
    """

    def __init__(
        self, group: asyncio.TaskGroup, on_expired: Callable[[str], Awaitable[None]], expires_s: float = EXPIRES_S
    ) -> None:
        self._group = group
        self._on_expired = on_expired
        self._expires_s = expires_s
        self._held: dict[str, tuple[DuplexSession, asyncio.Task[None]]] = {}

    def hold(self, call_id: str, session: DuplexSession) -> None:
        """Keep a session until its call takes it."""
        self._held[call_id] = session, self._group.create_task(self._expire(call_id))

    def take(self, call_id: str) -> DuplexSession | None:
        """Hand a session over; None if this process holds none for the call."""
        held = self._held.pop(call_id, None)
        if held is None:
            return None
        session, clock = held
        clock.cancel()
        return session

    async def release(self, call_id: str) -> None:
        """Free a call's slot, if it holds one."""
        if session := self.take(call_id):
            await session.close()

    async def release_all(self) -> list[str]:
        """Free every slot; return whose they were."""
        call_ids = list(self._held)
        for call_id in call_ids:
            await self.release(call_id)
        return call_ids

    async def _expire(self, call_id: str) -> None:
        await asyncio.sleep(self._expires_s)
        session, _ = self._held.pop(call_id)
        await session.close()
        await self._on_expired(call_id)
