"""One simulated phone's media socket, as cheap as a load generator needs it: no task, no queue, no timer of its own.

say(packet) ──▶ socket ──▶ server ──▶ socket ──▶ ear: [(sample, µ-law) …], played one after another
                                             └─▶ marks, returned once what was before them has been played
"""

import asyncio
import base64
import json
import time
from collections import deque
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from telephony.media import PHONE
from telephony.simulator.signing import new_sid
from telephony.simulator.stream import StreamOffer

_PER_S = PHONE.sample_hz


class PhoneWire(asyncio.Protocol):
    """A stream over a socket of its own; ``connected`` is set by the server's answer to the upgrade."""

    def __init__(self, offer: StreamOffer) -> None:
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.ear: list[tuple[int, bytes]] = []
        self.said_packets = 0
        self.error = ""
        self._offer = offer
        self._stream_id = new_sid("MZ")
        self._socket = ClientProtocol(parse_uri(offer.url), max_size=None)
        self._transport: asyncio.Transport | None = None
        self._begin_s: float | None = None
        self._played_until = 0
        self._marks: deque[tuple[int, str]] = deque()
        self._sequence = 1

    @property
    def began(self) -> bool:
        """Whether the stream has been started."""
        return self._begin_s is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        request = self._socket.connect()
        request.headers.update(self._offer.headers)
        self._socket.send_request(request)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.connected.done():
            self.connected.set_exception(exc or ConnectionResetError())
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        self._socket.receive_data(data)
        for event in self._socket.events_received():
            if isinstance(event, Response):
                self._shake_hands()
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._take(bytes(event.data), now_s)
        self._flush()

    def begin(self) -> None:
        """Start the stream; the call's first sample is spoken now."""
        ids = {"accountSid": self._offer.account_id, "callSid": self._offer.call_id, "streamSid": self._stream_id}
        media = {"encoding": "audio/x-mulaw", "sampleRate": PHONE.sample_hz, "channels": 1}
        start = ids | {"tracks": ["inbound"], "customParameters": dict(self._offer.parameters), "mediaFormat": media}
        self._send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        self._send(json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": self._stream_id, "start": start}))
        self._begin_s = time.monotonic()

    def say(self, payload: str) -> None:
        """Send the next packet, base64, and the marks that have been reached."""
        self._sequence += 1
        at_ms = self.said_packets * PHONE.packet_ms
        self.said_packets += 1
        self._send(
            f'{{"event":"media","sequenceNumber":"{self._sequence}","media":{{"track":"inbound",'
            f'"chunk":"{self.said_packets}","timestamp":"{at_ms}","payload":"{payload}"}},'
            f'"streamSid":"{self._stream_id}"}}'
        )
        now = self._samples(time.monotonic())
        while self._marks and self._marks[0][0] <= now:
            self._sequence += 1
            name = self._marks.popleft()[1]
            self._send(
                f'{{"event":"mark","sequenceNumber":"{self._sequence}","streamSid":"{self._stream_id}",'
                f'"mark":{{"name":"{name}"}}}}'
            )

    def hang_up(self) -> None:
        """Send the stream's end and close the socket."""
        if not self.closed.is_set():
            self._send(json.dumps({"event": "stop", "sequenceNumber": "0", "streamSid": self._stream_id, "stop": {}}))
            self._socket.send_close(1000)
            self._flush()

    def abort(self) -> None:
        """Drop the socket."""
        if self._transport:
            self._transport.abort()

    def _shake_hands(self) -> None:
        failure = self._socket.handshake_exc
        if failure is None:
            self.connected.set_result(None)
        elif not self.connected.done():
            self.connected.set_exception(InvalidHandshake(str(failure)))

    def _take(self, data: bytes, now_s: float) -> None:
        fields = json.loads(data)
        match fields["event"]:
            case "media":
                audio = base64.b64decode(fields["media"]["payload"])
                begin = max(self._played_until, self._samples(now_s))
                self.ear.append((begin, audio))
                self._played_until = begin + len(audio)
            case "mark":
                self._marks.append((self._played_until, fields["mark"]["name"]))

    def _samples(self, now_s: float) -> int:
        """Return the call's age in samples."""
        return round((now_s - (self._begin_s or now_s)) * _PER_S)

    def _send(self, text: str) -> None:
        if self.closed.is_set():
            self.error = self.error or "the server closed the media socket"
            return
        self._socket.send_text(text.encode())
        self._flush()

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._socket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof()
