"""What clients do wrong on /api/chat, over real sockets: their call ends with a reason, and no other is touched."""

import asyncio
import contextlib
import re
import select
import socket
from collections.abc import Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.chat import Limits
from agent.engines.personaplex.server import ServerOptions
from agent.wire.query import MOST_TEXT_CHARACTERS
from tests.agent.engines.chat_server import Client, calling, closing, free, served, served_beside, tone
from tests.agent.exchange import SILENCE, TONE, ScriptedEngine

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")


def broken_packet(client: Client) -> list[bytes]:
    """A page whose packet claims 63 frames, more than there can be."""
    headers, page = client.bytes_of(tone(1)), bytearray(client.bytes_of(tone(1)))
    body = 27 + page[26]
    page[body : body + 2] = b"\xff\x3f"
    return [b"\x01" + headers + page]


def empty_packet(client: Client) -> list[bytes]:
    """A page whose only packet has no bytes: it was decoded to 5 s of sound."""
    headers, page = client.bytes_of(tone(1)), client.bytes_of(tone(1))
    return [b"\x01" + headers + page[:26] + b"\x01\x00"]


def torn(client: Client) -> list[bytes]:
    whole = client.bytes_of(tone(20))
    return [b"\x01" + whole[:500], b"\x01" + whole[600:]]


WRONGS: dict[str, tuple[int, Callable[[Client], list[bytes | str]]]] = {
    "an empty message": (1007, lambda client: [b""]),
    "an unknown kind": (1003, lambda client: [b"\x09abc"]),
    "the server's own kinds": (1003, lambda client: [b"\x00"]),
    "a text message": (1003, lambda client: [b"\x02hello"]),
    "a text frame": (1003, lambda client: ["hello"]),
    "an empty text frame": (1003, lambda client: [""]),
    "no Ogg": (1007, lambda client: [b"\x01" + b"RIFF" * 20]),
    "a torn page": (1007, torn),
    "Ogg without Opus": (1007, lambda client: [b"\x01OggS" + bytes(22) + b"\x01\x08\x80theora!"]),
    "a broken packet": (1007, broken_packet),
    "an empty packet": (1007, empty_packet),
    "10 MB": (1009, lambda client: [b"\x01" + bytes(10_000_000)]),
    "two minutes at once": (1008, lambda client: [b"\x01" + client.bytes_of([frame]) for frame in [SILENCE] * 1_500]),
}


@pytest.mark.parametrize("what", WRONGS)
async def test_what_a_client_sends_wrong_ends_its_call_with_a_reason_and_no_other(loopback, what: str) -> None:
    engine, address = loopback
    code, make = WRONGS[what]
    async with calling(address) as neighbour:
        await neighbour.say(tone(3))
        await neighbour.hear(3)
        async with calling(address) as wrong:
            with contextlib.suppress(ConnectionClosed):
                for message in make(wrong):
                    await wrong.socket.send(message)
            closed, reason = await closing(wrong)
        assert closed == code
        assert reason.endswith(".") or code == 1009
        await neighbour.say(tone(3))
        await neighbour.hear(6)
        assert engine.capacity().used == 1
    await free(engine)


async def test_pages_may_be_cut_anywhere(loopback) -> None:
    _, address = loopback
    async with calling(address) as client:
        stream = client.bytes_of(tone(10))
        for start in range(0, len(stream), 7):
            await client.socket.send(b"\x01" + stream[start : start + 7])
        await client.hear(10)


async def test_an_odd_byte_of_raw_sound_is_refused(loopback) -> None:
    _, address = loopback
    async with calling(address, pcm=True) as client:
        await client.socket.send(b"\x01abc")
        assert (await closing(client))[0] == 1007


async def test_fifty_connects_and_disconnects_leak_no_slot(loopback) -> None:
    engine, address = loopback
    before = asyncio.all_tasks()
    for n in range(50):
        async with calling(address) as client:
            if n % 3:
                await client.say(tone(n % 4))
            if n % 2:
                client.socket.transport.abort()
        await free(engine)
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= len(before)


