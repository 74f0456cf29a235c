"""A real /api/chat server on a free port, over any engine, and a client that speaks Ogg-Opus to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Thread
from urllib.parse import urlencode

import numpy as np
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agent.duplex import FRAME_SAMPLES, DuplexEngine, Samples
from agent.engines.personaplex.server import ServerOptions, create_app, listen, server_config
from agent.engines.remote import create
from agent.engines.remote.engine import RemoteEngine
from agent.wire.messages import Handshake, Sound, Text, parse, sound_message
from agent.wire.sound import FrameCutter, sound_reader, sound_writer

VOICES = ("NATF2.pt", "NATM1.pt", "own.wav")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(
    engine: DuplexEngine, options: ServerOptions | None = None, voices: Sequence[str] = VOICES
) -> AsyncIterator[str]:
    """Run a server for the length of the block; its address, HOST:PORT."""
    async with served_app(create_app(engine, lambda: voices, options or ServerOptions())) as address:
        yield address


@contextlib.asynccontextmanager
async def served_app(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run an application of ``create_app`` for the length of the block; its address, HOST:PORT."""
    with listen(host, port) as listening:
        port = listening.getsockname()[1]
        server = _Server(server_config(app, host=host, port=port))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listening]))
            await server.up.wait()
            try:
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            finally:
                server.should_exit = True


@contextlib.contextmanager
def served_beside(engine: DuplexEngine, options: ServerOptions | None = None) -> Iterator[str]:
    """Run a server in a thread and a loop of its own; its address, HOST:PORT."""
    app = create_app(engine, lambda: VOICES, options or ServerOptions())
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(server_config(app, host="127.0.0.1", port=port))
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.asynccontextmanager
async def remote(*addresses: str, **options: str) -> AsyncIterator[RemoteEngine]:
    """The engine ``remote`` for the length of the block; addresses are HOST:PORT, options as settings are named."""
    engine = create({"engine_url": ",".join(f"ws://{address}" for address in addresses), **options})
    assert isinstance(engine, RemoteEngine)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def tone(frames: int, hz: float = 440.0) -> list[Samples]:
    """[FRAME_SAMPLES] float32 each."""
    n = np.arange(frames * FRAME_SAMPLES)
    return list((0.3 * np.sin(2 * np.pi * hz * n / 24_000)).astype(np.float32).reshape(frames, FRAME_SAMPLES))


@dataclass
class Client:
    """One call: what it sent as bytes, what it heard."""

    socket: ClientConnection
    pcm: bool = False
    heard: list[Samples] = field(default_factory=list)
    text: str = ""
    kinds: list[type] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer, self.reader, self.cutter = sound_writer(self.pcm), sound_reader(self.pcm), FrameCutter()

    def bytes_of(self, frames: Sequence[Samples]) -> bytes:
        return b"".join(self.writer.write(frame) for frame in frames)

    async def say(self, frames: Sequence[Samples]) -> None:
        for frame in frames:
            await self.socket.send(sound_message(self.writer.write(frame)))

    async def take(self) -> Handshake | Sound | Text:
        async with asyncio.timeout(10):
            event = parse(await self.socket.recv())
        self.kinds.append(type(event))
        if isinstance(event, Sound):
            for samples in self.reader.read(event.data):
                self.heard += self.cutter.cut(samples)
        elif isinstance(event, Text):
            self.text += event.text
        return event

    async def hear(self, frames: int) -> np.ndarray:
        """Take messages until ``frames`` frames came in all; return them as one piece."""
        while len(self.heard) < frames:
            await self.take()
        return np.concatenate(self.heard)


@contextlib.asynccontextmanager
async def calling(address: str, pcm: bool = False, token: str = "", **query: str) -> AsyncIterator[Client]:
    if pcm:
        query["format"] = "pcm_s16le"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"ws://{address}/api/chat" + (f"?{urlencode(query)}" if query else "")
    async with connect(url, additional_headers=headers, compression=None) as socket:
        yield Client(socket, pcm)


async def free(engine: DuplexEngine) -> None:
    """Return when no slot is taken; fails if that takes long."""
    async with asyncio.timeout(10):
        while engine.capacity().used:  # noqa: ASYNC110 - nobody says when a slot is free
            await asyncio.sleep(0.01)


async def closing(client: Client) -> tuple[int, str]:
    """Read on until the server closes; its code and reason."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            async for _ in client.socket:
                pass
    return client.socket.close_code or 0, client.socket.close_reason or ""
