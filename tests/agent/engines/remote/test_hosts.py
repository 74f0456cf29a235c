"""Several servers behind one engine: who takes a call, and what those cost that are full, away or hang."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from agent.duplex import EngineFull, EngineUnavailable, RoleCard, RolePrompt
from agent.engines.loopback import LoopbackEngine
from agent.engines.remote import create
from agent.engines.remote.engine import RemoteEngine
from tests.agent.engines.chat_server import free, remote, served, tone

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")

ROLE = RolePrompt("You work for Acme.", "NATM1", RoleCard("Ann", "Acme", "agent", "Hello.", "", "", "", ""))


class Hanging:
    """Takes connections and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def hear(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)

    @contextlib.asynccontextmanager
    async def at(self, port: int = 0) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.hear, "127.0.0.1", port)
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for writer in self._writers:
            writer.transport.abort()


async def nowhere() -> str:
    async with Hanging().at() as address:
        return address


async def test_calls_go_to_the_least_busy_of_several_servers() -> None:
    one, other = LoopbackEngine(1, 0), LoopbackEngine(3, 0)
    async with served(one) as first, served(other) as second, remote(first, second) as client:
        assert client.capacity().slots == 4
        for wanted in ((1, 1), (1, 2), (1, 3)):
            if wanted == (1, 1):
                await client.open(ROLE)
            await client.open(ROLE)
            assert (one.capacity().used, other.capacity().used) == wanted
        with pytest.raises(EngineFull, match="All 4 slots"):
            await client.open(ROLE)
        assert client.capacity().used == 4


async def test_at_most_as_many_calls_as_the_setting_says() -> None:
    one, other = LoopbackEngine(5, 0), LoopbackEngine(5, 0)
    async with served(one) as first, served(other) as second, remote(first, second, engine_slots="3") as client:
        for _ in range(3):
            await client.open(ROLE)
        with pytest.raises(EngineFull, match="All 3 slots"):
            await client.open(ROLE)
        assert sorted((one.capacity().used, other.capacity().used)) == [1, 2]


async def test_a_server_that_others_have_filled_sends_the_call_on() -> None:
    one, other = LoopbackEngine(1, 0), LoopbackEngine(9, 0)
    async with (
        served(one) as first,
        served(other) as second,
        remote(first) as stranger,
        remote(first, second) as client,
    ):
        await stranger.open(ROLE)
        for _ in range(9):
            await client.open(ROLE)
        assert other.capacity().used == 9
        with pytest.raises(EngineFull, match="is full") as full:
            await client.open(ROLE)
        assert full.value.retry_after_s


async def test_a_server_that_is_not_there_costs_no_call() -> None:
    engine = LoopbackEngine(9, 0)
    async with served(engine) as there, remote(await nowhere(), there) as client:
        for _ in range(9):
            await client.open(ROLE)
        assert engine.capacity().used == 9
        # What is taken gets free; who is away need not come back.
        with pytest.raises(EngineFull, match=r"can't be reached .* All slots of the other engines are taken\.$"):
            await client.open(ROLE)


async def test_a_server_that_hangs_costs_one_call_half_a_second() -> None:
    engine, hanging, port = LoopbackEngine(9, 0), Hanging(), 0
    first_host = LoopbackEngine(9, 0)
    async with served(engine) as there:
        async with served(first_host) as address:
            client = create({"engine_url": f"ws://{address},ws://{there}"})
            await client.start()
            assert client.capacity().slots == 18
            await client.open(ROLE)
            port = int(address.split(":")[1])
        async with hanging.at(port):
            for _ in range(4):
                await client.open(ROLE)
            assert hanging.connections == 1
        assert engine.capacity().used >= 4
        await client.close()


@pytest.mark.parametrize("slow_s", [0.25, 0.35])
async def test_a_slow_server_keeps_no_slot_of_a_call_that_another_has_taken(slow_s: float) -> None:
    """Also where both give theirs at about the same time: one of them carries the call."""
    engine, carried = LoopbackEngine(1, 0), 0

    async def hesitate(*_: object) -> None:  # before it tells its slots, and again before it gives one
        await asyncio.sleep(slow_s)

    async def carry(socket: ServerConnection) -> None:
        nonlocal carried
        carried += 1
        await socket.wait_closed()
        carried -= 1

    async with served(engine) as quick, serve(carry, "127.0.0.1", process_request=hesitate) as server:
        slow = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = create({"engine_url": f"ws://{quick},ws://{slow}", "engine_slots": "2"})
        assert isinstance(client, RemoteEngine)
        hosts = client._fleet.hosts
        client._in_turn = lambda: hosts[::-1]  # the slow one first
        session = await client.open(ROLE)
        async with asyncio.timeout(10):
            while carried + engine.capacity().used != 1:  # noqa: ASYNC110 - nobody says when a slot is free
                await asyncio.sleep(0.02)
        assert client.capacity().used == 1
        await session.close()
        await free(engine)
        await client.close()


async def test_a_session_whose_close_is_given_up_frees_its_slot_all_the_same() -> None:
    engine, opened = LoopbackEngine(1, 0), asyncio.Event()
    async with served(engine) as address:
        client = create({"engine_url": f"ws://{address}"})
        assert isinstance(client, RemoteEngine)
        await client.start()

        async def come_too_late() -> None:
            session = await client._fleet.hosts[0].open(ROLE)
            opened.set()
            await session.close()

        late = asyncio.create_task(come_too_late())
        await opened.wait()
        late.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await late
        async with asyncio.timeout(10):
            await free(engine)
        await client.close()


async def test_servers_that_all_hang_are_told_while_a_caller_waits() -> None:
    async with Hanging().at() as first, Hanging().at() as second:
        client = create({"engine_url": f"ws://{first},ws://{second}"})
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match=r"did not answer within 2 seconds.* did not answer within"):
            await client.open(ROLE)
        assert time.monotonic() - began < 5  # when the line gives up
        assert client.capacity().used == 0


@pytest.mark.parametrize("after_ms", [0, 1, 2, 4, 8, 16, 32])
async def test_who_no_longer_waits_leaves_no_slot_taken(after_ms: int) -> None:
    one, other = LoopbackEngine(3, 0), LoopbackEngine(3, 0)
    async with served(one) as first, served(other) as second, remote(first, second) as client:
        opening = asyncio.create_task(client.open(ROLE))
        await asyncio.sleep(after_ms / 1000)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
        await free(one)
        await free(other)
        assert client.capacity().used == 0


@pytest.mark.parametrize(("query", "is_exact"), [("", True), ("?format=opus", False)])
async def test_our_server_is_sent_raw_sound_unless_the_url_asks_for_opus(query: str, is_exact: bool) -> None:
    async with served(LoopbackEngine(1, 0)) as address, remote(address + query) as client:
        session = await client.open(ROLE)
        sent, heard = tone(3), []
        for frame in sent:
            session.push(frame)
        async with asyncio.timeout(5):
            async for frame in session.frames():
                heard.append(frame.audio)
                if len(heard) == len(sent):
                    break
        assert (np.abs(np.concatenate(heard) - np.concatenate(sent)).max() < 1e-4) == is_exact
