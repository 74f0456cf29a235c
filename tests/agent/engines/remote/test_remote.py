"""The client against our server and against servers that behave otherwise, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from agent.duplex import AgentFrame, EngineFull, EngineLost, EngineUnavailable, RoleCard, RolePrompt, Sampling
from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.server import ServerOptions
from agent.engines.remote import create
from agent.engines.remote.session import RemoteSession
from tests.agent.engines.chat_server import remote, served, tone
from tests.agent.exchange import TONE, ScriptedEngine

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")

CARD = RoleCard("Ann", "Acme", "agent", "Hello.", "", "", "", "")
ROLE = RolePrompt("You work for Acme.", "NATM1", CARD)


@contextlib.asynccontextmanager
async def foreign(
    handle: Callable[[ServerConnection], Awaitable[None]], port: int = 0, health: Response | None = None
) -> AsyncIterator[str]:
    """A WebSocket server that is not ours, or something on its port that answers ``/health``."""

    def answer(_: ServerConnection, request: Request) -> Response | None:
        return health if request.path == "/health" else None

    async with serve(handle, "127.0.0.1", port, process_request=answer) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def lost(session: RemoteSession) -> str:
    """Read on until the session is lost; the sentence."""
    with pytest.raises(EngineLost) as loss:
        await asyncio.wait_for(_all(session), 10)
    return str(loss.value)


async def _all(session: RemoteSession) -> list[AgentFrame]:
    return [frame async for frame in session.frames()]


async def test_the_role_and_its_sampling_reach_the_engine() -> None:
    engine = ScriptedEngine(play=lambda index: AgentFrame(index, TONE, f" w{index}"))
    role = RolePrompt("You are Ann. Q&A? 100% ✓", "NATM1", CARD, Sampling(0.0, 5, 0.5, 6), seed=11)
    async with served(engine) as address, remote(address) as client:
        session = await client.open(role)
        await session.ready()
        for frame in tone(3):
            session.push(frame)
        async with asyncio.timeout(5):
            words = [frame.text async for frame in _first(session, 3)]
        await session.close()
    heard = engine.roles[0]
    assert (heard.text, heard.voice, heard.seed, heard.sampling) == (role.text, "NATM1.pt", 11, role.sampling)
    assert words == [" w0", " w1", " w2"]


async def _first(session: RemoteSession, count: int) -> AsyncIterator[AgentFrame]:
    async for frame in session.frames():
        yield frame
        count -= 1
        if not count:
            return


async def test_our_server_tells_its_slots_and_raw_sound_is_exact_but_for_rounding() -> None:
    async with (
        served(LoopbackEngine(3, 0), ServerOptions(token="t")) as address,
        remote(f"{address}/api/chat?format=pcm_s16le", engine_token="t") as client,
    ):
        assert client.capacity().slots == 3
        session = await client.open(ROLE)
        sent = tone(2)
        for frame in sent:
            session.push(frame)
        async with asyncio.timeout(5):
            heard = [frame.audio async for frame in _first(session, 2)]
        assert np.abs(np.concatenate(heard) - np.concatenate(sent)).max() < 1e-4


async def test_a_full_server_is_a_full_engine() -> None:
    async with served(LoopbackEngine(1, 0)) as address, remote(address, engine_slots="5") as client:
        await client.open(ROLE)
        with pytest.raises(EngineFull) as full:
            await client.open(ROLE)
        assert full.value.retry_after_s
        assert client.capacity().used == 1


@pytest.mark.parametrize(
    ("path", "options", "sentence"),
    [
        ("", {"engine_token": "wrong"}, "PARLEY_ENGINE_TOKEN"),
        ("/elsewhere", {"engine_token": "t"}, "PARLEY_ENGINE_URL"),
        ("?voice_prompt=nobody", {"engine_token": "t"}, "voice_prompt names no voice"),
    ],
)
async def test_a_refusal_says_what_to_change(path: str, options: dict[str, str], sentence: str) -> None:
    async with (
        served(LoopbackEngine(1, 0), ServerOptions(token="t")) as address,
        remote(address + path, **options) as client,
    ):
        with pytest.raises(EngineUnavailable, match=sentence):
            await client.open(ROLE)
        assert client.capacity().used == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"engine_url": "ftp://a"},
        {"engine_url": "ws://"},
        {"engine_url": "gpu:8998"},
        {"engine_url": "ws://a:99999"},
        {"engine_url": "ws://a..b"},
        {"engine_url": f"ws://{'a' * 70}.example"},
        {"engine_url": "ws://me:secret@a"},
        {"engine_url": "ws://a", "engine_slots": "x"},
        {"engine_url": "ws://a", "engine_token": "ä"},
        {"engine_url": " , "},
        {"engine_url": "ws://a, b:8998"},
    ],
)
def test_options_that_cannot_be_used_name_the_setting_and_no_secret(options: dict[str, str]) -> None:
    with pytest.raises(EngineUnavailable, match=r"PARLEY_ENGINE_(URL|SLOTS|TOKEN)") as error:
        create(options)
    assert "secret" not in str(error.value)


async def test_nobody_there_is_told_by_the_call_and_not_by_the_start() -> None:
    async with foreign(lambda socket: socket.wait_closed()) as address:
        pass
    async with remote(address) as client:
        assert client.capacity().slots == 0
        with pytest.raises(EngineUnavailable, match="can't be reached"):
            await client.open(ROLE)


@pytest.mark.parametrize(
    ("role", "file"),
    [
        (ROLE, "NATM1.pt"),
        (replace(ROLE, seed=7, text=""), "NATM1.pt"),
        (replace(ROLE, voice="clara.wav"), "clara.wav"),
        (replace(ROLE, voice=""), "NATF2.pt"),
    ],
)
async def test_a_published_server_gets_what_it_bears_and_one_call(role: RolePrompt, file: str) -> None:
    """It looks the voice up by its file's name, fails where a prompt is left out or empty, and at any seed."""
    asked = []

    async def handle(socket: ServerConnection) -> None:
        assert socket.request
        asked.append(urlsplit(socket.request.path))
        await socket.wait_closed()

    async with foreign(handle) as address, remote(address) as client:
        await client.open(role)
        with pytest.raises(EngineFull):
            await client.open(role)
        await asyncio.sleep(0)
    assert asked[0].path == "/api/chat"
    query = parse_qs(asked[0].query, keep_blank_values=True)
    assert query == {"voice_prompt": [file], "text_prompt": [role.text or " "]}


