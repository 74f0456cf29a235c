"""A whole server on a free port, with personas on its numbers, and the carrier's side to call it with."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from agent.duplex import FRAME_SAMPLES, AgentFrame, Capacity, DuplexEngine, EngineFull, RolePrompt, Samples
from agent.engines.loopback import LoopbackEngine
from agent.server import RunningServer, serving
from agent.settings import load
from crm.call import Call
from crm.store import CallStore
from personas.accounts import ensure_admin
from personas.db import Database
from personas.persona import PersonaCard
from personas.store import PersonaStore
from telephony.audio import g711
from telephony.simulator import Phone, twiml
from telephony.simulator.signing import ACCOUNT_SID, new_sid

TOKEN = "the-auth-token"
NUMBER, OTHER_NUMBER, NOBODYS_NUMBER = "+15550100", "+15550101", "+15550109"

SILENCE: Samples = np.zeros(FRAME_SAMPLES, np.float32)
TONE: Samples = (0.3 * np.sin(2 * np.pi * 500 * np.arange(FRAME_SAMPLES) / 24_000)).astype(np.float32)

Play = Callable[[int], AgentFrame | Exception]


def card(slug: str = "acme-help", company: str = "Acme") -> PersonaCard:
    """A role card with one fact."""
    return PersonaCard.model_validate(
        {
            "slug": slug,
            "title": f"{company} help",
            "scenario": "Callers ask for the price.",
            "agent": {"name": "Ann", "company": company, "role": "service agent", "business": "a shop"},
            "greeting": f"Hello, this is Ann of {company}.",
            "facts": [{"id": "price", "topic": "price", "kind": "amount", "value": "$5", "say": "It costs $5."}],
            "unknown_say": "I do not know that.",
            "off_topic_say": "I can only help with the shop.",
            "rude_say": "Let us stay polite.",
            "closing_say": "Goodbye.",
        }
    )


def burst(seed: int, ms: int = 1_000) -> np.ndarray:
    """[8 * ms] int16: band-limited noise that a line carries and no other seed resembles."""
    noise = np.convolve(np.random.default_rng(seed).standard_normal(8 * ms), np.ones(3) / 3, "same")
    return (noise * 3_000).astype(np.int16)


@dataclass
class ScriptedEngine:
    """An engine that says what a test's function returns for each frame; errors it returns end the session."""

    play: Play = lambda index: AgentFrame(index, SILENCE)
    slots: int = 10
    ready_after: asyncio.Event | None = None
    roles: list[RolePrompt] = field(default_factory=list)
    sessions: "list[ScriptedSession]" = field(default_factory=list)
    name: str = "scripted"

    async def start(self) -> None: ...

    async def open(self, role: RolePrompt) -> "ScriptedSession":
        if self.capacity().used >= self.slots:
            raise EngineFull("All slots are taken.")
        self.roles.append(role)
        self.sessions.append(ScriptedSession(self))
        return self.sessions[-1]

    def capacity(self) -> Capacity:
        return Capacity(self.slots, sum(not session.closed for session in self.sessions))

    async def close(self) -> None: ...


