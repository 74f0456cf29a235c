"""Recognition processes and who may use them: first come, first served; a process that dies or hangs is replaced."""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from agent.duplex import EngineUnavailable

log = structlog.get_logger(__name__)

_START_S = 60.0
_LONGEST_ANSWER = 1 << 22
_MODULE = "agent.engines.cascade.recogniser.worker"


class WorkerLost(Exception):
    """The process ended, or did not answer in time."""


class Worker:
    """One process. Requests are answered in their order; ``_owed`` counts answers nobody waits for any more."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._owed = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def busy(self) -> bool:
        """Whether it still works for somebody who left."""
        return self._owed > 0

    async def start(self) -> None:
        """Start the process; its first answer says that it is ready."""
        # One thread each: there are as many workers as cores to spare.
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_ANSWER,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._owed = 1

    async def ready(self) -> None:
        """Return when it has loaded; raises WorkerLost."""
        await self._settle(_START_S)

    async def ask(self, request: bytes, timeout_s: float) -> Mapping[str, Any]:
        """Send one line and return its answer.

        Raises:
            WorkerLost: kill it and start another.
        """
        await self._settle(_START_S)
        process = self._process
        if process is None or process.stdin is None:
            raise WorkerLost("it was never started")
        try:
            async with asyncio.timeout(timeout_s):
                process.stdin.write(request + b"\n")
                self._owed += 1
                await process.stdin.drain()
                return await self._answer()
        except TimeoutError:
            raise WorkerLost("it did not answer in time") from None
        except OSError:
            raise WorkerLost("it ended") from None

    async def _settle(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._owed:
                    await self._answer()
        except TimeoutError:
            raise WorkerLost("it did not answer in time") from None

    async def _answer(self) -> Mapping[str, Any]:
        if self._process is None or self._process.stdout is None:
            raise WorkerLost("it was never started")
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerLost("it ended")
        self._owed -= 1
        return json.loads(line)

    async def stop(self) -> None:
        """Kill the process and wait for its end."""
        process, self._process, self._owed = self._process, None, 0
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


class Pool:
    """``count`` workers, lent one at a time in the order of asking."""

    def __init__(self, count: int) -> None:
        self._workers = [Worker() for _ in range(count)]
        self._idle: list[Worker] = []
        self._waiting: deque[asyncio.Future[Worker]] = deque()

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def start(self) -> None:
        """Start every worker and wait until they have loaded.

        Raises:
            EngineUnavailable: a worker ended at once; its own words are on the error output.
        """
        try:
            for worker in self._workers:
                await worker.start()
            for worker in self._workers:
                await worker.ready()
        except (WorkerLost, OSError) as error:
            await self.close()
            raise EngineUnavailable(
                "Speech recognition does not start; its error stands above. Install parley[cascade] again."
            ) from error
        self._idle = list(self._workers)

    async def ask(self, request: bytes, timeout_s: float) -> Mapping[str, Any]:
        """Have one request answered by the next free worker.

        Raises:
            WorkerLost: its process was lost, and replaced.
        """
        async with self._lend() as worker:
            try:
                return await worker.ask(request, timeout_s)
            except WorkerLost as error:
                log.warning("a recognition process was lost and is replaced", pid=worker.pid, why=str(error))
                await worker.stop()
                await worker.start()
                raise

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[Worker]:
        worker = await self._take()
        try:
            yield worker
        finally:
            self._give_back(worker)

    async def _take(self) -> Worker:
        if self._idle:
            worker = min(self._idle, key=lambda idle: idle.busy)
            self._idle.remove(worker)
            return worker
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(turn.result())
            raise

    def _give_back(self, worker: Worker) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(worker)
                return
        self._idle.append(worker)

    async def close(self) -> None:
        """Kill every worker; requests under way raise WorkerLost."""
        self._idle.clear()
        while self._waiting:
            self._waiting.popleft().cancel()
        for worker in self._workers:
            await worker.stop()
