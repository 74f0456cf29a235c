"""The processes of a run, spoken to in lines of JSON: the measured servers, and the phones.

async with server(PARLEY) as gateway: await gateway.ask("figures")
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.bench.gateway.phones import Load

_ROOT = Path(__file__).resolve().parents[3]
_STARTS_S = 60.0
_ANSWERS_S = 30.0
_STOPS_S = 20.0
_LINE_BYTES = 64 * 1024 * 1024


class BenchFailed(Exception):
    """A process of the bench died or did not answer; the message says which."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers calls: its name in the results, and the module that is run."""

    name: str
    module: str

    @property
    def is_here(self) -> bool:
        """Whether it can be started: baselines come with the source, not with the installed package."""
        return (_ROOT / self.module.replace(".", "/")).with_suffix(".py").exists()


PARLEY = System("parley", "agent.bench.gateway.server")
BARE = System("bare_websockets", "tests.benchmarks.bare_websockets")
STOCK = System("pipecat_stock", "tests.benchmarks.pipecat_stock")
SYSTEMS = (PARLEY, BARE, STOCK)


class Child:
    """A process that answers lines with lines."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process

    async def read(self, timeout_s: float) -> dict[str, Any]:
        """Return its next line.

        Raises:
            BenchFailed: there is none.
        """
        assert self.process.stdout
        try:
            async with asyncio.timeout(timeout_s):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise BenchFailed(f"The process {self.name} did not answer for {timeout_s:g} s.") from None
        if not line:
            raise BenchFailed(f"The process {self.name} died; what it wrote stands above.")
        return json.loads(line)

    async def ask(self, do: str, **more: object) -> dict[str, Any]:
        """Send a request; return the answer."""
        self.tell({"do": do} | more)
        return await self.read(_ANSWERS_S)

    def tell(self, line: Mapping[str, object]) -> None:
        """Send a line."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(line).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Server:
    """A measured server and how to call it."""

    system: System
    child: Child
    hello: Mapping[str, Any]

    def load(self, calls: int, seconds: float, seed: int = 0) -> Load:
        """Return the load of so many calls to it."""
        port = self.hello["port"]
        if token := self.hello.get("auth_token"):
            return Load(f"http://127.0.0.1:{port}", calls, seconds, token, self.hello["number"], seed)
        return Load(f"ws://127.0.0.1:{port}/", calls, seconds, seed=seed)


@contextlib.asynccontextmanager
async def server(system: System) -> AsyncIterator[Server]:
    """Start a system's process; stop it after the block."""
    async with child(system.name, system.module) as one:
        yield Server(system, one, await one.read(_STARTS_S))
        one.tell({"do": "stop"})


@contextlib.asynccontextmanager
async def phones(load: Load) -> AsyncIterator[Child]:
    """Start the phones' process; it says "begun", "ending" and "over"."""
    async with child("phones", "agent.bench.gateway.phones") as one:
        one.tell(asdict(load))
        yield one


@contextlib.asynccontextmanager
async def child(name: str, module: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Run a module of ours for the length of the block; ``environment`` is added to this process's own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        env=os.environ | dict(environment or {}),
        cwd=_ROOT,  # where "-m" looks for modules
    )
    try:
        yield Child(name, process)
        async with asyncio.timeout(_STOPS_S):
            await process.wait()
    except TimeoutError:
        raise BenchFailed(f"The process {name} did not stop within {_STOPS_S:g} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
