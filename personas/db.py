"""The database: one SQLAlchemy base, one engine a process, SQLite or PostgreSQL."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import DateTime, MetaData, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from personas.errors import DatabaseError as DatabaseError

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in time. SQLite forgets time zones: values go in as UTC and come out aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: object) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of every table; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """One process's connection pool. ``url`` is SQLAlchemy's; a missing async driver is filled in.

    Raises:
        DatabaseError: the URL is no database URL, or of a kind that is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise DatabaseError(
                "PARLEY_DATABASE_URL is not a database URL; try sqlite+aiosqlite:///parley.db"
            ) from None
        parsed = parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))
        self.url = parsed
        is_sqlite = parsed.get_backend_name() == "sqlite"
        # SQLite waits for its one writer instead of failing at once.
        arguments = {"timeout": 15} if is_sqlite else {}
        try:
            if is_sqlite and parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_async_engine(parsed, pool_pre_ping=not is_sqlite, connect_args=arguments)
        except (ImportError, ArgumentError, InvalidRequestError) as error:
            raise DatabaseError(
                f"PARLEY_DATABASE_URL asks for {parsed.drivername}, which can't be used here ({error}); "
                "use sqlite+aiosqlite:///… or postgresql+psycopg://…"
            ) from None
        except OSError as error:
            raise DatabaseError(
                f"PARLEY_DATABASE_URL: the folder of {parsed.database} can't be made ({error.strerror})."
            ) from None
        if is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end of the block, rolled back on any error."""
        async with self._sessions.begin() as session:
            yield session

    async def close(self) -> None:
        await self.engine.dispose()


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # pyright: ignore[reportAttributeAccessIssue]
    # The mode is the file's, not the connection's: whoever finds it locked leaves the change to another.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is erased is not in the file's free pages either
    cursor.close()
