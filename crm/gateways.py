"""Which processes take calls of one database, as far as they have been heard of lately."""

import os
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from crm.tables import GatewayRow
from personas.db import Database

ALIVE = timedelta(seconds=30)
"""A process that has not been heard of for so long is gone; one that ends by itself says so.

One that was killed on this host is gone at once.
"""


class Gateways:
    """The list, as one of them sees it: ``name`` is its ``CallStore.gateway``. Raises SQLAlchemy's errors."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def beat(self) -> None:
        """Say that this process takes calls."""
        now = datetime.now(UTC)
        async with self._database.session() as session:
            await session.merge(GatewayRow(name=self._name, seen_at=now))
            await session.execute(delete(GatewayRow).where(GatewayRow.seen_at < now - 10 * ALIVE))

    async def leave(self) -> None:
        """Say that this process takes no more calls."""
        async with self._database.session() as session:
            await session.execute(delete(GatewayRow).where(GatewayRow.name == self._name))

    async def any_other(self) -> bool:
        """Whether another process takes calls."""
        alive = GatewayRow.seen_at > datetime.now(UTC) - ALIVE
        query = select(GatewayRow.name).where(GatewayRow.name != self._name, alive)
        async with self._database.session() as session:
            return not all(is_dead(other, self._name) for other in await session.scalars(query))


def is_dead(gateway: str, own: str) -> bool:
    """Whether a process that this host ran, ``host:pid``, runs no more; False for those of other hosts.

    Its ``own`` name is a predecessor's to a process that is only starting: process ids come again (1 in a container).
    """
    host, _, pid = gateway.rpartition(":")
    own_host, _, own_pid = own.rpartition(":")
    if host != own_host or not pid.isdigit():
        return False
    return pid == own_pid or not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
