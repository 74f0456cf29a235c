"""Several processes behind one port: started one after the other, started anew when one dies, drained together.

Supervisor ── binds ──▶ socket ══ inherited ══▶ worker 1 … N: whoever is idle takes the next connection
    ├─ pipe: worker is ready            signals ──▶ SIGTERM to all of them
    └─ standard input: its end tells a worker that the supervisor is gone
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog
from prometheus_client import multiprocess

from agent.beside import working_beside
from agent.metrics import SHARED
from agent.restarts import Restarts
from agent.server import listen
from agent.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

_BACKLOG = 2048
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker is told on its command line: its inherited descriptors, and whether it speaks for all."""

    listening: int
    ready: int
    is_first: bool

    @classmethod
    def read(cls, text: str) -> "Told":
        """Raises SettingsError where nobody but a supervisor would be at fault."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise SettingsError("--worker is for the supervisor's use; start `parley serve --workers N`.") from None

    def socket(self) -> socket.socket:
        """Return the socket that all workers share."""
        return socket.socket(fileno=self.listening)

    def report_ready(self) -> None:
        """Tell the supervisor that calls can come."""
        os.write(self.ready, b"\n")
        os.close(self.ready)


class Supervisor:
    """Keeps ``settings.workers`` processes on one port; ``run`` it once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until a signal comes, then until every worker has drained.

        Raises:
            SettingsError: the address can't be listened on, or the first worker did not start.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop)
        with (
            listen(self._settings.host, self._settings.port) as listening,
            tempfile.TemporaryDirectory(prefix="parley-metrics-") as metrics,
        ):
            listening.listen(_BACKLOG)
            start = _Starter(self._settings, listening, metrics, self._started)
            first = await start(is_first=True)  # it migrates the database and makes the first user
            if first is None and not self._stopping.is_set():
                raise SettingsError("The first worker did not start; what it said stands above.")
            async with working_beside(self._settings), asyncio.TaskGroup() as group:
                for process in (first, *[None] * (self._settings.workers - 1)):
                    group.create_task(self._keep(start, process))

    def _started(self, process: asyncio.subprocess.Process) -> None:
        self._workers.add(process)
        if self._stopping.is_set():
            process.terminate()

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # a worker that was told before ends its calls at once

    async def _keep(self, start: "_Starter", process: asyncio.subprocess.Process | None) -> None:
        """Have one worker run, another when it dies, with growing pauses where they die young."""
        restarts = Restarts(_LONGEST_PAUSE_S)
        while not self._stopping.is_set():
            restarts.began()
            process = process or await start()
            if process is not None:
                status = await process.wait()
                self._workers.discard(process)
                multiprocess.mark_process_dead(process.pid, start.metrics)
                if self._stopping.is_set():
                    return
                log.error("worker died", pid=process.pid, status=status)
            process = None
            await restarts.pause(self._stopping)


class _Starter:
    """Starts workers, one at a time: each may migrate, recover lost calls, load an engine."""

    def __init__(
        self,
        settings: Settings,
        listening: socket.socket,
        metrics: str,
        started: Callable[[asyncio.subprocess.Process], None],
    ) -> None:
        self._listening = listening
        self._started = started
        self._one_at_a_time = asyncio.Lock()
        self.metrics = metrics
        host, port = listening.getsockname()[:2]
        workers = str(settings.workers)
        self._command = (sys.executable, "-m", "agent.cli", "serve", "--host", host, "--port", str(port))
        self._command += ("--workers", workers)

    async def __call__(self, *, is_first: bool = False) -> asyncio.subprocess.Process | None:
        """Return a worker that takes calls; None if it died before."""
        async with self._one_at_a_time:
            ready, reports = os.pipe()
            told = Told(self._listening.fileno(), reports, is_first)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                "--worker",
                json.dumps(asdict(told)),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(told.listening, reports),
                start_new_session=True,  # a terminal's Ctrl+C is passed on by us, once
                env=os.environ | {SHARED: self.metrics},
            )
            self._started(process)
            os.close(reports)
            return process if await _line(ready) else None


async def _line(descriptor: int) -> bool:
    """Wait for a line, or the end, of a pipe; close it."""
    reader = asyncio.StreamReader()
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return bool(await reader.read(1))
        finally:
            transport.close()
