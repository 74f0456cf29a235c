"""Brings a database to the schema this version of Parley needs; Alembic without its ini file."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import SQLAlchemyError

from personas.db import Database, DatabaseError

_SYNC_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_one_thread = Lock()  # Alembic hands env.py its context through module variables


def upgrade(database_url: str, revision: str = "head") -> None:
    """Create or update the tables. Blocks: call it in a thread. Harmless when nothing is to be done.

    Raises:
        DatabaseError: the database can't be reached, or was made by a newer Parley.
    """
    _run(command.upgrade, database_url, revision)


def downgrade(database_url: str, revision: str) -> None:
    """Go back to ``revision`` ("base" drops every table); blocks and raises like ``upgrade``."""
    _run(command.downgrade, database_url, revision)


def newest_revision() -> str:
    """Return the revision that ``upgrade`` leads to."""
    return ScriptDirectory.from_config(_config("")).get_current_head() or ""


def current_revision(database_url: str) -> str | None:
    """Return the revision the database is at, None when it has no tables yet; blocks, raises like ``upgrade``."""
    url = sync_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    try:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return MigrationContext.configure(connection).get_current_revision()
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise _unusable(error) from error


def is_current(database_url: str) -> bool:
    """Return whether the database's schema is this version's; blocks, raises like ``upgrade``."""
    return current_revision(database_url) == newest_revision()


def make_ready(database_url: str) -> None:
    """Bring SQLite up to date; a shared database is migrated by whoever runs it. Blocks.

    Raises:
        DatabaseError: it can't be used, or is not up to date.
    """
    if sync_url(database_url).get_backend_name() == "sqlite":
        upgrade(database_url)
    elif not is_current(database_url):
        raise DatabaseError("The database's tables are not there or not this version's; run `parley db upgrade` first.")


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Database]:
    """Open a database for a command, made ready first, and close it afterwards; raises like ``make_ready``."""
    await asyncio.to_thread(make_ready, database_url)
    database = Database(database_url)
    try:
        yield database
    finally:
        await database.close()


def sync_url(database_url: str) -> URL:
    """Return ``database_url`` with the blocking driver that migrations use.

    Raises:
        DatabaseError: neither SQLite in a file nor PostgreSQL.
    """
    url = Database(database_url).url
    driver = _SYNC_DRIVERS.get(url.get_backend_name())
    if driver is None or (driver.startswith("sqlite") and url.database in (None, "", ":memory:")):
        raise DatabaseError("PARLEY_DATABASE_URL must name a SQLite file or a PostgreSQL database.")
    return url.set(drivername=driver)


def _run(action: Callable[[Config, str], None], database_url: str, revision: str) -> None:
    try:
        with _one_thread:
            action(_config(database_url), revision)
    except CommandError as error:
        raise DatabaseError(
            f"The database can't be migrated ({error}); it may have been made by a newer Parley: install that one."
        ) from error
    except (SQLAlchemyError, ImportError) as error:
        raise _unusable(error) from error


def _config(database_url: str) -> Config:
    # As an attribute, not an option: options go through ConfigParser, which would read a % in a password.
    config = Config(attributes={"database_url": database_url})
    spec = find_spec("migrations")
    assert spec is not None
    assert spec.origin is not None
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _unusable(error: Exception) -> DatabaseError:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return DatabaseError(
        f"The database of PARLEY_DATABASE_URL can't be used: {reason.rstrip('.')}. "
        "See that it runs and that address, name, user and password in the URL are right."
    )
