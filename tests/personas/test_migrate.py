"""Migrations make exactly the tables that the code declares, and can be taken back."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect

import crm.tables  # noqa: F401
import personas.tables  # noqa: F401
from personas import migrate
from personas.db import Base, DatabaseError

_ROWS_OF_0002 = (
    "INSERT INTO personas (id, slug, created_at) VALUES (1, 'acme-help', '2026-01-01 00:00:00')",
    "INSERT INTO numbers (number, persona_id, created_at) VALUES ('+15550100', 1, '2026-01-01 00:00:00')",
    "INSERT INTO calls (id, carrier, carrier_call_id, account_id, from_number, to_number, persona_title, engine,"
    " status, outcome, reason, role_prompt, gateway, created_at, recording, timing, dynamics, turn_count)"
    " VALUES ('c1', 'twilio', 'CA1', 'AC1', '', '', '', '', 'ended', '', '', '', '', '2026-01-01 00:00:00', '', '{}',"
    " '{}', 1)",
    "INSERT INTO turns (call_id, position, side, start_ms, end_ms, text, words, backchannel)"
    " VALUES ('c1', 0, 'agent', 0, 1, '', '[]', false)",
)


def _tables(url: str) -> set[str]:
    engine = create_engine(migrate.sync_url(url))
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_upgrading_makes_the_declared_tables(empty_database_url: str) -> None:
    assert not migrate.is_current(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.is_current(empty_database_url)
    engine = create_engine(migrate.sync_url(empty_database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_upgrading_twice_changes_nothing(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.upgrade(empty_database_url)
    assert migrate.current_revision(empty_database_url) == migrate.newest_revision()


def test_downgrading_drops_every_table(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.downgrade(empty_database_url, "base")
    assert _tables(empty_database_url) == {"alembic_version"}
    assert migrate.current_revision(empty_database_url) is None
    migrate.upgrade(empty_database_url)
    assert migrate.is_current(empty_database_url)


def test_calls_and_numbers_of_before_keep_their_meaning(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0002")
    engine = create_engine(migrate.sync_url(empty_database_url))
    with engine.begin() as connection:
        for statement in _ROWS_OF_0002:
            connection.exec_driver_sql(statement)
    migrate.upgrade(empty_database_url)
    with engine.begin() as connection:
        call = connection.exec_driver_sql("SELECT part, continues, handoff, voicemail FROM calls").one()
        assert tuple(call) == (1, None, None, "")
        assert connection.exec_driver_sql("SELECT call_id FROM turns").scalar_one() == "c1"
        number = connection.exec_driver_sql("SELECT human_number, on_full, wait_limit_s, out_of_hours FROM numbers")
        assert tuple(number.one()) == ("", "busy", 120, "open")
    migrate.downgrade(empty_database_url, "0002")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT id FROM calls").scalar_one() == "c1"
        assert connection.exec_driver_sql("SELECT call_id FROM turns").scalar_one() == "c1"
    engine.dispose()


def test_customers_of_before_keep_their_number_there_and_back(empty_database_url: str) -> None:
    url = migrate.sync_url(empty_database_url)
    migrate.upgrade(empty_database_url, "0009")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO customers (id, phone_number, name, profile, updated_at)"
            " VALUES (7, '+15550177', 'Kim', 'Has a bicycle.', '2026-01-01 00:00:00')"
        )
    migrate.upgrade(empty_database_url)
    with engine.connect() as connection:
        now = "SELECT name, name_key, number FROM customers JOIN customer_numbers ON customers.id = customer_id"
        assert connection.exec_driver_sql(now).all() == [("Kim", "kim", "+15550177")]
    migrate.downgrade(empty_database_url, "0009")
    with engine.connect() as connection:
        before = "SELECT id, phone_number, name, profile FROM customers"
        assert connection.exec_driver_sql(before).all() == [(7, "+15550177", "Kim", "Has a bicycle.")]
    engine.dispose()


def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    program = "import sys; from personas.migrate import upgrade; upgrade(sys.argv[1])"
    command = [sys.executable, "-c", program, empty_database_url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors.decode()
    assert migrate.is_current(empty_database_url)


def test_threads_that_start_together_migrate_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_database_url] * 4))
    assert migrate.is_current(empty_database_url)


def test_a_database_of_a_newer_version_is_refused(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    engine = create_engine(migrate.sync_url(empty_database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    assert not migrate.is_current(empty_database_url)
    with pytest.raises(DatabaseError, match="newer Parley"):
        migrate.upgrade(empty_database_url)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("sqlite+aiosqlite://", "SQLite file"),
        ("not a url", "not a database URL"),
        ("postgresql://somebody:secret@127.0.0.1:1/parley", "Connection refused"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str, remedy: str) -> None:
    with pytest.raises(DatabaseError, match=remedy) as caught:
        migrate.upgrade(url)
    assert "secret" not in str(caught.value)