async def test_what_is_pushed_early_waits_for_a_server_that_throws_it_away() -> None:
    heard = bytearray()

    async def handle(socket: ServerConnection) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    await socket.recv()
        await socket.send(b"\x00")
        async for message in socket:
            assert isinstance(message, bytes)
            heard.extend(message[1:])
            await socket.send(message)

    async with foreign(handle) as address, remote(address) as client:
        session = await client.open(ROLE)
        for frame in tone(5):
            session.push(frame)
        async with asyncio.timeout(5):
            assert [frame.index async for frame in _first(session, 5)] == [0, 1, 2, 3, 4]
    assert b"OpusHead" in heard


async def test_a_redirect_to_elsewhere_is_told_and_not_followed() -> None:
    """It would lead past the address that was found, and past what is known of it."""

    def redirect(_: ServerConnection, request: Request) -> Response:
        return Response(302, "", Headers({"Location": "ws://elsewhere.example/api/chat", "Content-Length": "0"}))

    async with (
        serve(ServerConnection.wait_closed, "127.0.0.1", 0, process_request=redirect) as server,
        remote(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as client,
    ):
        with pytest.raises(EngineUnavailable, match="redirect"):
            await client.open(ROLE)


def health(status: int, body: bytes) -> Response:
    return Response(status, "", Headers({"Content-Length": str(len(body))}), body)


async def test_a_proxy_whose_server_is_not_up_tells_no_slots() -> None:
    async with foreign(ServerConnection.wait_closed, health=health(502, b"Bad gateway")) as address:
        port = int(address.split(":")[1])
        async with remote(address) as client:
            assert client.capacity().slots == 0
    async with foreign(ServerConnection.wait_closed, port, health(200, b'{"slots": 7}')), remote(address) as client:
        await client.open(ROLE)
        assert client.capacity().slots == 7


async def test_a_server_that_comes_again_is_asked_again_for_its_slots() -> None:
    async with foreign(ServerConnection.wait_closed, health=health(200, b'{"slots": 2}')) as address:
        port = int(address.split(":")[1])
        client = create({"engine_url": f"ws://{address}"})
        await client.start()
        assert client.capacity().slots == 2
    with pytest.raises(EngineUnavailable):
        await client.open(ROLE)
    async with foreign(ServerConnection.wait_closed, port, health(200, b'{"slots": 9}')):
        await client.open(ROLE)
        assert client.capacity().slots == 9
        await client.close()


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1]", b'{"slots": -3}', b'{"slots": true}', b'{"slots": "4"}'])
async def test_what_is_no_number_of_slots_is_a_foreign_server(body: bytes) -> None:
    async with foreign(ServerConnection.wait_closed, health=health(200, body)) as address, remote(address) as client:
        assert client.capacity().slots is not True
        assert client.capacity().slots == 1


