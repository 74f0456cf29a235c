"""A Ray cluster of one node on ports of its own, started with deploy/ray/fleet.env; none of it is left behind."""

import csv
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

logging.getLogger("httpx").setLevel(logging.WARNING)  # whoever waits asks often

DEPLOY = Path(__file__).parents[2] / "deploy" / "ray"
MARK = "PARLEY_TEST_CLUSTER"
PATIENCE_S = 90.0
SERVER = re.compile(r"^ *server (SERVE_REPLICA_engines-EngineReplica-(\w+)) (\S+) check", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Replica:
    """One that runs: ``address`` is its own HOST:PORT, past HAProxy."""

    name: str
    pid: int
    address: str

    @property
    def used(self) -> int:
        """How many calls it carries; -1 where nothing listens."""
        return self._told("used")

    @property
    def slots(self) -> int:
        return self._told("slots")

    def _told(self, what: str) -> int:
        try:
            return httpx.get(f"http://{self.address}/ready", trust_env=False).json()[what]
        except httpx.HTTPError:
            return -1


@dataclass(frozen=True, slots=True)
class Cluster:
    """HOST:PORT of HAProxy, of Ray's default proxy and of HAProxy's figures; the URL that `serve deploy` goes to."""

    address: str
    default_proxy: str
    stats: str
    dashboard: str
    folder: Path

    def deploy(self, **options: Any) -> None:
        """Do as `serve deploy` with fleet.yaml does, but on a CPU and with these ``args``."""
        config = yaml.safe_load((DEPLOY / "fleet.yaml").read_text())
        host, port = self.address.split(":")
        config["http_options"] = {"host": host, "port": int(port)}
        (application,) = config["applications"]
        application["import_path"] = options.pop("import_path", application["import_path"])
        application["args"] = {"checkpoint": "tiny", "device": "cpu"} | options
        application["deployments"] = [
            {"name": "EngineReplica", "ray_actor_options": {"num_cpus": 0, "num_gpus": 0}},
        ]
        httpx.put(self.dashboard, json=config, timeout=PATIENCE_S, trust_env=False).raise_for_status()

    def settle(self, replicas: int) -> None:
        """Wait until so many are wanted and run, HAProxy knows them, and none is about to go."""

        def is_settled() -> bool:
            state = self._state()
            if state["status"] != "RUNNING" or self.going():
                return False
            wanted = state["deployments"]["EngineReplica"]["target_num_replicas"]
            return wanted == len(self.replicas()) == replicas

        self.until(is_settled)

    def replicas(self) -> list[Replica]:
        """Return those that take calls: Ray says that they run, and the present HAProxy that they are up."""
        table = httpx.get(f"http://{self.stats}/stats;csv", timeout=PATIENCE_S, trust_env=False).text
        up = {row["svname"] for row in csv.DictReader(table.splitlines()) if row["status"].startswith("UP")}
        (configuration,) = self.folder.glob("h/*/haproxy.cfg")
        addresses = {name: where for server, name, where in SERVER.findall(configuration.read_text()) if server in up}
        running = [each for each in self._replicas("RUNNING") if each["replica_id"] in addresses]
        return [Replica(each["replica_id"], each["pid"], addresses[each["replica_id"]]) for each in running]

    def going(self) -> list[str]:
        """Return the names of those that wait for their last calls."""
        return [each["replica_id"] for each in self._replicas("STOPPING")]

    def until(self, holds: Callable[[], bool]) -> None:
        """Ask until something holds."""
        ends = time.monotonic() + PATIENCE_S
        while not holds():
            state = self._state()
            assert state["status"] != "DEPLOY_FAILED", state["message"]
            assert time.monotonic() < ends, state
            time.sleep(0.2)

    def _replicas(self, state: str) -> list[Any]:
        found = self._state()["deployments"].get("EngineReplica", {"replicas": []})["replicas"]
        return [each for each in found if each["state"] == state]

    def _state(self) -> Any:
        told = httpx.get(self.dashboard, timeout=PATIENCE_S, trust_env=False).json()
        return told["applications"]["engines"]


@contextmanager
def ray_cluster(**environment: str) -> Iterator[Cluster]:
    """Run `ray start --head` with fleet.env and what is given on top of it."""
    folder = Path(tempfile.mkdtemp(prefix="parley-ray-"))  # not pytest's: Ray's sockets bear no long paths
    mark = uuid.uuid4().hex
    ports = _free_ports(9)
    settings = fleet_environment() | _places(folder, ports) | {MARK: mark} | environment
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--temp-dir={folder}", "--num-cpus=1", "--object-store-memory=80000000"]
    command += [f"--port={ports[0]}", f"--dashboard-port={ports[1]}", f"--dashboard-agent-listen-port={ports[2]}"]
    command += [f"--ray-client-server-port={ports[3]}", "--min-worker-port=0", "--max-worker-port=0"]
    dashboard = f"http://127.0.0.1:{ports[1]}/api/serve/applications/"
    try:
        with (folder / "ray.log").open("wb") as log:
            head = subprocess.Popen(command, env=settings, cwd=folder, stdout=log, stderr=log)
        ends = time.monotonic() + PATIENCE_S
        while not _answers(dashboard):
            assert head.poll() is None, (folder / "ray.log").read_text()
            assert time.monotonic() < ends, (folder / "ray.log").read_text()
            time.sleep(0.2)
        address, default_proxy, stats = (f"127.0.0.1:{port}" for port in ports[4:7])
        yield Cluster(address, default_proxy, stats, dashboard, folder)
    finally:
        _end(mark)
        shutil.rmtree(folder, ignore_errors=True)


def fleet_environment() -> dict[str, str]:
    """Return this process's environment with fleet.env, read by a shell as docs/fleet.md has it."""
    script = f"set -a; . {DEPLOY / 'fleet.env'}; env -0"
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in told.split("\0") if line)


def _places(folder: Path, ports: list[int]) -> dict[str, str]:
    haproxy = "RAY_SERVE_HAPROXY_"
    return {
        f"{haproxy}CONFIG_FILE_LOC": f"{folder}/h/haproxy.cfg",
        f"{haproxy}SOCKET_PATH": f"{folder}/h/s",
        f"{haproxy}SERVER_STATE_BASE": f"{folder}/h",
        f"{haproxy}SERVER_STATE_FILE": f"{folder}/h/state",
        f"{haproxy}METRICS_SOCKET_PATH": f"{folder}/h/m",
        f"{haproxy}STATS_PORT": str(ports[6]),
        f"{haproxy}METRICS_PORT": str(ports[7]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[5]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports[8]),
        "RAY_memory_monitor_refresh_ms": "0",  # or Ray ends replicas where others have taken the machine's memory
    }


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody has, below those that outgoing connections take."""
    free: list[int] = []
    for port in range(20_000 + os.getpid() * 16 % 9_000, 30_000):
        with socket.socket() as taken:
            try:
                taken.bind(("0.0.0.0", port))
            except OSError:
                continue
            free.append(port)
        if len(free) == count:
            return free
    raise AssertionError("too few free ports")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=PATIENCE_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(mark: str) -> None:
    """Kill every process that was started with the mark; `ray stop` would end other clusters of this machine too."""
    while marked := _marked(mark):
        for pid in marked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    wanted, found = f"{MARK}={mark}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:  # it is gone, or not ours
            continue
    return found
