"""Runs the migrations in one transaction on either database; two processes may try at the same time."""

from alembic import context
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection

import crm.tables  # noqa: F401  (tables register themselves when imported)
import personas.tables  # noqa: F401
from personas.db import Base
from personas.migrate import sync_url

LOCK = 0x7061726C6579  # any number that nobody else locks: "parley" in ASCII


def _connect() -> None:
    url = sync_url(context.config.attributes["database_url"])
    engine = create_engine(url)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            _migrate(connection)
    finally:
        engine.dispose()


def _leave_transactions_to_us(connection: object, _record: object) -> None:
    # Python's sqlite3 would commit before each CREATE TABLE; so a half-done migration could stay.
    connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue]
    connection.execute("PRAGMA busy_timeout=15000")  # pyright: ignore[reportAttributeAccessIssue]


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    context.run_migrations()


_connect()
