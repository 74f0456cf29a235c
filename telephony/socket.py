"""The media socket of one call: the route's WebSocket, read at once whatever the call is doing.

    carrier ──▶ reader ──▶ queue ──▶ receive ──▶ CallHandler.media
                                     send ──▶ carrier

A reader that waits makes the carrier throw the caller's audio away, so the queue is bounded and loses its oldest.
"""

import asyncio
from collections import deque

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from telephony.errors import BadStream
from telephony.limits import MessageLimit
from telephony.media import MediaProtocol, StreamStarted

log = structlog.get_logger(__name__)

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
        self._limit = limit
        self._messages: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._closed = False

    async def read(self) -> None:
        """Take in messages until the other side is gone, says nothing for 20 s, or too much; run beside the call."""
        loop = asyncio.get_running_loop()
        renew_s = 0.0
        try:
            async with asyncio.timeout(_SILENT_LINE_S) as silence:
                while (message := await _next_message(self._websocket)) is not None:
                    now_s = loop.time()
                    if now_s >= renew_s:  # a timer for each message would cost as much as the message
                        silence.reschedule(now_s + _SILENT_LINE_S)
                        renew_s = now_s + 1
                    if not self._limit.allows(message):
                        log.warning("media socket flooded", stream_id=self.start.stream_id)
                        await self.close(POLICY_VIOLATION, "The media socket sent more than any call does.")
                        break
                    if len(self._messages) >= _QUEUED_MESSAGES:
                        self._messages.popleft()
                        self.lost_messages += 1
                    self._messages.append(message)
                    self._news.set()
        except TimeoutError:
            log.warning("media socket fell silent", stream_id=self.start.stream_id)
        finally:
            self._over = True
            self._news.set()

    async def receive(self) -> str | bytes | None:
        while not self._messages:
            if self._over:
                return None
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    async def send(self, message: str) -> None:
        if self._over or self._closed:
            return
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await self._websocket.send_text(message)
        except (WebSocketDisconnect, RuntimeError, OSError):  # TimeoutError is an OSError
            self._over = True
            self._news.set()

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
