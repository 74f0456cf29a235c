"""Servers behind a name: engines on several addresses of one port, and a DNS of our own that changes and fails."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from starlette.applications import Starlette
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request

from agent.duplex import EngineFull, EngineUnavailable, RoleCard, RolePrompt
from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.server import ServerOptions, create_app
from agent.engines.remote.address import addresses_of
from agent.engines.remote.engine import RemoteEngine
from agent.engines.remote.session import RemoteSession
from tests.agent.engines.chat_server import VOICES, served_app, tone
from tests.conftest import NO_IPV6

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")

ROLE = RolePrompt("You work for Acme.", "NATM1", RoleCard("Ann", "Acme", "agent", "Hello.", "", "", "", ""))
ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
NAME = "engines.example"


def has_ipv6() -> bool:
    """Whether this machine has ::1, which many a container lacks."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)


class Records:
    """A DNS of one name: what it answers, or fails with; ``hangs`` holds its answers back."""

    def __init__(self, *addresses: str) -> None:
        self.answer: Sequence[str] | Exception = addresses
        self.asked = 0
        self.hanging = 0
        self._free = threading.Event()
        self._free.set()

    def __call__(self, name: str, port: int) -> Sequence[str]:
        assert name == NAME
        self.asked += 1
        answer = self.answer
        self.hanging += 1
        self._free.wait()
        self.hanging -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    @contextlib.contextmanager
    def hangs(self) -> Iterator[None]:
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()


@contextlib.asynccontextmanager
async def engines(*engines: LoopbackEngine, hosts: Sequence[str] = (ONE, TWO, THREE)) -> AsyncIterator[int]:
    """Each engine at its address, all at one port: that."""
    async with contextlib.AsyncExitStack() as stack:
        port = 0
        for engine, host in zip(engines, hosts, strict=False):
            port = await listening(stack, app_of(engine), host, port)
        yield port


def app_of(engine: LoopbackEngine) -> Starlette:
    return create_app(engine, lambda: VOICES, ServerOptions())


async def listening(stack: contextlib.AsyncExitStack, app: Starlette, host: str, port: int) -> int:
    return int((await stack.enter_async_context(served_app(app, host, port))).rpartition(":")[2])


@contextlib.asynccontextmanager
async def remote(url: str, records: Records, slots: int = 0) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(addresses_of({"engine_url": url}), slots, records)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.engines.remote.fleet.LOOK_S", 0.1)
    monkeypatch.setattr("agent.engines.remote.fleet.LEAST_LOOK_S", 0.02)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody says when the next look is over
            await asyncio.sleep(0.01)


async def answered(session: RemoteSession) -> None:
    """Say a frame, and hear it."""
    session.push(tone(1)[0])
    async with asyncio.timeout(10):
        async for _ in session.frames():
            return


def used(*engines: LoopbackEngine) -> list[int]:
    return [engine.capacity().used for engine in engines]


async def test_each_address_of_a_name_is_a_server_with_slots_of_its_own() -> None:
    one, two = LoopbackEngine(2, 0), LoopbackEngine(1, 0)
    async with engines(one, two) as port, remote(f"ws://{NAME}:{port}", Records(ONE, TWO, ONE)) as client:
        assert client.capacity().slots == 3
        for _ in range(3):
            await client.open(ROLE)
        assert used(one, two) == [2, 1]
        with pytest.raises(EngineFull, match="All 3 slots"):
            await client.open(ROLE)


async def test_engines_come_and_go_by_the_dns_and_calls_stay_where_they_are() -> None:
    one, two, three = (LoopbackEngine(2, 0) for _ in range(3))
    dns = Records(ONE)
    async with engines(one, two, three) as port, remote(f"ws://{NAME}:{port}", dns) as client:
        session = await client.open(ROLE)
        dns.answer = [TWO, THREE]
        await until(lambda: client.capacity().slots == 5)  # of the one that left, its call alone
        for _ in range(4):
            await client.open(ROLE)
        assert used(one, two, three) == [1, 2, 2]
        assert client.capacity().used == 5
        with pytest.raises(EngineFull, match="All 5 slots"):
            await client.open(ROLE)
        await answered(session)
        await session.close()
        await until(lambda: len(client._fleet._hosts) == 2)
        dns.answer = [THREE, ONE, TWO]
        await until(lambda: client.capacity().slots == 6)
        await client.open(ROLE)
        assert used(one, two, three) == [1, 2, 2]


