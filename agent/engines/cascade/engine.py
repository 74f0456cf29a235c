"""The embedded engine: voice activity, recognition, answer and voice behind the duplex port, without a GPU."""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from agent.duplex import Capacity, DuplexError, EngineFull, EngineUnavailable, RolePrompt
from agent.engines.cascade.activity import Silero
from agent.engines.cascade.ports import Recogniser, Responder, Voice
from agent.engines.cascade.session import CascadeSession, Parts


class CascadeEngine:
    """Carries ``slots`` calls on shared parts."""

    name = "cascade"

    def __init__(self, recogniser: Recogniser, responder: Responder, voice: Voice, slots: int = 0) -> None:
        """``slots`` 0 means two for each core, at least 2: what keeps recognition under a second."""
        self._slots = slots or max(2, 2 * (os.cpu_count() or 1))
        self._recogniser, self._responder, self._voice = recogniser, responder, voice
        self._parts: Parts | None = None
        self._sessions: set[CascadeSession] = set()

    async def start(self) -> None:
        if self._parts is not None:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                silero = tasks.create_task(asyncio.to_thread(Silero))
                for part in (self._recogniser, self._responder, self._voice):
                    tasks.create_task(part.start())
        except* DuplexError as failures:
            await self._close_parts()
            raise failures.exceptions[0] from None
        ears = ThreadPoolExecutor(max_workers=2, thread_name_prefix="cascade-ears")
        self._parts = Parts(self._recogniser, self._responder, self._voice, silero.result(), ears)

    async def open(self, role: RolePrompt) -> CascadeSession:
        if self._parts is None:
            raise EngineUnavailable("The engine 'cascade' was not started.")
        if len(self._sessions) >= self._slots:
            raise EngineFull(f"All {self._slots} slots of the engine 'cascade' are taken; raise PARLEY_ENGINE_SLOTS.")
        session = CascadeSession(role, self._parts, self._sessions.discard)
        self._sessions.add(session)
        return session

    def capacity(self) -> Capacity:
        return Capacity(slots=self._slots, used=len(self._sessions))

    async def close(self) -> None:
        for session in list(self._sessions):
            await session.close()
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.ears.shutdown(wait=False)
            await self._close_parts()

    async def _close_parts(self) -> None:
        for part in (self._recogniser, self._responder, self._voice):
            await part.close()


def slots_of(options: Mapping[str, str]) -> int:
    """Read ``engine_slots``; 0 leaves it to the engine.

    Raises:
        EngineUnavailable: it is not a whole number from 0 up.
    """
    text = options.get("engine_slots") or "0"
    if not text.isdecimal():
        raise EngineUnavailable(f"PARLEY_ENGINE_SLOTS must be a whole number from 0 up, not {text!r}.")
    return int(text)
