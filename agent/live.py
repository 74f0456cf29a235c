"""What is being said right now: calls publish, terminals and pages subscribe; nobody ever waits."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

QUEUED_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call is connected; the numbers stay in its row."""

    persona_slug: str
    persona_title: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """A piece of speech as text. The agent's pieces carry their own leading space, the caller's are single words."""

    side: Literal["caller", "agent"]
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class CallOver:
    """A call is over and its row is written; ``outcome`` as in crm.call."""

    outcome: str
    duration_ms: int


LiveEvent = CallStarted | Spoke | CallOver


class LiveCalls:
    """One process's live calls. Whoever reads too slowly loses the oldest events."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[tuple[str, LiveEvent] | None]] = set()

    def publish(self, call_id: str, event: LiveEvent) -> None:
        """Hand an event to every subscriber; call on the event loop, never blocks."""
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((call_id, event))

    async def subscribe(self) -> AsyncGenerator[tuple[str, LiveEvent], None]:
        """Yield (call id, event) from the first ``anext`` on, until ``close``."""
        queue: asyncio.Queue[tuple[str, LiveEvent] | None] = asyncio.Queue(QUEUED_EVENTS)
        self._subscribers.add(queue)
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            self._subscribers.discard(queue)

    def close(self) -> None:
        """End every subscription."""
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
