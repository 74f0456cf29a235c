"""Slots held for calls that were answered and whose media socket is on its way."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.call import Reserved
from agent.duplex import DuplexSession
from agent.pipeline.attendant import Duties

EXPIRES_S = 15.0
CHECK_S = 1.0
"""How often it is asked whether another process took a call whose socket comes, as a rule, within half a second."""


class Reservations:
    """One process's reserved sessions, by the carrier's call id. A slot nobody takes in 15 s is freed.

    ``on_expired(call_id)`` is awaited after that; ``group`` runs the clocks. Where several processes answer one
    number, ``is_taken_elsewhere(call_id)`` tells when another carries the call: its slot here is then freed at once.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        on_expired: Callable[[str], Awaitable[None]],
        expires_s: float = EXPIRES_S,
        is_taken_elsewhere: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._group = group
        self._on_expired = on_expired
        self._expires_s = expires_s
        self._is_taken_elsewhere = is_taken_elsewhere
        self._none_held = asyncio.Event()
        self._none_held.set()
        self._held: dict[str, tuple[Reserved, asyncio.Task[None]]] = {}

    def hold(self, call_id: str, session: DuplexSession, reading: Coroutine[Any, Any, Duties]) -> None:
        """Keep a session until its call takes it; ``reading`` what else it asks for begins now, and raises nothing.

        A call whose stream has come waits for it in silence, and all the longer the more of them begin together.
        """
        self._none_held.clear()
        reserved = Reserved(session, self._group.create_task(reading))
        self._held[call_id] = reserved, self._group.create_task(self._expire(call_id))

    def take(self, call_id: str) -> Reserved | None:
        """Hand over what is held for a call; None if this process holds nothing."""
        held = self._held.pop(call_id, None)
        if held is None:
            return None
        reserved, clock = held
        if clock is not asyncio.current_task():
            clock.cancel()
        if not self._held:
            self._none_held.set()
        return reserved

    @property
    def count(self) -> int:
        """How many are held."""
        return len(self._held)

    async def until_none(self) -> None:
        """Return when every call that was answered has come or been given up."""
        await self._none_held.wait()

    async def release(self, call_id: str) -> None:
        """Free a call's slot, if it holds one."""
        if reserved := self.take(call_id):
            await reserved.session.close()

    async def release_all(self) -> list[str]:
        """Free every slot; return whose they were."""
        call_ids = list(self._held)
        for call_id in call_ids:
            await self.release(call_id)
        return call_ids

    async def _expire(self, call_id: str) -> None:
        taken = await self._wait(call_id)
        await self.release(call_id)
        if not taken:
            await self._on_expired(call_id)

    async def _wait(self, call_id: str) -> bool:
        """Wait as long as the slot is held; True when another process carries the call."""
        left_s = self._expires_s
        while left_s > 0:
            await asyncio.sleep(min(CHECK_S, left_s))
            left_s -= CHECK_S
            if self._is_taken_elsewhere and await self._is_taken_elsewhere(call_id):
                return True
        return False
