"""A session that is still being opened, so that the call around it can begin: its caller is told it rings.

Opening ─▶ OpeningSession ─┬─ open ──▶ everything goes to the session itself
                           └─ failed ─▶ the call's end
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from agent.duplex import AgentFrame, DuplexSession, EngineLost, Samples


class OpeningSession:
    """``agent.duplex.DuplexSession`` around the one that ``opening`` returns; ``on_failed`` hears why there is none."""

    def __init__(self, opening: Coroutine[Any, Any, DuplexSession], on_failed: Callable[[Exception], None]) -> None:
        self._opening = asyncio.ensure_future(opening)
        self._on_failed = on_failed
        self._session: DuplexSession | None = None

    async def ready(self) -> None:
        try:
            self._session = session = await asyncio.shield(self._opening)
        except Exception as error:
            self._on_failed(error)
            raise EngineLost("The engine could not be opened.") from error
        await session.ready()

    def push(self, frame: Samples) -> None:
        if self._session is not None:
            self._session.push(frame)

    async def frames(self) -> AsyncIterator[AgentFrame]:
        if self._session is not None:
            async for frame in self._session.frames():
                yield frame

    async def close(self) -> None:
        self._opening.cancel()
        await asyncio.wait((self._opening,))
        if not self._opening.cancelled() and self._opening.exception() is None:
            await self._opening.result().close()