async def test_one_server_at_several_addresses_is_counted_once() -> None:
    """As a host with two networks, or listed by name and by address."""
    engine = LoopbackEngine(2, 0)
    app = app_of(engine)
    async with contextlib.AsyncExitStack() as stack:
        port = await listening(stack, app, "0.0.0.0", 0)
        url = f"ws://{NAME}:{port},ws://{ONE}:{port},ws://{ONE}:{port}/api/chat"
        async with remote(url, Records(ONE, TWO, THREE)) as client:
            assert client.capacity().slots == 2
            for _ in range(2):
                await client.open(ROLE)
            with pytest.raises(EngineFull, match="All 2 slots"):
                await client.open(ROLE)


async def test_servers_that_tell_nothing_are_one_for_their_name() -> None:
    async def carry(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(carry, ONE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with serve(carry, TWO, port), remote(f"ws://{NAME}:{port}", Records(ONE, TWO)) as client:
            assert client.capacity().slots == 1
            await client.open(ROLE)
            with pytest.raises(EngineFull):
                await client.open(ROLE)


@needs_ipv6
@pytest.mark.parametrize(("host", "elsewhere"), [(ONE, "::1"), ("::1", ONE)])
async def test_a_name_of_two_kinds_works_whichever_the_engine_listens_on(host: str, elsewhere: str) -> None:
    """As localhost."""
    with socket.socket(socket.AF_INET6 if ":" in elsewhere else socket.AF_INET) as nobody:
        nobody.bind((elsewhere, 0))  # and does not listen
        async with contextlib.AsyncExitStack() as stack:
            port = await listening(stack, app_of(LoopbackEngine(3, 0)), host, nobody.getsockname()[1])
            client = await stack.enter_async_context(remote(f"ws://{NAME}:{port}", Records(elsewhere, host)))
            assert client.capacity().slots == 3
            await answered(await client.open(ROLE))


async def test_the_system_s_resolver_is_asked() -> None:
    async with engines(LoopbackEngine(1, 0)) as port:
        client = RemoteEngine(addresses_of({"engine_url": f"ws://localhost:{port}"}), 0)
        await answered(await client.open(ROLE))
        await client.close()


FAILURES: list[Sequence[str] | Exception] = [
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    [],
    UnicodeError("label too long"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["no such name", "no address", "no name"])
async def test_a_dns_that_fails_takes_away_nothing(failure: Sequence[str] | Exception) -> None:
    engine, dns = LoopbackEngine(2, 0), Records(ONE)
    async with engines(engine) as port, remote(f"ws://{NAME}:{port}", dns) as client:
        dns.answer, asked = failure, dns.asked
        await until(lambda: dns.asked > asked + 2)
        await answered(await client.open(ROLE))
        assert client.capacity().slots == 2


@pytest.mark.parametrize("failure", FAILURES[:2], ids=["no such name", "no address"])
async def test_a_name_that_leads_nowhere_is_told_and_found_once_it_does(failure: Sequence[str] | Exception) -> None:
    engine, dns = LoopbackEngine(2, 0), Records()
    dns.answer = failure
    async with engines(engine) as port, remote(f"ws://{NAME}:{port}", dns) as client:
        with pytest.raises(EngineUnavailable, match=rf"{NAME} \(.+\); check PARLEY_ENGINE_URL"):
            await client.open(ROLE)
        dns.answer = [ONE]
        await until(lambda: client.capacity().slots == 2)
        await answered(await client.open(ROLE))


async def test_a_dns_that_hangs_keeps_no_call_waiting_and_no_thread_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.engines.remote.names.LOOK_UP_S", 0.05)
    one, two, dns = LoopbackEngine(9, 0), LoopbackEngine(9, 0), Records(ONE)
    async with engines(one, two) as port, remote(f"ws://{NAME}:{port}", dns) as client:
        dns.answer = [ONE, TWO]
        with dns.hangs():
            await until(lambda: dns.hanging == 1)
            for _ in range(5):
                await client.open(ROLE)
            await asyncio.sleep(0.5)
            assert dns.hanging == 1
            assert used(one, two) == [5, 0]
        await until(lambda: client.capacity().slots == 18)


async def test_nothing_known_and_a_dns_that_hangs_are_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.engines.remote.names.LOOK_UP_S", 0.05)
    dns, url = Records(ONE), f"ws://{NAME}:9"
    with dns.hangs(), pytest.raises(EngineUnavailable, match=r"no answer within"):
        async with remote(url, dns) as client:
            await client.open(ROLE)


@needs_ipv6
async def test_names_and_addresses_of_both_kinds_stand_side_by_side() -> None:
    one, two, three = (LoopbackEngine(1, 0) for _ in range(3))
    async with (
        engines(one, two, three, hosts=(ONE, TWO, "::1")) as port,
        remote(f"ws://{NAME}:{port}, ws://[::1]:{port}", Records(ONE, TWO)) as client,
    ):
        assert client.capacity().slots == 3
        for _ in range(3):
            await answered(await client.open(ROLE))
        assert used(one, two, three) == [1, 1, 1]


async def test_a_server_that_drains_is_not_counted_nor_asked_and_keeps_its_calls() -> None:
    one, two = LoopbackEngine(4, 0), LoopbackEngine(4, 0)
    app = app_of(one)
    async with contextlib.AsyncExitStack() as stack:
        port = await listening(stack, app, ONE, 0)
        client = await stack.enter_async_context(remote(f"ws://{NAME}:{port}", Records(ONE, TWO), slots=6))
        session = await client.open(ROLE)
        await listening(stack, app_of(two), TWO, port)
        await until(lambda: sum(server.slots for server in client._fleet.servers) == 8)
        assert client.capacity().slots == 6
        drain = asyncio.create_task(app.state.drain(60))
        await until(lambda: client.capacity().slots == 5)
        for _ in range(4):
            await client.open(ROLE)
        assert used(one, two) == [1, 4]
        with pytest.raises(EngineFull, match="is being stopped"):
            await client.open(ROLE)
        await answered(session)
        await session.close()
        await drain
        await until(lambda: client.capacity().slots == 4)


async def test_a_call_that_meets_a_drain_before_it_is_known_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears of it: refused there, the call is asked for at the next at once."""
    monkeypatch.setattr("agent.engines.remote.fleet.LEAST_LOOK_S", 60)
    one, two = LoopbackEngine(4, 0), LoopbackEngine(4, 0)
    app = app_of(one)
    async with contextlib.AsyncExitStack() as stack:
        port = await listening(stack, app, ONE, 0)
        await listening(stack, app_of(two), TWO, port)
        client = await stack.enter_async_context(remote(f"ws://{NAME}:{port}", Records(ONE, TWO)))
        drain = asyncio.create_task(app.state.drain(60))
        for _ in range(4):
            await answered(await client.open(ROLE))
        assert used(one, two) == [0, 4]
        await drain


async def test_tls_and_the_host_header_stay_with_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing; Debian: apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={NAME}")
    files = ("-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", *new, *files], check=True, capture_output=True)  # noqa: ASYNC221
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    seen: set[tuple[str, str]] = set()
    tls.sni_callback = lambda _, name, __: seen.add(("SNI", name))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def note(_: ServerConnection, request: Request) -> None:
        seen.add((request.path.partition("?")[0], request.headers["Host"]))

    async def carry(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(carry, TWO, 0, ssl=tls, process_request=note) as server:
        port = server.sockets[0].getsockname()[1]
        async with remote(f"wss://{NAME}:{port}", Records(TWO)) as client:
            await client.open(ROLE)
        authority = f"{NAME}:{port}"
        assert seen == {("SNI", NAME), ("/health", authority), ("/api/chat", authority)}
        async with remote(f"wss://{TWO}:{port}", Records()) as client:
            with pytest.raises(EngineUnavailable, match="certificate"):
                await client.open(ROLE)
