"""The engine behind HTTP: /api/chat for calls, and what operators ask.

    GET /api/chat (WebSocket) ── refused before the upgrade: 400, 401, 503 ─┐
                                                       else one Chat a call ┴▶ DuplexEngine
    GET /api/voices · /health · /ready · /metrics

It takes any engine of the port; nothing here imports torch.
"""

import asyncio
import contextlib
import hmac
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from urllib.parse import parse_qsl

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets import http11

from agent.duplex import (
    DuplexEngine,
    DuplexError,
    DuplexSession,
    EngineFull,
    EngineUnavailable,
    RoleCard,
    RolePrompt,
)
from agent.engines.personaplex.chat import Chat, Limits
from agent.engines.personaplex.fair_socket import FairSocket
from agent.engines.personaplex.metrics import ServerMetrics
from agent.engines.personaplex.patient_http import PatientHttp
from agent.wire.query import DEFAULT_VOICE, FORMATS, ChatQuery, QueryError

DEFAULT_TEXT = "You enjoy having a good conversation."
RETRY_AFTER_S = 5
MOST_MESSAGE_BYTES = 256 * 1024
"""A frame of Opus has hundreds of bytes; a longer message ends the call with WebSocket code 1009."""

_MOST_LINE_BYTES = 256 * 1024
"""The longest role prompt travels in the URL, where a character may take 12 bytes."""

_STOPPING = "The engine is being stopped: it takes no more calls."

_NO_CARD = RoleCard("", "", "", "", "", "", "", "")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``token``: what /api/… asks for as ``Authorization: Bearer``; empty asks for nothing.

    ``replicas``: how many of this server there are, at most, behind one address: /health tells the slots of all, and
    ``instance``, which they share; empty draws one.
    """

    token: str = ""
    limits: Limits = field(default_factory=Limits)
    replicas: int = 1
    instance: str = ""


class _Refused(Exception):
    """A request that gets no call: the status and its sentence."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        return PlainTextResponse(f"{self}\n", self.status, self.headers)


def create_app(engine: DuplexEngine, voices: Callable[[], Sequence[str]], options: ServerOptions) -> Starlette:
    """Return the application; its lifespan starts the engine, beside the first requests, and closes it.

    Where the start fails, ``app.state.failure`` holds the error and ``app.state.stop`` is called. ``app.state.drain``
    is ``_EngineServer.drain``.

    Args:
        voices: the names that may be asked for, with or without their suffix; read after the start.
    """
    server = _EngineServer(engine, voices, options)
    routes = [
        WebSocketRoute("/api/chat", server.chat),
        Route("/api/chat", server.upgrade_required),
        Route("/api/voices", server.list_voices),
        Route("/health", server.health),
        Route("/ready", server.ready),
        Route("/metrics", server.show_metrics),
    ]
    app = Starlette(routes=routes, lifespan=server.lifespan)
    app.state.failure, app.state.stop, app.state.drain = None, lambda: None, server.drain
    return app


def server_config(app: Starlette, *, host: str, port: int) -> uvicorn.Config:
    """Return how the application is to be run: sizes of messages and of the query, pings, quiet logs."""
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, _MOST_LINE_BYTES)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PatientHttp,
        ws=FairSocket,
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        EngineUnavailable: the address is in use, or none of this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EngineUnavailable(
            f"The engine can't listen on {host}:{port} ({why}); choose another address with --host and --port."
        ) from error


def _strict(query: bytes) -> dict[str, str]:
    """Decode a query; Starlette's own reading puts other characters where it is not UTF-8, of a role for instance."""
    return dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict"))


