"""What machines that share a database must share besides: the secret they sign with, and the folder of recordings.

Each says in its row of crm.gateways what it has, as marks that tell nothing else; whoever finds another's to differ
says so. The folder is known by a file that the first of them leaves in it.
"""

import asyncio
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

import structlog

from agent.settings import SettingsError
from crm.gateways import Gateway, Gateways, place_of

log = structlog.get_logger(__name__)

MARK = "folder-id"
PROVES_LIFE_S = 12.0
"""Who is alive says so within this time, as agent.line.colleagues does."""
OTHER_FOLDER = (
    "PARLEY_RECORDINGS_DIR: another server of this database records into another folder. Pages would miss half of the "
    "recordings, and erasing would leave them; mount one folder on all machines."
)
SIGNS_OTHERWISE = (
    "PARLEY_SESSION_SECRET: another server signs with another value. People are signed out at every other click, and "
    "test calls fail; set the same on all machines."
)
NO_ADDRESS = "PARLEY_PEER_ADDRESS is not set here or there: pages don't show the live calls of the other machine."


def secret_mark(secret: str) -> str:
    """Return what two machines with the same secret have in common, and nobody can sign with."""
    return hmac.digest(secret.encode(), b"mark", "sha256").hex()[:32]


def folder_mark(folder: Path) -> str:
    """Return what a folder is known by on every machine, made if it is not there; "" where the disk is full."""
    path = folder / MARK
    try:
        with suppress(FileExistsError):
            _write_first(path, secrets.token_hex(16))
        with path.open(errors="replace") as file:
            return file.read(32)
    except OSError as error:
        log.warning("the folder of recordings can't be marked", reason=error.strerror)
        return ""


def _write_first(path: Path, text: str) -> None:
    """Make a file that is not there; without links, which not every shared folder has."""
    file = path.open("x")
    try:
        with file:
            file.write(text)
    except OSError:  # a full disk
        path.unlink(missing_ok=True)
        raise


def differences(own: Gateways, other: Gateway) -> list[str]:
    """Return what another machine has that ought to be the same, a sentence each."""
    here, there = own.told, other.told
    found = []
    if _differ(here.folder_mark, there.folder_mark):
        found.append(OTHER_FOLDER)
    if _differ(here.secret_mark, there.secret_mark):
        found.append(SIGNS_OTHERWISE)
    if place_of(own.name) != place_of(other.name) and not (here.address and there.address):
        found.append(NO_ADDRESS)
    return found


async def refuse_another_folder(own: Gateways, proves_life_s: float = PROVES_LIFE_S) -> None:
    """Keep a machine from starting that would record where the others don't look.

    Raises:
        SettingsError: another records elsewhere, and is alive: it was heard of again while this one waited.
        SQLAlchemyError: the database is away.
    """
    before = {each.name: each.seen_at for each in await _elsewhere(own)}
    if before:
        await asyncio.sleep(proves_life_s)
        if any(before.get(each.name, each.seen_at) != each.seen_at for each in await _elsewhere(own)):
            raise SettingsError(OTHER_FOLDER)


async def _elsewhere(own: Gateways) -> list[Gateway]:
    return [each for each in await own.others() if _differ(own.told.folder_mark, each.told.folder_mark)]


def _differ(here: str, there: str) -> bool:
    return bool(here and there) and here != there
