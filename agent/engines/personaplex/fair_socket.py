"""A client's bytes, read so that nothing a client sends keeps the event loop from other calls.

    transport ─▶ held ─ 4 KiB a turn, a tenth of the loop's time at most ─▶ uvicorn's WebSocket ─▶ Chat
        ▲──────── not read while something is held, or while the client itself reads nothing

uvicorn alone parses at once whatever a read brought, a quarter megabyte of pings for instance, and answers
each of them though nobody reads the answers. It has no public place for this: what is taken of its inside is listed
in this module's test, which fails by name where another uvicorn has it no more.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

SLICE_BYTES = 4096
"""Holds a frame of raw sound, so that a call that keeps to its time never waits here."""

CLOSE_S = 3.0
"""How long a client may take to answer a close, and to read what was sent to it."""

PATIENCE_S = 15.0
"""How long a client may stay ahead of its turns, or behind with its reading, before its slot goes to others."""

_POLICY, _STOPPED = 1008, 1012
_TOO_MUCH = "More came than a call can need, or nothing was read."

_SHARE = 0.1
_LEAST_REST_S = 0.001
_REFUSAL = b"The request can't be read: its URL or its headers are too long, or it brings a body.\n"


class FairSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket; also closes what uvicorn would leave open: unreadable requests, clients that don't read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.close_timeout = CLOSE_S
        self._held = bytearray()
        self._turn: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._is_cut_off = False
        self._rested_at = 0.0

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:  # uvicorn hands over a request that is whole
            super().data_received(data)
            if not self.handshake_initiated:
                self._refuse()
            return
        self._held += data
        self._go_on()

    def _refuse(self) -> None:
        headers = Headers({"Content-Type": "text/plain", "Content-Length": str(len(_REFUSAL)), "Connection": "close"})
        self.transport.write(Response(400, "Bad Request", headers, _REFUSAL).serialize())
        self.transport.close()

    def _take_turn(self) -> None:
        self._turn = None
        began = time.thread_time()  # of this thread: what others took of the interpreter is not this client's doing
        piece = bytes(self._held[:SLICE_BYTES])
        del self._held[:SLICE_BYTES]
        super().data_received(piece)
        rest_s = (time.thread_time() - began) / _SHARE
        self._rested_at = self.loop.time() + max(rest_s, _LEAST_REST_S if self._held else 0.0)
        self._go_on()

    def _go_on(self) -> None:
        """Read and parse further where the client takes its answers and the call has taken its messages."""
        if self._is_cut_off or self.transport.is_closing():
            self._held.clear()
            return
        may_go_on = self.writable.is_set() and not self.read_paused
        if may_go_on and not self._held:
            self._calm()
            self.transport.resume_reading()
            return
        if self._patience is None:
            self._patience = self.loop.call_later(PATIENCE_S, self._cut_off)
        self.transport.pause_reading()
        if may_go_on and self._turn is None:
            self._turn = self.loop.call_later(max(0.0, self._rested_at - self.loop.time()), self._take_turn)

    def _calm(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _cut_off(self) -> None:
        """End the call at once; its client has ``CLOSE_S`` to read why, though nothing of it is read any more."""
        if self.close_sent or self.transport.is_closing():
            return
        self._is_cut_off = True
        self.transport.pause_reading()
        self._end(_POLICY, _TOO_MUCH)
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def _end(self, code: int, reason: str) -> None:
        """Tell both sides of the call that it is over."""
        self.close_sent = True
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def shutdown(self) -> None:
        """End the call when the server stops, as uvicorn does, but with a reason."""
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
            return
        self._calm()
        self.stop_keepalive()
        self._end(_STOPPED, "The engine is being stopped.")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._go_on()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    async def receive(self) -> "ASGIReceiveEvent":
        message = await super().receive()
        self._go_on()
        return message

    async def send(self, message: "ASGISendEvent") -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # a refusal is an answer too: uvicorn would log that there was none
        self._go_on()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(self.close_timeout + 1, self.transport.abort)  # what is not read is never flushed
