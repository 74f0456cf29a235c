"""Questions between processes of one machine, over Unix sockets in a folder that is their owner's alone."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from pathlib import Path

import structlog

from agent.neighbours.seals import MOST_BYTES, BadSeal
from crm.gateways import is_dead, place_of

log = structlog.get_logger(__name__)

Answer = Callable[[bytes], AsyncGenerator[bytes, None]]
"""What a sealed question is answered with, line by line; raises BadSeal."""

ASKED_WITHIN_S = 1.0


class Sockets:
    """The sockets as one process sees them, ``own`` is its name; an async context manager that it answers in."""

    def __init__(self, folder: Path, own: str, answer: Answer) -> None:
        self._folder = folder
        self._own = own
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Sockets":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._clear()
            self._server = await asyncio.start_unix_server(self._serve, self._path(self._own), limit=MOST_BYTES)
        except OSError as error:  # a path of over 100 bytes, for one
            log.warning("words of live calls are shown by the process that carries them only", reason=str(error))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            self._path(self._own).unlink(missing_ok=True)

    @asynccontextmanager
    async def sent(self, to: str, line: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask the process ``to`` of this machine; yield the lines that it answers. Raises OSError."""
        reader, writer = await asyncio.open_unix_connection(self._path(to))
        with closing(writer):
            writer.write(line)
            yield reader

    def _path(self, gateway: str) -> Path:
        """Return a process's socket. A short name, and the place's own: other machines may have the folder too."""
        return self._folder / f"{_mark(gateway)}-{gateway.rpartition(':')[2]}"

    def _clear(self) -> None:
        """Remove what killed processes of this place left."""
        for left in self._folder.iterdir():
            mark, _, pid = left.name.rpartition("-")
            if mark == _mark(self._own) and is_dead(f"{place_of(self._own)}:{pid}", self._own):
                left.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, BadSeal), closing(writer):
            async with asyncio.timeout(ASKED_WITHIN_S):
                line = await reader.readline()
            async with aclosing(self._answer(line)) as answer:
                async for each in answer:
                    if writer.is_closing() or reader.at_eof():
                        return
                    writer.write(each)
                    await writer.drain()


def _mark(gateway: str) -> str:
    return hashlib.sha256(place_of(gateway).encode()).hexdigest()[:8]
