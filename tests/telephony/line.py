"""A phone line to a test server: a handler that repeats the caller, and the carrier's requests to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from telephony.carrier import ConnectStream, HangUp, InboundCall, Instruction, MediaSocket, NextAsked
from telephony.media import AudioPacket, MediaEvent, MessageIgnored, StreamStopped
from telephony.simulator import Phone

TOKEN = "first-token"
OLD_TOKEN = "old-token"


async def echo(handler: "Handler", socket: MediaSocket) -> None:
    """Repeat every packet until the stream is over."""
    while (message := await socket.receive()) is not None:
        event = socket.protocol.receive(message)
        handler.events.append(event)
        if isinstance(event, AudioPacket):
            await socket.send(socket.protocol.audio(event.payload))
        if isinstance(event, StreamStopped):
            return


@dataclass
class Handler:
    """A CallHandler whose three answers are set by a test."""

    media_does: Callable[["Handler", MediaSocket], Awaitable[None]] = echo
    answer_is: Instruction | Exception = field(default_factory=lambda: ConnectStream({"nonce": "n-1"}))
    after_is: Instruction | Exception = field(default_factory=HangUp)
    calls: list[InboundCall] = field(default_factory=list)
    ended: list[NextAsked] = field(default_factory=list)
    sockets: list[MediaSocket] = field(default_factory=list)
    events: list[MediaEvent | None] = field(default_factory=list)
    media_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, call: InboundCall) -> Instruction:
        self.calls.append(call)
        return _or_raise(self.answer_is)

    async def media(self, socket: MediaSocket) -> None:
        self.sockets.append(socket)
        try:
            await self.media_does(self, socket)
        finally:
            self.media_over.set()

    async def what_next(self, ended: NextAsked) -> Instruction:
        self.ended.append(ended)
        return _or_raise(self.after_is)

    def ignored(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, MessageIgnored)]


def _or_raise(what: Instruction | Exception) -> Instruction:
    if isinstance(what, Exception):
        raise what
    return what


@dataclass(frozen=True)
class Line:
    """A running server and the means to call it."""

    url: str
    handler: Handler
    phone: Phone

    async def post(self, path: str, form: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        signed = self.phone.headers(self.url + path, form)
        async with httpx.AsyncClient() as http:
            return await http.post(self.url + path, data=form, headers=signed if headers is None else headers)

    @asynccontextmanager
    async def socket(
        self, *, signed_as: str = "", headers: dict[str, str] | None = None
    ) -> AsyncIterator[ClientConnection]:
        url = "ws" + self.url.removeprefix("http") + "/twilio/media"
        given = {"x-twilio-signature": self.phone.sign(signed_as or url)} if headers is None else headers
        async with connect(url, additional_headers=given, max_size=None, proxy=None) as socket:
            yield socket


def form(**changes: str) -> dict[str, str]:
    """A voice webhook's form, with ``changes``; a field given as "" is left out."""
    fields = {"CallSid": "CA" + "1" * 32, "AccountSid": "AC" + "2" * 32, "From": "+15550001", "To": "+15550100"}
    return {name: value for name, value in (fields | changes).items() if value}


def start_message(stream_id: str = "MZ1", **start: object) -> str:
    fields = {"streamSid": stream_id, "callSid": "CA1", "accountSid": "AC1", "customParameters": {"nonce": "n-1"}}
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": stream_id, "start": fields | start})


def tone(ms: int, hz: float = 440, level: float = 0.3) -> np.ndarray:
    """[8 * ms] int16 at 8 kHz."""
    return (32_767 * level * np.sin(2 * np.pi * hz * np.arange(ms * 8) / 8_000)).astype(np.int16)
