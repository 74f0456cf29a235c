"""Many calls on one engine, some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from agent.duplex import DuplexEngine

T = TypeVar("T")


async def hold_calls(
    engine: DuplexEngine, wanted: Iterable[T], hold: Callable[[T], Awaitable[None]], at_once: int
) -> None:
    """Hold a call for each of ``wanted``, ``at_once`` at a time, or as many as the started engine has slots for."""
    waiting = iter(wanted)

    async def work() -> None:
        for each in waiting:
            await hold(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, engine.capacity().slots or at_once)):
            group.create_task(work())
