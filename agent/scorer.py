"""`parley score --follow` beside a server, for as long as that lives: scoring never shares a process with calls.

server ══ standard input ══▶ scorer: its end stops it, even when the server was killed
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

_COMMAND = ("-m", "agent.cli", "score", "--follow", "--beside")
_LONGEST_PAUSE_S = 60.0
_ENDS_S = 5.0


@contextlib.asynccontextmanager
async def scoring_beside(settings: Settings) -> AsyncIterator[None]:
    """Have ended calls scored for the length of the block, unless PARLEY_SCORE_CALLS is off.

    A scorer that dies is started again, ever less often.
    """
    if not settings.score_calls:
        yield
        return
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_scoring(stop))
        try:
            yield
        finally:
            stop.set()


async def _keep_scoring(stop: asyncio.Event) -> None:
    restarts = Restarts(_LONGEST_PAUSE_S)
    while not stop.is_set():
        restarts.began()
        process = await asyncio.create_subprocess_exec(
            sys.executable, *_COMMAND, stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
        status = await _wait(process, stop)
        if status is None:
            return
        log.error("scorer died", status=status)
        await restarts.pause(stop)


async def _wait(process: Process, stop: asyncio.Event) -> int | None:
    """Return the exit status of a scorer that died; None once it was stopped."""
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
