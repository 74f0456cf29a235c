"""Uvicorn's WebSocket for media: 50 small messages a second in, an audio message and its mark 12 times a second out.

in   uvicorn stops reading after every message until it has been taken: two system calls a packet. Here it reads on.
     Who asks for it gets each message by a plain call, without a queue and a task to be woken, and may let packets
     wait here, unread, for those without which they are of no use: what is done four times in a row costs half.
     Its text messages are unpacked here, in a third of the library's time; all else is left to the library.
out  uvicorn writes every message by itself. Who asks for it sends several by one plain call here.

Messages on the wire: RFC 6455, section 5.2.
"""

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from telephony.socket import HANDS_OVER, HOLDS, SENDS_NOW, Take

try:
    from websockets.speedups import apply_mask
except ImportError:  # the package was built without its C extension
    from websockets.utils import apply_mask

MOST_WAITING = 100
"""Two seconds of a line; where as many wait, reading stops until none does."""

_TEXT, _FINAL, _MASKED = 0x81, 0x80, 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127  # of length, behind the first two
_MASK_BYTES = 4


class EagerWebSocket(WebSocketsSansIOProtocol):
    """Half of the system calls a call would make; otherwise uvicorn's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._take: Take | None = None
        self._held = b""
        self._packet_bytes = self._packets = 0
        self._is_unpacking = False

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
        elif not self.handshake_initiated:
            super().data_received(data)
            self._is_unpacking = data.endswith(b"\r\n\r\n")  # the library has nothing of a message yet
        else:
            self._held, self._packets = b"", 0
            self._unpack(data)

    def _unpack(self, data: bytes) -> None:
        """Take whole text messages, give whole others to the library, keep what has not come whole yet.

        Who sends a message in pieces, or over 64 KiB, or what is no message, has the library read from there on.
        """
        at = 0
        while self._is_unpacking and at < len(data):
            begin, end = _payload(data, at)
            if end > len(data):
                self._held = data[at:]
                return
            if end == 0 or self.conn.state is not State.OPEN:
                self._is_unpacking = False
            elif data[at] != _TEXT or not self._take_text(data[begin - _MASK_BYTES : begin], data[begin:end]):
                super().data_received(data[at:end])
                at = end
            else:
                at = end
        if at < len(data):
            super().data_received(data[at:])

    def _take_text(self, mask: bytes, payload: bytes) -> bool:
        """Hand a message over; False where nobody asked for it, or it is no text."""
        if self._take is None:
            return False
        try:
            text = str(apply_mask(payload, mask), "utf-8")
        except UnicodeDecodeError:
            return False
        self._take(text)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._held:
            self._unpack(self._held)
        super().connection_lost(exc)

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
        self.transport.write(b"".join(map(_packed, texts)))
        return True


class _Handing(asyncio.Queue[Any]):
    """Where uvicorn puts its events: each is handed on as it comes, and none ever waits."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take

    def put_nowait(self, item: Any) -> None:
        text = item.get("text")
        self._take(item.get("bytes") if text is None else text)


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload begins and ends of the message that begins at ``at``.

    The end lies behind ``data`` where the message has not come whole, and is 0 for what is to be left to the library.
    """
    if len(data) < at + 2:
        return at, len(data) + 1
    length = data[at + 1] - _MASKED
    begin = at + 2 + _MASK_BYTES
    if data[at] < _FINAL or length < 0 or length == _EIGHT_BYTES:
        return begin, 0
    if length == _TWO_BYTES:
        length = int.from_bytes(data[at + 2 : at + 4]) if len(data) >= at + 4 else len(data)
        begin += 2
    return begin, begin + length


def _packed(text: str) -> bytes:
    """Return a text message as a server sends it."""
    payload = text.encode()
    size = len(payload)
    if size < _TWO_BYTES:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT, _TWO_BYTES)) + size.to_bytes(2) + payload
    return bytes((_TEXT, _EIGHT_BYTES)) + size.to_bytes(8) + payload
