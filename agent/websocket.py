"""Uvicorn's WebSocket for media: 50 small messages a second in, an audio message and its mark 12 times a second out.

in   uvicorn stops reading after every message until it has been taken: two system calls a packet. Here it reads on.
     Who asks for it gets each message by a plain call, without a queue and a task to be woken, and may let packets
     wait here, unread, for those without which they are of no use: what is done four times in a row costs half.
out  uvicorn writes every message by itself. Who asks for it sends several by one plain call here.
"""

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from telephony.socket import HANDS_OVER, HOLDS, SENDS_NOW, Take

MOST_WAITING = 100
"""Two seconds of a line; where as many wait, reading stops until none does."""


class EagerWebSocket(WebSocketsSansIOProtocol):
    """Half of the system calls a call would make; otherwise uvicorn's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._take: Take | None = None
        self._held = b""
        self._packet_bytes = self._packets = 0

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # the handshake may have been refused
            extensions: dict[str, Any] = self.scope.setdefault("extensions", {})  # pyright: ignore[reportAssignmentType]
            extensions |= {HANDS_OVER: self._hand_over, HOLDS: self._hold, SENDS_NOW: self._send_now}

    def _hand_over(self, take: Take) -> None:
        waiting, self.queue = self.queue, _Handing(take)
        while not waiting.empty():
            self.queue.put_nowait(waiting.get_nowait())
        self._take = take
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _hold(self, packet_bytes: int, packets: int) -> None:
        self._packet_bytes, self._packets = packet_bytes, packets

    def data_received(self, data: bytes) -> None:
        is_packet = 10 * abs(len(data) - self._packet_bytes) < self._packet_bytes
        data = self._held + data
        if is_packet and self._packets > 1:
            self._held, self._packets = data, self._packets - 1
        else:
            self._held, self._packets = b"", 0
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._held:
            super().data_received(self._held)
        super().connection_lost(exc)

    def handle_text(self, event: Frame) -> None:
        if self._take is None or not event.fin or self.close_sent:
            super().handle_text(event)
            return
        try:
            text = str(event.data, "utf-8")
        except UnicodeDecodeError:
            super().handle_text(event)
        else:
            self._take(text)

    def send_receive_event_to_app(self) -> None:
        paused, self.read_paused = self.read_paused, True  # what is paused is not paused again
        super().send_receive_event_to_app()
        self.read_paused = paused
        if not paused and self.queue.qsize() >= MOST_WAITING:
            self.read_paused = True
            self.transport.pause_reading()

    async def send(self, message: Any) -> None:
        text = message.get("text")
        if text is None or not self.handshake_complete or self.close_sent or self.initial_response is not None:
            await super().send(message)
            return
        while not self._send_now(text):
            if self.disconnected or self.conn.state is not State.OPEN:
                raise ClientDisconnected
            await self.writable.wait()

    def _send_now(self, *texts: str) -> bool:
        """Send text messages without waiting; False where that can't be, and ``send`` says why."""
        if not self.writable.is_set() or self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
            return False
        for text in texts:
            self.conn.send_text(text.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True


class _Handing(asyncio.Queue[Any]):
    """Where uvicorn puts its events: each is handed on as it comes, and none ever waits."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take

    def put_nowait(self, item: Any) -> None:
        text = item.get("text")
        self._take(item.get("bytes") if text is None else text)
