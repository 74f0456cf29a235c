"""Which processes carry calls of one database, and how they are found, as far as they have been heard of lately."""

import hashlib
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import delete, exists, select, update

from crm.call import Status
from crm.tables import CallRow, GatewayRow
from personas.db import Database

ALIVE = timedelta(seconds=30)
"""A process that has not been heard of for so long takes no calls; one that ends by itself says so.

One that was killed on this host is gone at once.
"""

OPEN: tuple[Status, ...] = ("waiting", "ringing", "live")


@dataclass(frozen=True, slots=True)
class Told:
    """What a process says of itself: the origin under which other machines reach it, "" where none do, and what shows
    that two machines sign with the same secret and record into the same folder, "" where that is not known.
    """

    address: str = ""
    secret_mark: str = ""
    folder_mark: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A process in the list. ``seen_at`` is by its own machine's clock."""

    name: str
    seen_at: datetime
    told: Told


class Gateways:
    """The list, as one of them sees it: ``name`` is its ``CallStore.gateway``. Raises SQLAlchemy's errors."""

    def __init__(self, database: Database, name: str, told: Told | None = None) -> None:
        self._database = database
        self.name = name
        self.told = told or Told()

    async def beat(self, *, takes_calls: bool = True) -> None:
        """Say that this process runs, and whether it takes calls."""
        row = GatewayRow(name=self.name, seen_at=datetime.now(UTC), takes_calls=takes_calls, **asdict(self.told))
        async with self._database.session() as session:
            await session.merge(row)

    async def leave(self) -> None:
        """Say that this process runs no more; where calls of its are still open, others hear that by its silence."""
        has_calls = exists().where(CallRow.gateway == self.name, CallRow.status.in_(OPEN))
        async with self._database.session() as session:
            await session.execute(delete(GatewayRow).where(GatewayRow.name == self.name, ~has_calls))

    async def any_other(self) -> bool:
        """Whether another process takes calls."""
        alive = (GatewayRow.seen_at > datetime.now(UTC) - ALIVE) & GatewayRow.takes_calls
        query = select(GatewayRow.name).where(GatewayRow.name != self.name, alive)
        async with self._database.session() as session:
            return not all(is_dead(other, self.name) for other in await session.scalars(query))

    async def others(self) -> list[Gateway]:
        """Return all others, those that have fallen silent too."""
        query = select(GatewayRow).where(GatewayRow.name != self.name).order_by(GatewayRow.name)
        async with self._database.session() as session:
            return [_gateway(row) for row in await session.scalars(query)]

    async def address(self, name: str) -> str:
        """Return where a process is reached, "" where it can't be."""
        async with self._database.session() as session:
            return await session.scalar(select(GatewayRow.address).where(GatewayRow.name == name)) or ""

    async def take_over(self, silent: Gateway) -> bool:
        """Claim what a process left that was last heard of then; False where it was heard of since, or another has it.

        Who claims and dies is followed by another once the claim has been silent as long.
        """
        same = (GatewayRow.name == silent.name) & (GatewayRow.seen_at == silent.seen_at)
        claim = update(GatewayRow).where(same).values(seen_at=datetime.now(UTC), takes_calls=False)
        async with self._database.session() as session:
            return bool((await session.scalars(claim.returning(GatewayRow.name))).all())

    async def strike(self, name: str) -> None:
        """Take a process off the list, whose calls are cared for."""
        async with self._database.session() as session:
            await session.execute(delete(GatewayRow).where(GatewayRow.name == name))


def own_name() -> str:
    """Return what this process is called in the list and in calls: ``place:pid``."""
    return f"{_place()}:{os.getpid()}"


def place_of(gateway: str) -> str:
    """Return where a process runs: two of one place share process ids and Unix sockets, others do not."""
    return gateway.rpartition(":")[0]


def is_dead(gateway: str, own: str) -> bool:
    """Whether a process of this place, ``place:pid``, runs no more; False for those of other places.

    Its ``own`` name is a predecessor's to a process that is only starting: process ids come again (1 in a container).
    """
    pid = gateway.rpartition(":")[2]
    if place_of(gateway) != place_of(own) or not pid.isdigit():
        return False
    return gateway == own or not _runs(int(pid))


@cache
def _place() -> str:
    """Return the host's name, and a mark of its kernel's start and of its process ids.

    The name alone is not enough: copied machines share it, and containers may, each with process ids of its own.
    """
    marks = []
    with suppress(OSError):  # no Linux: then the name has to do
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(str(Path("/proc/self/ns/pid").readlink()))
    mark = hashlib.sha256(" ".join(marks).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}.{mark}"


def _gateway(row: GatewayRow) -> Gateway:
    return Gateway(row.name, row.seen_at, Told(row.address, row.secret_mark, row.folder_mark))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
