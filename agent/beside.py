"""What runs beside a server for as long as that lives: scoring and erasing never share a process with calls.

server ══ standard input ══▶ `parley score --follow`, `parley calls prune --follow`: its end stops them, even when
the server was killed
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

import structlog

from agent.restarts import Restarts
from agent.settings import Settings

log = structlog.get_logger(__name__)

_SCORER = ("score", "--follow", "--beside")
_KEEPER = ("calls", "prune", "--follow", "--beside")
_LONGEST_PAUSE_S = 60.0
_ENDS_S = 5.0


@contextlib.asynccontextmanager
async def working_beside(settings: Settings) -> AsyncIterator[None]:
    """For the length of the block have ended calls scored, unless PARLEY_SCORE_CALLS is off, and others erased in time.

    A process that dies is started again, ever less often.
    """
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for command in (_SCORER, _KEEPER) if settings.score_calls else (_KEEPER,):
            group.create_task(_keep_running(command, stop))
        try:
            yield
        finally:
            stop.set()


async def _keep_running(command: tuple[str, ...], stop: asyncio.Event) -> None:
    restarts = Restarts(_LONGEST_PAUSE_S)
    while not stop.is_set():
        restarts.began()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli", *command, stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
        status = await _wait(process, stop)
        if status is None:
            return
        log.error("process beside the server died", command=" ".join(command), status=status)
        await restarts.pause(stop)


async def _wait(process: Process, stop: asyncio.Event) -> int | None:
    """Return the exit status of a process that died; None once it was stopped."""
    async with asyncio.TaskGroup() as group:
        stopped, died = group.create_task(stop.wait()), group.create_task(process.wait())
        await asyncio.wait((stopped, died), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if died.done():
            return died.result()
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait((died,), timeout=_ENDS_S)
        if not died.done():
            process.kill()
    return None
