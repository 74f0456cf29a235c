"""Replicas under Ray Serve, behind its HAProxy: a fleet of one node on the CPU, and the engine `remote` that calls it.

    pytest -m ray tests/deploy/test_ray.py

Ray (`make ray`) takes long to start: the plain run leaves these out, and they share one cluster.
"""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import yaml
from websockets.asyncio.client import connect

from agent.duplex import DuplexSession, EngineFull, EngineLost, EngineUnavailable, RoleCard, RolePrompt
from agent.engines.personaplex.server import MOST_MESSAGE_BYTES
from agent.engines.remote import create
from agent.engines.remote.engine import RemoteEngine
from tests.agent.engines.chat_server import remote
from tests.agent.exchange import TONE
from tests.deploy.ray_cluster import DEPLOY, Cluster, Replica, fleet_environment, ray_cluster

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),  # Ray's own
]

ROLE = RolePrompt("You work for Acme.", "", RoleCard("Ann", "Acme", "agent", "Hello.", "", "", "", ""))
BREAKABLE = "tests.deploy.breakable_fleet:app"
TOKEN = "the-engine-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
SCALED = {"slots": 3, "replicas": 1, "most_replicas": 2, "full_at": 0.5, "scale_down_after_s": 0, "token": TOKEN}


@pytest.fixture(scope="module")
def fault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there, devices fail."""
    return tmp_path_factory.mktemp("fault") / "break"


@pytest.fixture(scope="module")
def cluster(fault: Path) -> Iterator[Cluster]:
    quick = {
        "RAY_SERVE_HAPROXY_RETRIES": "4",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
        "PARLEY_TEST_BREAK": str(fault),
    }
    with ray_cluster(**quick) as cluster:
        yield cluster


@pytest.fixture
def fleet(cluster: Cluster) -> Cluster:
    """Two replicas with two slots each, and no call."""
    cluster.deploy(import_path=BREAKABLE, slots=2, replicas=2, token=TOKEN)
    cluster.settle(2)
    cluster.until(lambda: not any(replica.used for replica in cluster.replicas()))
    return cluster


def gateway(cluster: Cluster) -> AbstractAsyncContextManager[RemoteEngine]:
    return remote(cluster.address, engine_token=TOKEN)


async def talk(session: DuplexSession, frames: int) -> None:
    """Say frames, and hear as many."""
    await session.ready()
    heard = session.frames()
    for _ in range(frames):
        session.push(TONE)
        await anext(heard)


@asynccontextmanager
async def talking(session: DuplexSession) -> AsyncIterator[None]:
    """Talk as long as the block takes; the call must last."""

    async def go_on() -> None:
        while True:
            await talk(session, 1)
            await asyncio.sleep(0.08)

    call = asyncio.create_task(go_on())
    yield
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def until(cluster: Cluster, holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(cluster.until, holds)


async def carrier_of(session: DuplexSession, cluster: Cluster) -> Replica:
    """Return the replica that has the only call."""
    await talk(session, 1)
    (carrier,) = [replica for replica in await asyncio.to_thread(cluster.replicas) if replica.used]
    return carrier


def replaced(lost: Replica, cluster: Cluster) -> bool:
    names = {replica.name for replica in cluster.replicas()}
    return len(names) == 2 and lost.name not in names


def test_fleet_yaml_is_what_serve_takes_and_fits_fleet_env():
    from ray.serve.schema import ServeDeploySchema

    from deploy.ray import fleet

    config = ServeDeploySchema.model_validate(yaml.safe_load((DEPLOY / "fleet.yaml").read_text()))
    (application,) = config.applications
    options = fleet.FleetOptions(**application.args)
    fleet.check_environment(fleet_environment(), options.drain_s)
    with pytest.raises(ValueError, match="most_replicas"):
        fleet.FleetOptions(replicas=3, most_replicas=2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"RAY_SERVE_HAPROXY_RETRY_ON": None}, 'RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response 503"'),
        ({"RAY_SERVE_ENABLE_HA_PROXY": "0"}, "RAY_SERVE_ENABLE_HA_PROXY=1"),
        ({"RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "120"}, "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S=3600"),
    ],
)
def test_an_environment_that_would_harm_calls_is_refused(change: dict[str, str | None], named: str):
    from deploy.ray import fleet

    environment = {name: value for name, value in (fleet_environment() | change).items() if value is not None}
    with pytest.raises(EngineUnavailable, match=f"fleet.env.*{re.escape(named)}"):
        fleet.check_environment(environment, 3_600)


async def test_a_full_replica_passes_a_call_on_and_a_full_fleet_refuses_it(fleet):
    async with gateway(fleet) as engine:
        assert engine.capacity().slots == 4
        full = fleet.replicas()[0].address  # filled past HAProxy, which therefore does not know
        async with (
            connect(f"ws://{full}/api/chat", additional_headers=HEADERS),
            connect(f"ws://{full}/api/chat", additional_headers=HEADERS),
        ):
            first, second = await asyncio.gather(engine.open(ROLE), engine.open(ROLE))
            await asyncio.gather(talk(first, 5), talk(second, 5))
            with pytest.raises(EngineFull) as refusal:
                await engine.open(ROLE)
            assert refusal.value.retry_after_s == 5
            assert [replica.used for replica in fleet.replicas()] == [2, 2]


async def test_a_replica_has_the_limits_of_an_engine_by_itself(fleet):
    stranger = create({"engine_url": f"ws://{fleet.address}"})
    with pytest.raises(EngineUnavailable, match="PARLEY_ENGINE_TOKEN"):
        await stranger.open(ROLE)
    longest = RolePrompt("\N{CLOUD WITH RAIN}" * 20_000, "", ROLE.card)  # twelve bytes a character in the URL
    async with gateway(fleet) as engine:
        await engine.open(longest)
    async with connect(f"ws://{fleet.address}/api/chat", additional_headers=HEADERS) as client:
        await client.send(bytes(MOST_MESSAGE_BYTES + 1))
        await client.wait_closed()
        assert client.close_code == 1009


async def test_a_replica_that_dies_is_replaced_and_its_call_goes_on_elsewhere(fleet):
    async with gateway(fleet) as engine:
        session = await engine.open(ROLE)
        carrier = await carrier_of(session, fleet)
        os.kill(carrier.pid, signal.SIGKILL)
        with pytest.raises(EngineLost):
            await asyncio.wait_for(talk(session, 500), 10)
        await talk(await engine.open(ROLE), 5)
        await until(fleet, lambda: replaced(carrier, fleet))


async def test_a_replica_whose_device_fails_is_replaced(fleet, fault):
    async with gateway(fleet) as engine:
        session = await engine.open(ROLE)
        carrier = await carrier_of(session, fleet)
        fault.touch()
        with pytest.raises(EngineLost, match="device"):
            await asyncio.wait_for(talk(session, 500), 10)
        fault.unlink()
        await talk(await engine.open(ROLE), 5)
        await until(fleet, lambda: replaced(carrier, fleet))


async def test_a_call_goes_on_while_another_version_takes_over(fleet):
    async with gateway(fleet) as engine:
        session = await engine.open(ROLE)
        carrier = await carrier_of(session, fleet)
        async with talking(session):
            await asyncio.to_thread(fleet.deploy, **SCALED)
            await until(fleet, lambda: carrier.used == -1)  # it listens no more
            await until(fleet, lambda: {replica.slots for replica in fleet.replicas()} == {3})
            assert carrier.name in fleet.going()
            async with gateway(fleet) as another:
                assert another.capacity().slots == 6
                await talk(await another.open(ROLE), 5)
        await talk(session, 5)
        await session.close()
        await until(fleet, lambda: not fleet.going())


async def test_replicas_come_with_calls_and_go_without_cutting_one(cluster):
    await asyncio.to_thread(cluster.deploy, **SCALED)
    await asyncio.to_thread(cluster.settle, 1)
    async with gateway(cluster) as engine:
        first, second = await engine.open(ROLE), await engine.open(ROLE)
        async with talking(first):
            await talk(second, 5)
            await until(cluster, lambda: len(cluster.replicas()) == 2)
            await second.close()
            await until(cluster, lambda: len(cluster.replicas()) == 1)
        await talk(first, 5)
