"""The application behind a listening socket; live calls get their rows before the sockets go."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from fastapi import FastAPI

from agent.app import create_app
from agent.duplex import DuplexEngine
from agent.line.desks import Desks
from agent.settings import Settings, SettingsError
from agent.websocket import EagerWebSocket

log = structlog.get_logger(__name__)

_SWITCH_S = 0.0005  # Python's 5 ms let ten recorders that finish at once keep the event loop waiting for 50 ms
_LAST_WORDS_S = 2.0  # in which the carrier asks what its callers hear
MOST_MESSAGE_BYTES = 2 * 1024 * 1024
"""A carrier's messages have hundreds of bytes; what is longer than this ends the socket, what is odd does not."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts calls at ``url``."""

    url: str
    app: FastAPI
    _server: "_Server"

    async def wait(self) -> None:
        """Return when the server is being stopped."""
        await self._server.stopping.wait()

    async def drain(self, limit_s: float) -> None:
        """Take no more calls, let those that live finish for so long, end the rest with a sentence, and shut down.

        The listening socket stays open until then: the carrier asks there what comes after each stream.
        """
        desks: Desks = self.app.state.desks
        desks.drain()
        log.info("told to stop", calls=desks.live_calls, limit_s=limit_s)
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(desks.until_idle()), group.create_task(self.wait())]
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        if desks.live_calls and not self._server.stopping.is_set():
            log.warning("calls are ended by the shutdown", calls=desks.live_calls)
            await desks.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self.wait()
        self.stop()

    def stop(self) -> None:
        """Take no more calls, end those that live, and shut down."""
        self._server.stop()


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, engine: DuplexEngine | None = None, listening: socket.socket | None = None
) -> AsyncIterator[RunningServer]:
    """Run the server for the length of the block; port 0 takes a free one. ``listening`` is a socket bound before.

    Raises:
        SettingsError: the address can't be listened on, or as ``create_app``.
        DatabaseError, DuplexError: from the start, as ``create_app`` and its lifespan.
    """
    sys.setswitchinterval(_SWITCH_S)
    with listening or listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        app = create_app(settings.model_copy(update={"port": port}), engine)
        async with app.router.lifespan_context(app):
            server = _Server(_config(app, settings.proxies), app.state.desks)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(server.serve(sockets=[listening]))
                    await server.up.wait()
                    gc.collect()
                    gc.freeze()  # what is loaded by now stays: collecting garbage need not walk through it, 100 ms long
                    try:
                        yield RunningServer(f"http://{_reachable(settings.host)}:{port}", app, server)
                    finally:
                        server.stop()
            except BaseExceptionGroup as failures:  # the block's own error, as it was raised
                raise failures.exceptions[0] from None


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


class _Server(uvicorn.Server):
    """Uvicorn, started with an open socket and stopped by us."""

    def __init__(self, config: uvicorn.Config, desks: Desks) -> None:
        super().__init__(config)
        self._desks = desks
        self.up = asyncio.Event()
        self.stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self.stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._desks.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the command's business: uvicorn would raise them again before the lifespan has ended


def _config(app: FastAPI, proxies: tuple[str, ...]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",  # run by ``serving``, so that what goes wrong is one sentence
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[*proxies],
        ws=EagerWebSocket,
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # a call without audio for 10 s ends by itself
        timeout_graceful_shutdown=10,
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind the address.

    Raises:
        SettingsError: it is in use, or is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:  # socket.gaierror is one too
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such host"
        raise SettingsError(
            f"PARLEY_HOST, PARLEY_PORT: the server can't listen on {host}:{port} ({why}); choose another with --port."
        ) from None
    return listening
