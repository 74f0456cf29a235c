"""A process of the engine's server that is told to stop: by real signals, with calls on real sockets."""

import asyncio
import contextlib
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from agent.duplex import RolePrompt
from agent.engines.loopback.engine import LoopbackEngine, LoopbackSession
from agent.engines.personaplex.server import ServerOptions, create_app
from tests.agent.engines.chat_server import VOICES, calling, closing, served_app, tone

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")

ENGINE = """
import asyncio, sys
from agent.engines.loopback.engine import LoopbackEngine, LoopbackSession
from agent.engines.personaplex.server import ServerOptions, create_app, listen
from agent.engines.personaplex.serving import serve
app = create_app(LoopbackEngine(3, 0), lambda: ["NATF2.pt"], ServerOptions())
with listen("127.0.0.1", 0) as listening:
    print(listening.getsockname()[1], flush=True)
    asyncio.run(serve(app, listening, float(sys.argv[1])))
"""

REFUSED = "The engine is being stopped: it takes no more calls."


@contextlib.asynccontextmanager
async def engine_process(drain_s: float) -> AsyncIterator[tuple[Process, str]]:
    """A server in a process of its own, and its address."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ENGINE, str(drain_s), stdout=PIPE)
    assert process.stdout
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        yield process, f"127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), 30)


async def draining(address: str) -> str:
    """Return what /metrics tells, once /ready says that no more calls are taken."""
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        ready = await http.get("/ready")
        while ready.status_code == httpx.codes.OK:
            ready = await http.get("/ready")
        assert ready.json()["reason"] == REFUSED
        health = await http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "draining")  # a restart would end its calls
        return (await http.get("/metrics")).text


async def refused(address: str) -> None:
    """Ask for a call, which another server should get."""
    with pytest.raises(InvalidStatus) as refusal:
        async with calling(address):
            pass
    response = refusal.value.response
    assert (response.status_code, response.body.decode()) == (503, f"{REFUSED}\n")
    assert "Retry-After" not in response.headers


async def test_a_call_that_lives_goes_on_to_its_end_and_no_other_begins() -> None:
    async with engine_process(drain_s=60) as (process, address):
        async with calling(address) as client:
            await client.say(tone(2))
            await client.hear(2)
            process.send_signal(signal.SIGTERM)
            metrics = await draining(address)
            assert re.search(r"^parley_engine_draining 1\.0$", metrics, re.MULTILINE)
            await refused(address)
            await client.say(tone(10))
            await client.hear(12)
            assert process.returncode is None
        assert await ended(process) == 0


async def test_without_calls_it_ends_at_once() -> None:
    async with engine_process(drain_s=600) as (process, address):
        async with calling(address) as client:
            await client.take()
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


@pytest.mark.parametrize(("drain_s", "signals"), [(600, 2), (0.2, 1)])
async def test_a_second_signal_or_the_time_closes_what_is_left(drain_s: float, signals: int) -> None:
    async with engine_process(drain_s) as (process, address):
        async with calling(address) as client, calling(address) as other:
            for each in (client, other):
                await each.say(tone(1))
                await each.hear(1)
            process.send_signal(signal.SIGTERM)
            if signals == 2:
                await draining(address)
                process.send_signal(signal.SIGTERM)
            for each in (client, other):
                assert await closing(each) == (1012, "The engine is being stopped.")
        assert await ended(process) == 0


async def test_a_call_that_was_being_opened_when_the_drain_began_is_carried() -> None:
    class Slow(LoopbackEngine):
        """Gives a slot when it is told to."""

        asked, told = asyncio.Event(), asyncio.Event()

        async def open(self, role: RolePrompt) -> LoopbackSession:
            self.asked.set()
            await self.told.wait()
            return await super().open(role)

    engine = Slow(1, 0)
    app = create_app(engine, lambda: VOICES, ServerOptions())

    async def talk() -> None:
        async with calling(address) as client:
            await client.say(tone(3))
            await client.hear(3)

    async with asyncio.timeout(30), served_app(app) as address, asyncio.TaskGroup() as group:
        call = group.create_task(talk())
        await engine.asked.wait()
        drain = group.create_task(app.state.drain(60))
        await draining(address)
        engine.told.set()
        await call
        await drain
        assert engine.capacity().used == 0
        await refused(address)