class _EngineServer:
    """The routes' common state."""

    def __init__(self, engine: DuplexEngine, voices: Callable[[], Sequence[str]], options: ServerOptions) -> None:
        self._engine = engine
        self._voices = voices
        self._options = options
        self._metrics = ServerMetrics(engine)
        self._is_up = False
        self._is_draining = False
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._instance = options.instance or secrets.token_hex(8)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        try:
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(self._start(app))
                try:
                    yield
                finally:
                    starting.cancel()
        finally:
            self._is_up = False
            await self._engine.close()

    async def _start(self, app: Starlette) -> None:
        try:
            await self._engine.start()
            self._is_up = True
        except Exception as failure:  # whatever it was: a server that will never be ready must not stay
            app.state.failure = failure
            app.state.stop()

    async def drain(self, limit_s: float) -> None:
        """Take no more calls from now on; return when those that live, or are being opened, are over, or it is time."""
        self._is_draining = True
        self._metrics.draining.set(1)
        log.info("told to stop", calls=self._calls, limit_s=limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        if self._calls:
            log.warning("calls are ended by the stop", calls=self._calls)

    # Calls

    async def chat(self, socket: WebSocket) -> None:
        self._calls += 1
        self._idle.clear()
        try:
            await self._carry(socket)
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def _carry(self, socket: WebSocket) -> None:
        try:
            self._check_token(socket.headers)
            if self._is_draining:
                raise _Refused(503, _STOPPING)  # without Retry-After: whoever reads it should go elsewhere
            query = self._read(socket)
            session = await self._open(query)
        except _Refused as refused:
            self._metrics.refused(refused.status)
            log.info("chat refused", status=refused.status)
            await socket.send_denial_response(refused.response())
            return
        try:
            await socket.accept()
            chat = Chat(socket, session, pcm=query.pcm, limits=self._options.limits, metrics=self._metrics)
            await chat.run()
        finally:
            await session.close()

    def _read(self, socket: WebSocket) -> ChatQuery:
        try:
            return ChatQuery.read(_strict(socket.scope["query_string"]))
        except QueryError as error:
            raise _Refused(400, str(error)) from error
        except UnicodeDecodeError as error:
            raise _Refused(400, "The query is not UTF-8; percent-encode its values from UTF-8.") from error

    async def _open(self, query: ChatQuery) -> DuplexSession:
        text = DEFAULT_TEXT if query.text is None else query.text
        role = RolePrompt(text, self._voice(query.voice), _NO_CARD, query.sampling, query.seed)
        try:
            return await self._engine.open(role)
        except EngineFull as error:
            wait_s = max(1, round(error.retry_after_s or RETRY_AFTER_S))
            raise _Refused(503, str(error), Retry_After=str(wait_s)) from error
        except EngineUnavailable as error:
            raise _Refused(503, str(error)) from error
        except DuplexError as error:
            raise _Refused(400, f"The role can't be played: {error}") from error

    def _voice(self, wanted: str) -> str:
        """Return the voice of a name, which may lack its suffix; names are compared, never looked up as paths."""
        names = list(self._voices())
        stems = {PurePath(name).stem: name for name in reversed(names)}
        if not wanted:
            return stems.get(DEFAULT_VOICE) or next(iter(names), DEFAULT_VOICE)
        if wanted in names:
            return wanted
        stem, dot, suffix = wanted.rpartition(".")
        found = stems.get(stem if dot and suffix in ("pt", "wav") else wanted)
        if found is None:
            raise _Refused(400, "voice_prompt names no voice of this server; GET /api/voices lists them.")
        return found

    def _check_token(self, headers: Headers) -> None:
        if self._options.token:
            given, wanted = headers.get("authorization", ""), f"Bearer {self._options.token}"
            if not hmac.compare_digest(given.encode(), wanted.encode()):
                raise _Refused(401, "This server asks for a token: Authorization: Bearer …", WWW_Authenticate="Bearer")

    # What operators ask

    async def upgrade_required(self, request: Request) -> Response:
        return PlainTextResponse("/api/chat is a WebSocket.\n", 426, {"Upgrade": "websocket"})

    async def list_voices(self, request: Request) -> Response:
        try:
            self._check_token(request.headers)
        except _Refused as refused:
            return refused.response()
        return JSONResponse({"voices": sorted(self._voices()), "default": self._voice("")})

    async def health(self, request: Request) -> Response:
        """The process lives, while it drains too; once the device has failed nothing but a restart mends it: 503."""
        told = self._slots()
        told["slots"] *= self._options.replicas
        if failure := self._failure():
            return JSONResponse({"status": "failed", "reason": failure, **told}, 503)
        status = "draining" if self._is_draining else "ok"
        return JSONResponse({"status": status, **told, "formats": FORMATS, "instance": self._instance})

    async def ready(self, request: Request) -> Response:
        """The engine takes calls, though all slots may be taken: 503 until it is loaded, once it drains or fails."""
        failure = self._failure()
        if not self._is_up or self._is_draining or failure:
            reason = failure or (_STOPPING if self._is_draining else "The engine is not loaded.")
            return JSONResponse({"status": "unavailable", "reason": reason, **self._slots()}, 503)
        return JSONResponse({"status": "ready", **self._slots()})

    def _failure(self) -> str:
        return getattr(self._engine, "failure", "")

    def _slots(self) -> dict[str, int]:
        capacity = self._engine.capacity()
        return {"slots": capacity.slots, "used": capacity.used}

    async def show_metrics(self, request: Request) -> Response:
        text = await asyncio.to_thread(self._metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