class ScriptedSession:
    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._frames: asyncio.Queue[AgentFrame | Exception | None] = asyncio.Queue()
        self.heard: list[Samples] = []
        self.closed = False

    async def ready(self) -> None:
        if self._engine.ready_after:
            await self._engine.ready_after.wait()

    def push(self, frame: Samples) -> None:
        answer = self._engine.play(len(self.heard))
        self.heard.append(frame)
        self._frames.put_nowait(answer)

    async def frames(self) -> AsyncIterator[AgentFrame]:
        while (frame := await self._frames.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    async def close(self) -> None:
        self.closed = True
        self._frames.put_nowait(None)


@dataclass(frozen=True)
class Exchange:
    """A running server; ``state`` is its app's."""

    server: RunningServer
    state: Any

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def phone(self) -> Phone:
        return Phone(self.url, TOKEN)

    async def row(self, call_id: str) -> Call:
        """The row of a call by the carrier's id, once it has ended."""
        return await ended_row(self.state.calls, call_id)

    async def post(self, path: str, call_id: str, *, to_number: str = NUMBER, status: str = "ringing") -> bytes:
        """Send one of the carrier's webhooks; return the document it is answered with."""
        form = self.phone.form(call_id, "+15550199", to_number, status)
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(self.url + path, data=form, headers=self.phone.headers(self.url + path, form))
        assert answer.status_code == 200, answer.text
        return answer.content

    async def ring(self, call_id: str, *, to_number: str = NUMBER) -> tuple[twiml.Verb, ...]:
        """A call comes in; return the verbs of the answer."""
        return twiml.parse(await self.post("/twilio/voice", call_id, to_number=to_number))

    async def after(self, call_id: str, status: str = "in-progress") -> tuple[twiml.Verb, ...]:
        """The carrier asks what comes after the stream."""
        return twiml.parse(await self.post("/twilio/action", call_id, status=status))

    async def follow(self, call_id: str, verb: twiml.Verb) -> tuple[twiml.Verb, ...]:
        """The carrier follows a redirect."""
        assert isinstance(verb, twiml.Redirect), verb
        return twiml.parse(await self.post(verb.url.removeprefix(self.url), call_id, status="in-progress"))

    @asynccontextmanager
    async def stream(self, call_id: str, nonce: str, *, account_id: str = ACCOUNT_SID) -> AsyncIterator["RawStream"]:
        """Open the media socket by hand and send its start."""
        url = "ws" + self.url.removeprefix("http") + "/twilio/media"
        headers = {"x-twilio-signature": self.phone.sign(url)}
        async with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
            stream = RawStream(socket, new_sid("MZ"))
            await stream.send(
                "start",
                start={
                    "streamSid": stream.stream_id,
                    "callSid": call_id,
                    "accountSid": account_id,
                    "customParameters": {"nonce": nonce},
                },
            )
            yield stream

    @asynccontextmanager
    async def call(self, *, to_number: str = NUMBER) -> AsyncIterator["RawStream"]:
        """Ring, and open the media socket that the answer asks for."""
        call_id = new_sid("CA")
        async with self.stream(call_id, nonce_of(await self.ring(call_id, to_number=to_number))) as stream:
            stream.call_id = call_id
            yield stream


@dataclass
class RawStream:
    """A media socket in a test's hands. Time is the test's: packets go out as fast as it sends them."""

    socket: ClientConnection
    stream_id: str
    call_id: str = ""
    packets: int = 0

    async def send(self, event: str, **parts: object) -> None:
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream_id, "sequenceNumber": "1"} | parts))

    async def say(self, pcm: np.ndarray) -> None:
        """Send [160 * n] int16 as n packets."""
        for packet in pcm.reshape(-1, 160):
            payload = base64.b64encode(g711.encode(packet)).decode()
            await self.send("media", media={"timestamp": str(self.packets * 20), "payload": payload})
            self.packets += 1

    async def frames(self, number: int) -> None:
        """Say ``number`` frames of silence."""
        await self.say(np.zeros(640 * number, np.int16))

    async def receive(self, event: str, seconds: float = 2) -> dict[str, Any]:
        """Return the next message of this kind."""
        async with asyncio.timeout(seconds):
            while True:
                message = json.loads(await self.socket.recv())
                if message["event"] == event:
                    return message

    async def heard(self) -> np.ndarray:
        """The next audio that the server sends, [N] int16."""
        return g711.decode(base64.b64decode((await self.receive("media"))["media"]["payload"]))

    async def closed(self, seconds: float = 2) -> tuple[int | None, str | None]:
        """Wait for the server to close the socket; return code and reason."""
        async with asyncio.timeout(seconds):
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


async def ended_row(calls: CallStore, call_id: str, seconds: float = 5) -> Call:
    """The row of a call by the carrier's id, once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            row = await calls.call_by_carrier_id("twilio", call_id)
            if row is not None and row.ended_at is not None:
                return row
            await asyncio.sleep(0.02)


def nonce_of(verbs: Sequence[twiml.Verb]) -> str:
    """The nonce in an answer that connects."""
    assert isinstance(verbs[0], twiml.Connect), verbs
    return verbs[0].parameters["nonce"]


async def furnish(database_url: str) -> None:
    """Put a user into a migrated database, and a persona on each of two numbers."""
    database = Database(database_url)
    personas = PersonaStore(database)
    await ensure_admin(database, "correct horse")
    await personas.import_cards([card(), card("bell-help", "Bell")])
    await personas.set_number(NUMBER, "acme-help")
    await personas.set_number(OTHER_NUMBER, "bell-help")
    await database.close()


@asynccontextmanager
async def exchange(
    folder: Path, furnished: Path, engine: DuplexEngine | None = None, **settings: object
) -> AsyncIterator[Exchange]:
    """Run a server in ``folder`` on a copy of the database ``furnished``, or on the one that is there."""
    if not (folder / "parley.db").exists():
        shutil.copyfile(furnished, folder / "parley.db")
    given = {"data_dir": folder, "port": 0, "twilio_auth_token": TOKEN}
    given |= {"max_loop_lag_ms": 0}  # a busy machine is no reason to refuse a test's call
    async with serving(load(**(given | settings)), engine or LoopbackEngine(10, 0)) as server:
        yield Exchange(server, server.app.state)
