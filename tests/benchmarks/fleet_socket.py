"""What Ray's proxies add to a frame's way to a replica and back.

python -m tests.benchmarks.fleet_socket [CALLS] [SECONDS] [ROUNDS]

One replica of deploy/ray carries raw sound; its device is a wait of 30 ms, as in engine_socket. Half of the calls come
to its own port, and the other half at the same time by a way that is compared: again its own port, HAProxy, and Ray's
default proxy, which Ray keeps for fleets without a replica. The calls of both halves are in step with each other, so
that the same ticks answer them. Figures are medians of the rounds, CPU is the replica's for both halves.
"""

import asyncio
import sys
import time
from statistics import median

from starlette.applications import Starlette

from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.step import Spoken
from deploy.ray import fleet
from tests.benchmarks.engine_socket import load
from tests.deploy.ray_cluster import ray_cluster

TICK_S = 0.03


class WaitingReplica(fleet.EngineReplica):
    async def __serve_build_asgi_app__(self) -> Starlette:
        def wait(step: Step, *_: object) -> Spoken:
            time.sleep(TICK_S)
            return step._said

        Step.run = wait
        return await super().__serve_build_asgi_app__()


def app(options: fleet.FleetOptions) -> object:
    fleet.EngineReplica = WaitingReplica
    return fleet.app(options)


async def beside(direct: str, way: str, calls: int, seconds: float, pid: int) -> dict[str, float]:
    """Call both addresses at once; what the second has above the first, in ms, and the CPU of both."""
    ports = (int(address.rpartition(":")[2]) for address in (direct, way))
    plain, other = await asyncio.gather(*(load(port, calls // 2, seconds, True, pid) for port in ports))
    added = {f"{what} +": other[what] - plain[what] for what in ("p50_ms", "p95_ms", "p99_ms")}
    return {"p50_ms": other["p50_ms"]} | added | {what: other[what] for what in ("late_percent", "cpu_percent")}


def main(calls: int = 40, seconds: float = 10.0, rounds: int = 3) -> None:
    with ray_cluster() as cluster:
        cluster.deploy(import_path="tests.benchmarks.fleet_socket:app", slots=calls)
        cluster.settle(1)
        (replica,) = cluster.replicas()
        direct = replica.address
        ways = {"direct": direct, "HAProxy": cluster.address, "default proxy": cluster.default_proxy}
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, address in ways.items():
                rows[name].append(asyncio.run(beside(direct, address, calls, seconds, replica.pid)))
    for name, found in rows.items():
        print(f"{name:14}", *(f"{what} {median(row[what] for row in found):.2f} " for what in found[0]))
        print(f"{'':14} p50 + of each round", *(f"{row['p50_ms +']:.2f}" for row in found))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float, int), sys.argv[1:], strict=False)))
