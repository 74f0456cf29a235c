"""What is said in calls that another process of this machine carries, asked of it over a socket in the data folder.

page ─▶ LiveNeighbours.lines ─▶ DATA/live/PID ─▶ the process that carries the call: LiveCalls.watch
                              ◀─ how long it has been going, then a line of JSON for each that is shown

The folder is its owner's alone, as are the recordings beside it: who may open the socket may read and hear it all.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import structlog

from agent.live import LiveCalls, line_of
from crm.admin.live import LiveLine
from crm.call import Call
from crm.gateways import is_dead

log = structlog.get_logger(__name__)

_ANSWERS_WITHIN_S = 1.0


class LiveNeighbours:
    """One process's side of it, asking and answering; an async context manager that it answers in.

    ``gateway`` is its ``CallStore.gateway``, by which calls say who carries them. Nothing here raises: what can't
    be shared is shown by the process that carries it only.
    """

    def __init__(self, live: LiveCalls, folder: Path, gateway: str) -> None:
        self._live = live
        self._folder = folder
        self._gateway = gateway
        self._host, _, pid = gateway.rpartition(":")
        self._own = folder / pid
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "LiveNeighbours":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            for left in self._folder.iterdir():
                if is_dead(f"{self._host}:{left.name}", self._gateway):
                    left.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._answer, self._own)
        except OSError as error:  # a path of over 100 bytes, for one
            log.warning("words of live calls are shown by the process that carries them only", reason=str(error))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self._own.unlink(missing_ok=True)

    async def media_ms(self, call: Call) -> int | None:
        """Return how long a call has been going; None where no neighbour carries it."""
        async with self._asked(call) as answer:
            return None if answer is None else answer[0]

    async def lines(self, call: Call) -> AsyncIterator[LiveLine]:
        """Yield what was said and noted so far, then what follows, until the call is over."""
        async with self._asked(call) as answer:
            if answer is None:
                return
            with contextlib.suppress(OSError, ValueError):  # it died
                async for line in answer[1]:
                    yield LiveLine(**json.loads(line))

    @contextlib.asynccontextmanager
    async def _asked(self, call: Call) -> AsyncIterator[tuple[int, asyncio.StreamReader] | None]:
        """Ask the process that carries a call; what it answers, None where there is none on this machine."""
        host, _, pid = call.gateway.rpartition(":")
        if host != self._host or call.gateway == self._gateway:
            yield None
            return
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    reader, writer = await asyncio.open_unix_connection(self._folder / pid)
                    stack.callback(writer.close)
                    writer.write(f"{call.id}\n".encode())
                    answer = int(await reader.readline()), reader
            except (OSError, ValueError):  # TimeoutError is an OSError
                answer = None
            yield answer

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell one neighbour about one call."""
        with contextlib.suppress(OSError, ValueError), contextlib.closing(writer):
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                call_id = (await reader.readline()).decode().strip()
            if (control := self._live.control(call_id)) is None:
                return
            writer.write(f"{control.media_ms}\n".encode())
            async with contextlib.aclosing(self._live.watch(call_id)) as events:
                async for event in events:
                    if writer.is_closing() or reader.at_eof():
                        return
                    if line := line_of(event):
                        writer.write(json.dumps(asdict(line)).encode() + b"\n")
                        await writer.drain()
