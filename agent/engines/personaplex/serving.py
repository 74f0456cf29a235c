"""The server's life in a process of its own: it serves, drains at a signal, and ends.

signal ─▶ no more calls ─ the last one is over, it is time, or a second signal ─▶ the rest is closed ─▶ end
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from agent.engines.personaplex.server import server_config

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(app: Starlette, listening: socket.socket, drain_s: float) -> None:
    """Serve until a signal comes, then let live calls go on for at most ``drain_s``; a third signal is not waited for.

    Raises:
        Exception: what the engine's start failed with.
    """
    host, port = listening.getsockname()[:2]
    server = _Server(server_config(app, host=host, port=port))
    asked = asyncio.Event()

    def stop() -> None:
        server.should_exit = True
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_DFL)

    def heed() -> None:
        stop() if asked.is_set() else asked.set()

    async def drain() -> None:
        await asked.wait()
        await app.state.drain(drain_s)
        stop()

    app.state.stop = stop
    for name in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(name, heed)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(drain())
        await server.serve(sockets=[listening])
        draining.cancel()
    if app.state.failure:
        raise app.state.failure


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are ``serve``'s business: uvicorn would raise them again