async def test_a_half_closed_client_frees_its_slot(loopback) -> None:
    engine, address = loopback
    async with calling(address) as client:
        await client.take()
        raw = client.socket.transport.get_extra_info("socket")
        raw.shutdown(socket.SHUT_WR)
        await free(engine)


async def test_a_client_that_says_nothing_loses_its_slot() -> None:
    engine = LoopbackEngine(slots=1, delay_frames=0)
    async with served(engine, ServerOptions(limits=Limits(idle_s=0.3))) as address, calling(address) as client:
        for _ in range(4):
            await client.say(tone(1))
            await asyncio.sleep(0.15)
        code, reason = await closing(client)
        assert (code, reason) == (1008, "No sound came for 0.3 seconds.")
        await free(engine)


async def test_a_client_that_reads_nothing_loses_its_slot(loopback, monkeypatch) -> None:
    monkeypatch.setattr("agent.engines.personaplex.chat._SEND_S", 0.3)
    monkeypatch.setattr("agent.engines.personaplex.chat.MOST_AHEAD_S", 3_600)
    engine, address = loopback
    async with calling(address, pcm=True) as deaf, calling(address) as neighbour:
        deaf.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        for _ in range(1_500):  # 6 MB, more than sockets hold
            await deaf.say([TONE])
        async with asyncio.timeout(10):
            while engine.capacity().used == 2:  # noqa: ASYNC110 - nobody says when a slot is free
                await asyncio.sleep(0.01)
        await neighbour.say(tone(2))
        await neighbour.hear(2)
        assert await metric(address, "client_stuck") == 1.0
        deaf.socket.transport.abort()


async def upgraded(address: str, extra: str = "", query: str = "", **options: int) -> tuple[socket.socket, bytes]:
    """Ask for a call by hand, without a library that reads on its own; the socket and the start of the answer."""
    loop, raw = asyncio.get_running_loop(), socket.socket()
    for name, value in options.items():
        raw.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    raw.setblocking(False)
    host, port = address.split(":")
    request = (
        f"GET /api/chat?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
    async with asyncio.timeout(10):
        await loop.sock_connect(raw, (host, int(port)))
        await loop.sock_sendall(raw, request.encode())
        return raw, await loop.sock_recv(raw, 1_000)


PING = b"\x89\x80\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("extra", "query"),
    [
        ("".join(f"X-{n}: 1\r\n" for n in range(300)), ""),
        ("X: " + "a" * 300_000 + "\r\n", ""),
        ("Content-Length: 5\r\n", ""),
        ("", "text_prompt=" + "a" * 300_000),
    ],
)
async def test_a_request_that_cannot_be_read_is_answered(loopback, extra: str, query: str) -> None:
    raw, answer = await upgraded(loopback[1], extra, query)
    with raw:
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b".\n")


async def test_the_longest_prompt_is_taken_in_any_script() -> None:
    engine, text = ScriptedEngine(), "\U0001f3b5" * MOST_TEXT_CHARACTERS
    async with served(engine) as address, calling(address, text_prompt=text) as client:
        await client.take()
    assert engine.roles[0].text == text


async def test_a_refused_call_is_no_failure_in_the_log(loopback, caplog) -> None:
    with pytest.raises(InvalidStatus):
        await connect(f"ws://{loopback[1]}/api/chat?seed=x")
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


