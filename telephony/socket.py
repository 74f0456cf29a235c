"""The media socket of one call: the route's WebSocket, read at once whatever the call is doing.

    carrier ──▶ server ──▶ take | queue ──▶ receive ──▶ CallHandler.media
                                            send ──▶ carrier

A reader that waits makes the carrier throw the caller's audio away, so the queue is bounded and loses its oldest.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from telephony.errors import BadStream
from telephony.limits import MessageLimit
from telephony.media import MediaProtocol, StreamStarted

log = structlog.get_logger(__name__)

Take = Callable[[str | bytes | None], None]
"""Called with each message, and with None once the other side is gone."""

HANDS_OVER = "parley.hands_over"
"""The ASGI extension of a server that calls a ``Take`` instead of waking whoever waits for a message."""

HOLDS = "parley.holds"
"""The ASGI extension of a server that leaves small amounts of data unread for a while; see ``MediaSocket.hold``."""

SENDS_NOW = "parley.sends_now"
"""The ASGI extension of a server that sends texts by a plain call; that returns False where one has to wait."""

POLICY_VIOLATION = 1008
_QUEUED_MESSAGES = 500  # ten seconds of packets
_MESSAGES_BEFORE_START = 100
_SEND_TIMEOUT_S = 5.0
_SILENT_LINE_S = 20.0  # a living carrier sends 50 messages a second


class RouteSocket:
    """``telephony.carrier.MediaSocket`` over an accepted WebSocket; made by ``open_socket``."""

    def __init__(
        self, websocket: WebSocket, protocol: MediaProtocol, start: StreamStarted, limit: MessageLimit
    ) -> None:
        self.start = start
        self.protocol = protocol
        self.lost_messages = 0
        self._websocket = websocket
        extensions = websocket.scope.get("extensions", {})
        self._send_now: Callable[..., bool] | None = extensions.get(SENDS_NOW)
        self._hold: Callable[[int, int], None] | None = extensions.get(HOLDS)
        self._limit = limit
        self._messages: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._take: Take | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_s = 0.0
        self._gone = asyncio.Event()
        self._flooded = False
        self._over = False
        self._closed = False

    async def read(self) -> None:
        """Take in messages until the other side is gone, says nothing for 20 s, or too much; run beside the call."""
        hand_over: Callable[[Take], None] | None = self._websocket.scope.get("extensions", {}).get(HANDS_OVER)
        try:
            await (self._watch(hand_over) if hand_over else self._fetch())
        finally:
            self._end()
        if self._flooded:
            log.warning("media socket flooded", stream_id=self.start.stream_id)
            await self.close(POLICY_VIOLATION, "The media socket sent more than any call does.")

    async def receive(self) -> str | bytes | None:
        while not self._messages:
            if self._over:
                return None
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    def hand_over(self, take: Take) -> None:
        while self._messages:
            take(self._messages.popleft())
        self._take = take
        if self._over:
            take(None)

    def hold(self, packet_bytes: int, packets: int) -> None:
        if self._hold is not None:
            self._hold(packet_bytes, packets)

    async def _watch(self, hand_over: Callable[[Take], None]) -> None:
        """Be called with each message by the server."""
        self._heard_s = self._loop.time()
        hand_over(self._put)
        while not self._gone.is_set():
            try:
                async with asyncio.timeout_at(self._heard_s + _SILENT_LINE_S):
                    await self._gone.wait()
            except TimeoutError:
                if self._loop.time() >= self._heard_s + _SILENT_LINE_S:
                    log.warning("media socket fell silent", stream_id=self.start.stream_id)
                    return

    async def _fetch(self) -> None:
        """Wait for each message, as any ASGI server has it."""
        try:
            async with asyncio.timeout(_SILENT_LINE_S) as silence:
                while not self._gone.is_set():
                    self._put(await _next_message(self._websocket))
                    silence.reschedule(self._heard_s + _SILENT_LINE_S)
        except TimeoutError:
            log.warning("media socket fell silent", stream_id=self.start.stream_id)

    def _put(self, message: str | bytes | None) -> None:
        """Keep or hand over a message; no more come after None, or one too many."""
        self._heard_s = self._loop.time()
        if message is None or self._over or self._flooded:
            self._gone.set()
        elif not self._limit.allows(message):
            self._flooded = True
            self._gone.set()
        elif self._take is not None:
            self._take(message)
        else:
            if len(self._messages) >= _QUEUED_MESSAGES:
                self._messages.popleft()
                self.lost_messages += 1
            self._messages.append(message)
            self._news.set()

    def _end(self) -> None:
        self._over = True
        self._news.set()
        if self._take is not None:
            take, self._take = self._take, None
            take(None)

    async def send(self, *messages: str) -> None:
        if self.send_now(*messages):
            return
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                for message in messages:
                    await self._websocket.send_text(message)
        except (WebSocketDisconnect, RuntimeError, OSError):  # TimeoutError is an OSError
            self._end()

    def send_now(self, *messages: str) -> bool:
        return self._over or self._closed or (self._send_now is not None and self._send_now(*messages))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        await close(self._websocket, code, reason)


async def open_socket(
    websocket: WebSocket, protocol: MediaProtocol, limit: MessageLimit, timeout_s: float
) -> RouteSocket:
    """Wait for the stream's start on an accepted WebSocket.

    Raises:
        BadStream: it did not come in time or among the first messages, or the other side left.
    """
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(_MESSAGES_BEFORE_START):
                message = await _next_message(websocket)
                if message is None:
                    raise BadStream("The media socket was closed before its start message.")
                event = protocol.receive(message)
                if isinstance(event, StreamStarted):
                    return RouteSocket(websocket, protocol, event, limit)
                if not limit.allows(message):
                    break
    except TimeoutError:
        raise BadStream(f"The media socket sent no start message within {timeout_s:g} s.") from None
    raise BadStream("The media socket sent too much before its start message.")


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close a WebSocket whatever state it is in; ``reason`` is cut to what a close frame holds."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
    except (WebSocketDisconnect, RuntimeError, OSError):
        return


async def _next_message(websocket: WebSocket) -> str | bytes | None:
    message = await websocket.receive()
    if message["type"] != "websocket.receive":
        return None
    text = message.get("text")
    return text if text is not None else message.get("bytes", b"")
