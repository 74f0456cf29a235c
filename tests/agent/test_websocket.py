"""The media socket's server side: order, back pressure and the end are those of any WebSocket."""

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.protocol import Protocol

from agent.websocket import MOST_WAITING, EagerWebSocket
from telephony.socket import HANDS_OVER, HOLDS


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, ws=EagerWebSocket, log_config=None, lifespan="off"))
        task = asyncio.ensure_future(server.serve(sockets=[listening]))
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        await task


async def test_messages_go_out_in_order_before_the_close() -> None:
    app = FastAPI()

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(200):
            await websocket.send_text(str(number))
        await websocket.send_bytes(b"last")
        await websocket.close(1000, "over")

    async with serving(app) as url, connect(url, proxy=None) as phone:
        heard = [message async for message in phone]
        assert heard == [*map(str, range(200)), b"last"]
        assert phone.close_code == 1000


async def test_what_nobody_takes_in_waits_outside() -> None:
    app, go_on, waiting = FastAPI(), asyncio.Event(), []

    @app.websocket("/")
    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()
        await go_on.wait()
        waiting.append(websocket.scope)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                waiting.append(await websocket.receive_text())

    async with serving(app) as url:
        async with connect(url, proxy=None, compression=None) as phone:
            for number in range(3 * MOST_WAITING):
                await phone.send(str(number))
            await asyncio.sleep(0.1)
            go_on.set()
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.1)
    assert waiting[1:] == [*map(str, range(3 * MOST_WAITING))]


async def test_sending_to_a_phone_that_left_ends_the_call() -> None:
    app, left = FastAPI(), asyncio.Event()

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("x" * 1000)
                await asyncio.sleep(0.01)
        except WebSocketDisconnect:
            left.set()

    async with serving(app) as url:
        async with connect(url, proxy=None) as phone:
            await phone.recv()
            phone.transport.abort()
        async with asyncio.timeout(5):
            await left.wait()


async def test_packets_may_wait_for_those_that_make_a_frame_and_nothing_else_does() -> None:
    app, takes = FastAPI(), []
    over = asyncio.Event()

    @app.websocket("/")
    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()

        def take(message: str | bytes | None) -> None:
            takes.append((asyncio.get_running_loop().time(), message and message[:1]))
            if isinstance(message, str) and message[:1] in "4k":
                websocket.scope["extensions"][HOLDS](305, 4)
            if message is None:
                over.set()

        websocket.scope["extensions"][HANDS_OVER](take)
        websocket.scope["extensions"][HOLDS](305, 4)
        await over.wait()

    async with serving(app) as url:
        async with connect(url, proxy=None, compression=None) as phone:
            for message in ("1", "2", "3", "4", "1", "k", "2", "3", "4", "1", "2"):
                await phone.send(message * (20 if message == "k" else 300))
                await asyncio.sleep(0.03)
        await over.wait()
    assert "".join(str(first) for _, first in takes if first) == "12341k23412"
    moments = [at for at, first in takes if first]
    together = [index for index in range(1, len(moments)) if moments[index] - moments[index - 1] < 0.01]
    assert together == [1, 2, 3, 5, 7, 8, 9]  # "1234", "1k", "2341", and "2" at the end


def spoken(rng: random.Random, wire: Protocol) -> list[str | bytes]:
    """Send messages of every kind; return those that are to be heard."""
    heard: list[str | bytes] = []
    for _ in range(40):
        text = rng.choice("aé€") * rng.choice((0, 1, 41, 42, 125, 126, 300, 20_000, 65_535))
        match rng.choice(("text", "text", "bytes", "ping", "pieces")):
            case "text":
                wire.send_text(text.encode())
                heard.append(text)
            case "bytes":
                wire.send_binary(text.encode())
                heard.append(text.encode())
            case "pieces" if rng.random() < 0.2:
                wire.send_text(text.encode(), fin=False)
                wire.send_ping(b"between")
                wire.send_continuation(b"end", fin=True)
                heard.append(text + "end")
            case _:
                wire.send_ping(text.encode()[:125])
    return heard


async def test_messages_of_all_kinds_are_taken_in_order_however_they_are_cut() -> None:
    app, heard = FastAPI(), asyncio.Queue[str | bytes]()

    @app.websocket("/")
    async def listen(websocket: WebSocket) -> None:
        over = asyncio.Event()
        await websocket.accept()

        def take(message: str | bytes | None) -> None:
            over.set() if message is None else heard.put_nowait(message)

        websocket.scope["extensions"][HANDS_OVER](take)
        await over.wait()

    async with serving(app) as url:
        for seed in range(10):
            rng = random.Random(seed)
            async with connect(url, proxy=None, compression=None) as phone:
                said = spoken(rng, phone.protocol)
                wire = b"".join(phone.protocol.data_to_send())
                cuts = sorted(rng.sample(range(1, len(wire)), 30))
                for begin, end in itertools.pairwise((0, *cuts, len(wire))):
                    phone.transport.write(wire[begin:end])
                    await asyncio.sleep(0.001)
            assert [await heard.get() for _ in said] == said
            assert heard.empty()


async def test_what_is_no_message_ends_the_socket() -> None:
    app, heard = FastAPI(), []

    @app.websocket("/")
    async def listen(websocket: WebSocket) -> None:
        over = asyncio.Event()
        await websocket.accept()
        websocket.scope["extensions"][HANDS_OVER](lambda text: over.set() if text is None else heard.append(text))
        await over.wait()

    no_text, not_masked, of_no_kind = b"\x81\x81\0\0\0\0\xff", b"\x81\x01a", b"\x83\x81\0\0\0\0a"
    async with serving(app) as url:
        for wire, code in ((no_text, 1007), (not_masked, 1002), (of_no_kind, 1002)):
            async with connect(url, proxy=None, compression=None) as phone:
                await phone.send("a")
                phone.transport.write(wire)
                await phone.wait_closed()
                assert phone.close_code == code
    assert heard == ["a"] * 3