async def test_a_flood_of_pings_keeps_no_other_call_waiting() -> None:
    pings = 200_000
    with served_beside(LoopbackEngine(slots=2, delay_frames=0)) as address:
        async with calling(address) as neighbour:
            await neighbour.take()
            raw, _ = await upgraded(address)
            loop, pongs = asyncio.get_running_loop(), 0

            async def count_pongs() -> None:
                nonlocal pongs
                while pongs < pings:
                    pongs += len(await loop.sock_recv(raw, 65_536)) // 2

            with raw:
                flood = [asyncio.create_task(loop.sock_sendall(raw, PING * pings)), asyncio.create_task(count_pongs())]
                await asyncio.sleep(0.2)
                for frames in range(1, 11):
                    await neighbour.say(tone(1))
                    await neighbour.hear(frames)
                assert pongs < pings // 2
                for task in flood:
                    task.cancel()
                await asyncio.wait(flood)


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "deaf"])
async def test_a_flood_costs_its_slot(loopback, monkeypatch, reads: bool) -> None:
    monkeypatch.setattr("agent.engines.personaplex.fair_socket.PATIENCE_S", 0.5)
    monkeypatch.setattr("agent.engines.personaplex.fair_socket.CLOSE_S", 0.5)
    engine, address = loopback
    async with calling(address) as neighbour:
        await neighbour.take()
        raw, _ = await upgraded(address, SO_RCVBUF=4_096)
        loop, heard = asyncio.get_running_loop(), bytearray()

        async def flood() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(raw, PING * 10_000)

        async def read() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await loop.sock_recv(raw, 65_536):
                    heard.extend(data)

        with raw:
            tasks = [asyncio.create_task(flood()), *([asyncio.create_task(read())] if reads else [])]
            async with asyncio.timeout(10):
                while engine.capacity().used == 2:  # noqa: ASYNC110 - nobody says when a slot is free
                    await asyncio.sleep(0.01)
            await neighbour.say(tone(2))
            await neighbour.hear(2)
            assert await metric(address, "too_much") == 1.0
            if reads:
                async with asyncio.timeout(10):
                    await tasks[1]
                assert b"\x03\xf0More came than a call can need" in heard  # 1008
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_what_is_not_read_is_not_answered_without_end(loopback) -> None:
    raw, _ = await upgraded(loopback[1], SO_RCVBUF=4_096)
    sent, block = 0, (b"\x89\xfd\x00\x00\x00\x00" + bytes(125)) * 1_000
    with raw, contextlib.suppress(TimeoutError):
        for _ in range(400):
            async with asyncio.timeout(1):
                await asyncio.get_running_loop().sock_sendall(raw, block)
            sent += len(block)
    assert sent < 30_000_000


async def test_the_connection_of_a_client_that_reads_nothing_is_cut(monkeypatch) -> None:
    monkeypatch.setattr("agent.engines.personaplex.chat._SEND_S", 0.2)
    monkeypatch.setattr("agent.engines.personaplex.chat.MOST_AHEAD_S", 3_600)
    monkeypatch.setattr("agent.engines.personaplex.fair_socket.CLOSE_S", 0.2)
    engine = LoopbackEngine(slots=1, delay_frames=0)
    async with served(engine) as address:
        raw, _ = await upgraded(address, query="format=pcm_s16le", SO_RCVBUF=4_096)
        loud = b"\x01" + bytes(range(250)) * 960
        message = b"\x82\xff" + len(loud).to_bytes(8, "big") + bytes(4) + loud
        with raw:
            flood = asyncio.create_task(asyncio.get_running_loop().sock_sendall(raw, message * 40))
            await free(engine)
            flood.cancel()
            await asyncio.wait([flood])
            cut = select.poll()
            cut.register(raw, 0)
            async with asyncio.timeout(10):
                while not cut.poll(0):  # noqa: ASYNC110 - a poll for no event tells of a reset alone
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize("begun", [b"", b"GET /api/ch", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /hea"])
async def test_a_connection_whose_request_never_comes_is_closed(loopback, monkeypatch, begun: bytes) -> None:
    monkeypatch.setattr("agent.engines.personaplex.patient_http.REQUEST_S", 0.2)
    _, address = loopback
    async with calling(address) as neighbour, httpx.AsyncClient(base_url=f"http://{address}") as http:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(begun)
        async with asyncio.timeout(10):
            await reader.read()  # to its end
        writer.close()
        for n in range(1, 8):
            assert (await http.get("/health")).status_code == 200
            await neighbour.say(tone(1))
            await neighbour.hear(n)
            await asyncio.sleep(0.1)


async def metric(address: str, outcome: str) -> float:
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        found = re.search(rf'calls_total{{outcome="{outcome}"}} (\S+)', (await http.get("/metrics")).text)
    return float(found[1]) if found else 0.0
