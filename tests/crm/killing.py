"""A process that is killed in the middle of an erasure."""

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import crm.erasure
import crm.removal
from crm.erasure import Erasures, Whose
from crm.recordings import Recordings
from personas.db import Database

STEPS = ("customer buried", "marked", "one file removed", "files removed", "buried")


async def kill_at(step: str, url: str, folder: Path, number: str) -> int | None:
    """Erase a caller in another process, which kills itself at the step; return its exit status."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    child = server.Process(target=_erase, args=(step, url, folder, number))
    child.start()
    await asyncio.to_thread(child.join)
    return child.exitcode


def _erase(step: str, url: str, folder: Path, number: str) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def bury(recordings: Recordings, names: list[str], at: object) -> None:
        crm.removal.bury(recordings, names, at)  # pyright: ignore[reportArgumentType]
        if step == ("buried" if names[0].isalnum() else "customer buried"):
            die()

    if step == "marked":
        crm.erasure.remove_files = die  # pyright: ignore[reportAttributeAccessIssue]
    if step == "one file removed":
        unlink, files = os.unlink, iter(range(2))
        os.unlink = lambda path: die() if next(files) else unlink(path)
    if step == "files removed":
        remove = crm.removal.remove_files
        crm.erasure.remove_files = lambda *given: die(remove(*given))  # pyright: ignore[reportAttributeAccessIssue]
    crm.erasure.bury = bury  # pyright: ignore[reportAttributeAccessIssue]
    asyncio.run(Erasures(Database(url), Recordings(folder)).erase(Whose(number=number)))
