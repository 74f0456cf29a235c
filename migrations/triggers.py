"""Triggers that note in ``changed_calls`` when a call that began long ago changes, so that no query can forget it.

On SQLite a migration that makes ``calls``, ``transfers``, ``scores`` or ``verdicts`` anew (batch_alter_table) drops
theirs: after it, ``make_triggers`` makes what is missing.
"""

import sqlalchemy as sa
from alembic import op

_FIGURES = (
    "created_at, persona_slug, persona_title, status, outcome, answered_at, duration_ms, dynamics, scored_at, score, "
    "coverage, failed_critical, is_test"
)
# Rows are added to these in the transaction that changes their call, never alone.
_PARTS = {
    "transfers": ("at_ms, offset_ms", "SELECT created_at FROM calls WHERE id = OLD.call_id"),
    "scores": ("call_id", "SELECT created_at FROM calls WHERE id = OLD.call_id"),
    "verdicts": (
        "criterion_id, text, verdict",
        "SELECT calls.created_at FROM calls JOIN scores ON scores.call_id = calls.id WHERE scores.id = OLD.score_id",
    ),
}
_OVER = {
    "sqlite": "created_at < strftime('%Y-%m-%d %H\\:%M\\:%f', 'now', '-30 minutes')",
    "postgresql": "created_at < clock_timestamp() - interval '30 minutes'",
}


def make_triggers() -> None:
    """Make the triggers that are not there."""
    dialect = op.get_bind().dialect.name
    for name, table, when, moments in _triggers():
        note = f"INSERT INTO changed_calls (at) SELECT created_at FROM ({moments}) AS moments WHERE {_OVER[dialect]}"  # noqa: S608
        if dialect == "sqlite":
            op.execute(sa.text(f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {when} ON {table} BEGIN {note}; END"))
            continue
        body = f"BEGIN {note}; RETURN NULL; END"
        op.execute(sa.text(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
        each = f"AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
        op.execute(sa.text(f"DROP TRIGGER IF EXISTS {name} ON {table}"))
        op.execute(sa.text(f"CREATE TRIGGER {name} {each}"))


def drop_triggers() -> None:
    """Drop the triggers that are there."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, table, _, _ in _triggers():
        op.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}" + ("" if is_sqlite else f" ON {table}")))
        if not is_sqlite:
            op.execute(sa.text(f"DROP FUNCTION {name}()"))


def _triggers() -> list[tuple[str, str, str, str]]:
    """Return (name, table, when, query for the moments at which the changed calls began)."""
    new, old = "SELECT NEW.created_at AS created_at", "SELECT OLD.created_at AS created_at"
    found = [
        ("calls_inserted", "calls", "INSERT", new),
        ("calls_updated", "calls", f"UPDATE OF {_FIGURES}", f"{old} UNION {new}"),
        ("calls_deleted", "calls", "DELETE", old),
    ]
    for table, (columns, moments) in _PARTS.items():
        found.append((f"{table}_updated", table, f"UPDATE OF {columns}", moments))
        found.append((f"{table}_deleted", table, "DELETE", moments))
    return found
