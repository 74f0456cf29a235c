"""Which processes take calls of one database, as far as they have been heard of lately."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from crm.tables import GatewayRow
from personas.db import Database

ALIVE = timedelta(seconds=30)
"""A process that has not been heard of for so long is gone; one that ends by itself says so."""


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
        query = select(GatewayRow.name).where(GatewayRow.name != self._name, alive).limit(1)
        async with self._database.session() as session:
            return (await session.execute(query)).first() is not None
