"""One process's side of it, asking and answering."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from agent.live import LiveCalls
from agent.neighbours.answers import SILENCE_S, answers
from agent.neighbours.machines import Machines, add_route
from agent.neighbours.seals import BadSeal, Question, Seals, What
from agent.neighbours.sockets import Sockets
from crm.admin.live import LiveLine
from crm.call import Call, Handoff
from crm.gateways import Gateways, place_of

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 2.0
CUT_OFF = "out of reach: what carries the call does not answer any more; load the page again"
_AWAY = (OSError, ValueError, SQLAlchemyError)  # TimeoutError is an OSError
_Lines = AsyncIterator[dict[str, Any]]


class LiveNeighbours:
    """An async context manager that this process answers in. Nothing here raises: what is out of reach is shown by the
    process that carries it only.

    ``folder`` is for this machine's sockets. ``gateways`` knows this process's name, and where others are reached;
    ``secret`` is what all of them have. Where this process has no address, machines are not asked and not answered.
    """

    def __init__(self, live: LiveCalls, folder: Path, gateways: Gateways, secret: str) -> None:
        self._live = live
        self._own = gateways.name
        self._seals = Seals(secret, self._own)
        self._sockets = Sockets(folder, self._own, self._answer)
        self._machines = Machines(gateways) if gateways.told.address else None
        self._open = AsyncExitStack()

    def mount(self, app: FastAPI) -> None:
        """Answer other machines, where there are any."""
        if self._machines:
            add_route(app, self._answer)

    async def __aenter__(self) -> "LiveNeighbours":
        await self._open.enter_async_context(self._sockets)
        if self._machines:
            self._open.push_async_callback(self._machines.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def media_ms(self, call: Call) -> int | None:
        """Return how long a call has been going; None where nobody who can be asked carries it."""
        async with self._asked(call, "lines") as (first, _):
            return first.get("ms")

    async def lines(self, call: Call) -> AsyncIterator[LiveLine]:
        """Yield what was said and noted so far, then what follows, until the call is over or out of reach."""
        at_ms = 0
        async with self._asked(call, "lines") as (first, rest):
            if not first:
                return
            with suppress(*_AWAY):  # the process died, or its machine did
                async for line in rest:
                    if "over" in line:
                        return
                    if line:
                        shown = LiveLine(**line)
                        at_ms = shown.at_ms
                        yield shown
        yield LiveLine("event", at_ms, CUT_OFF)

    async def hang_up(self, call: Call, user: str) -> bool:
        """End a call for ``user``; False where nobody who can be asked carries it."""
        async with self._asked(call, "hang_up", user) as (first, _):
            return "done" in first

    async def hand_off(self, call: Call, handoff: Handoff, user: str) -> bool | None:
        """Give a call to a human for ``user``; False where there is no human, None where nobody carries it."""
        async with self._asked(call, "hand_off", user, handoff) as (first, _):
            return first.get("done")

    @asynccontextmanager
    async def _asked(
        self, call: Call, what: What, user: str = "", handoff: Handoff | None = None
    ) -> AsyncIterator[tuple[dict[str, Any], _Lines]]:
        """Ask the process that carries a call; yield its first line, empty where there is none, and the others."""
        sealed = self._seals.seal(Question(call.gateway, what, call.id, user, handoff))
        first: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            lines = _read(_none())
            if sending := self._way_to(call.gateway):
                try:
                    async with asyncio.timeout(ANSWERS_WITHIN_S):
                        lines = _read(await stack.enter_async_context(sending.sent(call.gateway, sealed)))
                        first = await anext(lines, {})
                except _AWAY as error:
                    reason = str(error) or f"not within {ANSWERS_WITHIN_S:g} s"
                    log.warning("who carries a call does not answer", gateway=call.gateway, reason=reason)
            yield first, lines

    def _way_to(self, gateway: str) -> Sockets | Machines | None:
        """Return what reaches another process; None for this one, and where there is no way."""
        if gateway == self._own or not gateway:
            return None
        return self._sockets if place_of(gateway) == place_of(self._own) else self._machines

    async def _answer(self, line: bytes) -> AsyncGenerator[bytes, None]:
        """Answer a question, or pass it on to the process of this machine that is meant; raises BadSeal."""
        to = self._seals.addressee(line)
        if to == self._own:
            async with aclosing(answers(self._live, self._seals.open(line))) as own:
                async for each in own:
                    yield each
        elif place_of(to) == place_of(self._own):
            with suppress(OSError, ValueError):  # it is gone
                async with self._sockets.sent(to, line) as passed_on:
                    async for each in passed_on:
                        yield each
        else:
            raise BadSeal("The question is for a machine that is gone, or that has the same PARLEY_PEER_ADDRESS.")


async def _read(lines: AsyncIterator[str] | AsyncIterator[bytes]) -> _Lines:
    """Yield what stands in the lines; raises OSError, after a silence too, and ValueError."""
    with suppress(StopAsyncIteration):
        while True:
            async with asyncio.timeout(SILENCE_S):
                line = await anext(lines)
            yield json.loads(line)


async def _none() -> AsyncIterator[bytes]:
    for line in ():
        yield line
