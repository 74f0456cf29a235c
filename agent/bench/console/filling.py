"""Puts a made-up history into a database, thousands of rows at a time; PostgreSQL takes them by COPY."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import URL, Column, create_engine, func, inspect, select

from agent.bench.console.history import History, Persona
from crm.tables import CallRow
from personas import migrate
from personas.db import Base, Database
from personas.library import load_library
from personas.store import PersonaStore

VERSIONS = (0.0, 0.45, 0.8)
"""At which share of the days each version of a card was published."""


class NotEmpty(Exception):
    """The database has calls of its own."""


def check_empty(url: str) -> None:
    """Raise NotEmpty where there are calls; blocks.

    Raises:
        DatabaseError: it can't be reached.
    """
    if migrate.current_revision(url) is None:
        return
    engine = create_engine(migrate.sync_url(url))
    try:
        with engine.connect() as connection:
            if inspect(connection).has_table("calls") and connection.scalar(select(func.count()).select_from(CallRow)):
                raise NotEmpty("The database of --database-url has calls; name an empty one that may be filled.")
    finally:
        engine.dispose()


async def personas_of(url: str) -> list[Persona]:
    """Import the library in three versions each; return who answers."""
    database = Database(url)
    store, cards = PersonaStore(database), load_library()
    for number in range(len(VERSIONS)):
        newer = [card.model_copy(update={"greeting": card.greeting + " Hello!" * number}) for card in cards]
        await store.import_cards(newer)
    for place, card in enumerate(cards):
        await store.set_number(f"+1555010{place:04}", card.slug)
    found = [
        Persona(card, list(zip([each.id for each in reversed(await store.versions(card.slug))], VERSIONS, strict=True)))
        for card in cards
    ]
    await database.close()
    return found


def fill(url: str, history: History, calls: int, batch: int, done: Callable[[int], None]) -> None:
    """Add calls; ``done`` is told how many were added by each piece. Blocks."""
    parsed = migrate.sync_url(url)
    writing = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    with writing as (write, first):
        for rows in history.batches(calls, batch, first=first):
            for name in (table.name for table in Base.metadata.sorted_tables if table.name in rows):
                lines = rows[name]
                columns = [each for each in Base.metadata.tables[name].columns if each.name != "id" or "id" in lines[0]]
                write(name, [each.name for each in columns], _values(columns, lines))
            done(len(rows["calls"]))


_Write = Callable[[str, Sequence[str], Iterator[list[Any]]], None]


def _values(columns: Sequence[Column[Any]], lines: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    missing = {each.name: _default(each) for each in columns}
    for line in lines:
        yield [line.get(name, default) for name, default in missing.items()]


def _default(column: Column[Any]) -> Any:
    if column.default is None:
        return None
    is_made = not column.default.is_scalar  # JSON's only
    return "{}" if is_made else column.default.arg  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def _sqlite(url: URL) -> Iterator[tuple[_Write, int]]:
    """Yield what writes rows, and the next score's id."""
    with closing(sqlite3.connect(url.database or "", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-524288")

        def write(table: str, names: Sequence[str], values: Iterator[list[Any]]) -> None:
            marks = ", ".join("?" * len(names))
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
            connection.execute("BEGIN")
            connection.executemany(statement, ([_plain(value) for value in line] for line in values))
            connection.execute("COMMIT")

        ((first,),) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM scores")
        yield write, first


def _plain(value: Any) -> Any:
    """Return a value as SQLAlchemy would have written it."""
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


@contextmanager
def _postgresql(url: URL) -> Iterator[tuple[_Write, int]]:
    """Yield what writes rows, and the next score's id; at the end the tables are analysed, as autovacuum would."""
    import psycopg

    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:

        def write(table: str, names: Sequence[str], values: Iterator[list[Any]]) -> None:
            command = f"COPY {table} ({', '.join(names)}) FROM STDIN"
            with connection.cursor() as cursor, cursor.copy(command.encode()) as copy:
                for line in values:
                    copy.write_row(line)
            connection.commit()

        ((first,),) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM scores").fetchall()
        yield write, first
        connection.execute("SELECT setval(pg_get_serial_sequence('scores', 'id'), (SELECT max(id) FROM scores))")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
