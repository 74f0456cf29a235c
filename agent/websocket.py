"""Uvicorn's WebSocket for media: 50 small messages a second in, an audio message and its mark 12 times a second out.

in   uvicorn stops reading after every message until it has been taken: two system calls a packet. Here it reads on.
out  uvicorn writes every message by itself. Here those of one moment go out together, before the loop sleeps.
"""

from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

MOST_WAITING = 100
"""Two seconds of a line; where as many wait, reading stops until none does."""


class EagerWebSocket(WebSocketsSansIOProtocol):
    """Half of the system calls a call would make; otherwise uvicorn's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: list[bytes] = []

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
            self._flush()
            await super().send(message)
            return
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self.conn.send_text(text.encode())
        self._unsent += self.conn.data_to_send()

    def _flush(self) -> None:
        if self._unsent:
            waiting, self._unsent = self._unsent, []
            self.transport.write(b"".join(waiting))