WRONG_SERVERS: dict[str, tuple[Callable[[ServerConnection], Awaitable[None]], str]] = {
    "ends the call": (lambda socket: socket.close(1000, "Enough."), "Enough."),
    "fails": (lambda socket: socket.close(1011, "The device failed."), "The device failed."),
    "sends text frames": (lambda socket: socket.send("hello"), "protocol"),
    "sends nothing": (lambda socket: socket.send(b""), "protocol"),
    "sends no Ogg": (lambda socket: socket.send(b"\x01" + bytes(100)), "protocol"),
    "sends what is not UTF-8": (lambda socket: socket.send(b"\x02\xff"), "protocol"),
    "sends 2 MB": (lambda socket: socket.send(bytes(2_000_000)), "broke"),
}


@pytest.mark.parametrize("what", WRONG_SERVERS)
async def test_a_server_that_goes_wrong_loses_the_call_with_a_reason(what: str) -> None:
    act, sentence = WRONG_SERVERS[what]

    async def handle(socket: ServerConnection) -> None:
        await socket.send(b"\x00")
        await act(socket)
        await socket.wait_closed()

    async with foreign(handle) as address, remote(address) as client:
        session = await client.open(ROLE)
        assert sentence in await lost(session)
        session.push(tone(1)[0])  # ignored
        assert client.capacity().used == 0
        with pytest.raises(EngineLost):
            await session.ready()


async def test_a_connection_that_breaks_loses_the_call() -> None:
    async def handle(socket: ServerConnection) -> None:
        await socket.send(b"\x00")
        await socket.recv()
        socket.transport.abort()

    async with foreign(handle) as address, remote(address) as client:
        session = await client.open(ROLE)
        session.push(tone(1)[0])
        assert await lost(session) == "The connection to the engine's server broke."


async def test_a_server_that_falls_silent_for_good_loses_the_call(monkeypatch) -> None:
    monkeypatch.setattr("agent.engines.remote.session.LOST_S", 0.3)

    async def handle(socket: ServerConnection) -> None:
        await socket.send(b"\x00")
        async for _ in socket:
            pass

    async with foreign(handle) as address, remote(address) as client:
        session = await client.open(ROLE)
        await session.ready()
        for frame in tone(8):
            session.push(frame)
            await asyncio.sleep(0.08)
        assert "sent nothing" in await lost(session)


async def test_a_server_that_is_stopped_loses_its_calls() -> None:
    async with served(LoopbackEngine(1, 0)) as address:
        client = create({"engine_url": f"ws://{address}"})
        session = await client.open(ROLE)
        await session.ready()
    assert isinstance(session, RemoteSession)
    assert "ended the call" in await lost(session)
    await client.close()
