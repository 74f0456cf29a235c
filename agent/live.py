"""What is being said right now: calls publish, terminals and pages subscribe; nobody ever waits."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from crm.admin.live import LiveLine
from crm.call import Handoff

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
class Noted:
    """Something happened beside speech, as in crm.call.CallEvent."""

    kind: str
    at_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallOver:
    """A call is over and its row is written; ``outcome`` as in crm.call, ``figures`` by names that end in a unit."""

    outcome: str
    duration_ms: int
    figures: Mapping[str, float] = field(default_factory=dict)


LiveEvent = CallStarted | Spoke | Noted | CallOver


def line_of(event: LiveEvent | None) -> LiveLine | None:
    """Return an event as pages show it; None for those that they show in another way."""
    if isinstance(event, Spoke):
        return LiveLine(event.side, event.at_ms, event.text)
    if isinstance(event, Noted):
        return LiveLine("event", event.at_ms, f"{event.kind.replace('_', ' ')} {event.detail}".strip())
    return None


class CallControl(Protocol):
    """What an operator may do to a call that this process carries."""

    @property
    def media_ms(self) -> int:
        """How long the call has been going, in media time."""
        ...

    def hang_up(self, user: str) -> None:
        """End the call; ``user`` is who wants it."""
        ...

    def hand_off(self, handoff: Handoff, user: str) -> bool:
        """Give the call to a human; False where there is nobody to give it to."""
        ...


class LiveCalls:
    """One process's live calls. Whoever reads too slowly loses the oldest events."""

    def __init__(self, *on_event: Callable[[str, LiveEvent], None]) -> None:
        """Each ``on_event(call_id, event)`` sees every event first, at once; it must be quick and must not raise."""
        self._on_event = on_event
        self._subscribers: set[asyncio.Queue[tuple[str, LiveEvent] | None]] = set()
        self._said: dict[str, deque[LiveEvent]] = {}
        self._controls: dict[str, CallControl] = {}

    def carry(self, call_id: str, control: CallControl) -> None:
        """Say that this process carries a call, until its ``CallOver`` is published."""
        self._controls[call_id] = control
        self._said[call_id] = deque(maxlen=QUEUED_EVENTS)

    def control(self, call_id: str) -> CallControl | None:
        """Return the handle of a call; None where another process carries it, or nobody does."""
        return self._controls.get(call_id)

    def so_far(self, call_id: str) -> Sequence[LiveEvent]:
        """Return the latest events of a call that this process carries, oldest first."""
        return tuple(self._said.get(call_id, ()))

    def publish(self, call_id: str, event: LiveEvent) -> None:
        """Hand an event to every subscriber; call on the event loop, never blocks."""
        if isinstance(event, CallOver):
            self._said.pop(call_id, None)
            self._controls.pop(call_id, None)
        elif call_id in self._said:
            self._said[call_id].append(event)
        for on_event in self._on_event:
            on_event(call_id, event)
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

    async def watch(self, call_id: str, idle_s: float | None = None) -> AsyncGenerator[LiveEvent | None, None]:
        """Yield the events of one call that this process carries, from its beginning, until it is over.

        With ``idle_s`` None comes where nothing happened for so long.
        """
        queue: asyncio.Queue[tuple[str, LiveEvent] | None] = asyncio.Queue(QUEUED_EVENTS)
        self._subscribers.add(queue)
        try:
            for event in self.so_far(call_id):
                yield event
            until_s = _from_now(idle_s)
            while call_id in self._controls:
                try:
                    async with asyncio.timeout_at(until_s):
                        item = await queue.get()
                except TimeoutError:
                    item = (call_id, None)
                if item is None:
                    return
                if item[0] == call_id:
                    yield item[1]
                    until_s = _from_now(idle_s)
        finally:
            self._subscribers.discard(queue)

    def close(self) -> None:
        """End every subscription."""
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


def _from_now(seconds: float | None) -> float | None:
    return None if seconds is None else asyncio.get_running_loop().time() + seconds
