"""The carrier's end of a media socket, in real time.

ScriptedCaller ──tick, 20 ms──▶ media ──▶ server
     ▲ AgentEar ◀── Playout ◀── media, mark, clear
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from telephony.audio import g711
from telephony.media import PHONE
from telephony.simulator.callers import Act, Caller
from telephony.simulator.hearing import AgentEar
from telephony.simulator.playout import Playout
from telephony.simulator.result import PhoneError, StreamResult
from telephony.simulator.signing import new_sid

_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 2.0
_PACKET_S = PHONE.packet_ms / 1000


@dataclass(frozen=True, slots=True)
class StreamOffer:
    """Where to stream to: ``url`` is reached with ``headers``; the rest goes into the start message."""

    url: str
    headers: Mapping[str, str]
    call_id: str
    account_id: str
    parameters: Mapping[str, str] = field(default_factory=dict)


async def stream(offer: StreamOffer, caller: Caller, ear: AgentEar, *, begin_ms: int, until_ms: float) -> StreamResult:
    """Open the media socket and talk until the caller hangs up, the server closes, or the call is ``until_ms`` old.

    ``begin_ms`` is the age of the call. ``ear`` hears the agent.
    """
    phone = _Stream(offer, caller, ear, begin_ms)
    try:
        socket = await connect(
            offer.url,
            additional_headers=offer.headers,
            user_agent_header="TwilioProxy/1.1",
            open_timeout=_CONNECT_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,
            compression=None,
            proxy=None,
        )
    except InvalidStatus as refusal:
        phone.error(31920, f"the upgrade was refused with HTTP {refusal.response.status_code}")
    except (OSError, InvalidHandshake) as error:  # TimeoutError is an OSError
        phone.error(31901, f"the media socket could not be opened ({type(error).__name__})")
    else:
        async with socket, asyncio.TaskGroup() as group:
            listener = group.create_task(phone.listen(socket))
            await phone.talk(socket, until_ms)
            await socket.close()
            await listener
    return phone.result()


class _Stream:
    """The state of one stream. Tick n hears and says the media time 20n … 20n + 20 ms."""

    def __init__(self, offer: StreamOffer, caller: Caller, ear: AgentEar, begin_ms: int) -> None:
        self._offer = offer
        self._caller = caller
        self._ear = ear
        self._begin_ms = begin_ms
        self._stream_id = new_sid("MZ")
        self._playout = Playout()
        self._returned_marks: list[str] = []
        self._said: list[bytes] = []
        self._heard: list[bytes] = []
        self._errors: list[PhoneError] = []
        self._ended_by = "agent"
        self._server_left = False
        self._sequence = 0
        self._marks = self._clears = self._backlog_ms = 0
        self._lateness_s = 0.0

    @property
    def _now_ms(self) -> int:
        return len(self._said) * PHONE.packet_ms

    def error(self, code: int, text: str) -> None:
        self._errors.append(PhoneError(code, text, self._now_ms))

    async def talk(self, socket: ClientConnection, until_ms: float) -> None:
        """Send packets by the clock; a phone that was held up sends what it owes at once, as the carrier does."""
        loop = asyncio.get_running_loop()
        try:
            await self._send(socket, "connected", protocol="Call", version="1.0.0")
            await self._send(socket, "start", streamSid=self._stream_id, start=self._start())
            begin_s = loop.time()
            while not self._server_left:
                due_s = begin_s + (len(self._said) + 1) * _PACKET_S
                await asyncio.sleep(due_s - loop.time())
                self._lateness_s = max(self._lateness_s, loop.time() - due_s)
                call_ms = self._begin_ms + self._now_ms
                act = self._caller.tick(call_ms, self._ear)
                if act.hang_up or call_ms >= until_ms:
                    self._ended_by = "caller"
                    await self._send_ours(socket, "stop", stop=self._ids())
                    return
                await self._tick(socket, act)
        except ConnectionClosed:
            return

    async def listen(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                self._take(message)
        except ConnectionClosed:
            self.error(31903, "the server dropped the media socket without closing it")
        finally:
            self._server_left = True

    def result(self) -> StreamResult:
        return StreamResult(
            stream_id=self._stream_id,
            ended_by=self._ended_by,
            duration_ms=self._now_ms,
            said=g711.decode(b"".join(self._said)),
            heard=g711.decode(b"".join(self._heard)),
            errors=tuple(self._errors),
            marks=self._marks,
            clears=self._clears,
            backlog_ms=self._backlog_ms,
            lateness_ms=round(self._lateness_s * 1000),
            begin_ms=self._begin_ms,
        )

    async def _tick(self, socket: ClientConnection, act: Act) -> None:
        at_ms = self._now_ms
        heard = self._playout.tick()
        said = g711.encode(act.pcm)
        self._heard.append(heard)
        self._said.append(said)
        self._ear.hear(self._begin_ms + at_ms, g711.decode(heard))
        media = {
            "track": "inbound",
            "chunk": str(len(self._said)),
            "timestamp": str(at_ms),
            "payload": base64.b64encode(said).decode("ascii"),
        }
        await self._send_ours(socket, "media", media=media)
        if act.digit:
            await self._send_ours(socket, "dtmf", dtmf={"track": "inbound_track", "digit": act.digit})
        marks = self._returned_marks + self._playout.reached()
        self._returned_marks = []
        for name in marks:
            self._marks += 1
            await self._send_ours(socket, "mark", mark={"name": name})

    def _start(self) -> dict[str, Any]:
        return self._ids() | {
            "streamSid": self._stream_id,
            "tracks": ["inbound"],
            "customParameters": dict(self._offer.parameters),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": PHONE.sample_hz, "channels": 1},
        }

    def _ids(self) -> dict[str, Any]:
        return {"accountSid": self._offer.account_id, "callSid": self._offer.call_id}

    async def _send_ours(self, socket: ClientConnection, event: str, **parts: object) -> None:
        await self._send(socket, event, streamSid=self._stream_id, **parts)

    async def _send(self, socket: ClientConnection, event: str, **parts: object) -> None:
        message: dict[str, object] = {"event": event}
        if event != "connected":
            self._sequence += 1
            message["sequenceNumber"] = str(self._sequence)
        await socket.send(json.dumps(message | parts, separators=(",", ":")))

    def _take(self, message: str | bytes) -> None:
        """Do what the server's message asks; what Twilio would complain of is put down under its error codes."""
        if isinstance(message, bytes):
            return self.error(31950, "a binary message; only text messages are understood")
        try:
            fields = json.loads(message)
        except (ValueError, RecursionError):
            return self.error(31924, "a message that is not JSON")
        if not isinstance(fields, dict) or fields.get("streamSid") != self._stream_id:
            return self.error(31951, "a message without this stream's streamSid")
        match fields:
            case {"event": "media", "media": {"payload": str(payload)}}:
                self._queue(payload)
            case {"event": "mark", "mark": {"name": str(name)}}:
                self._playout.mark(name)
            case {"event": "clear"}:
                self._clears += 1
                self._returned_marks += self._playout.clear()
            case _:
                self.error(31951, "a message that is none of media, mark, clear, or lacks a field")

    def _queue(self, payload: str) -> None:
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            return self.error(31924, "a media payload that is not base64")
        if len(audio) % PHONE.packet_bytes:
            self.error(0, f"a media payload of {len(audio)} bytes, not a multiple of {PHONE.packet_bytes}: it stutters")
        if not self._playout.add(audio):
            self.error(31931, "more audio than ten minutes was queued")
        self._backlog_ms = max(self._backlog_ms, self._playout.queued_ms)
