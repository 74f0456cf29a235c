"""Pages over many calls: sums of days that are kept until a call of theirs changes, and indices for the list.

Triggers note the changes, so that no query can forget it. On SQLite a migration that makes ``calls``, ``transfers``,
``scores`` or ``verdicts`` anew (batch_alter_table) drops theirs and has to call ``make_triggers`` again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0009"
branch_labels = None
depends_on = None

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
    "sqlite": "created_at < strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')",
    "postgresql": "created_at < clock_timestamp() - interval '30 minutes'",
}
_INDICES = {
    "ix_calls_outcome": ("outcome", "created_at", "id"),
    "ix_calls_persona_outcome": ("persona_slug", "outcome", "created_at", "id"),
}


def upgrade() -> None:
    op.create_table(
        "kept_days",
        sa.Column("begin", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("waits", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("begin", name="pk_kept_days"),
    )
    op.create_table(
        "changed_calls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changed_calls"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changed_calls_at", "changed_calls", ["at"])
    for name, columns in _INDICES.items():
        op.create_index(name, "calls", columns)
    tests = sa.column("is_test", sa.Boolean()).is_(True)  # as the query has it, or SQLite won't take the index
    op.create_index("ix_calls_tests", "calls", ["created_at", "id"], sqlite_where=tests, postgresql_where=tests)
    op.drop_index("ix_calls_scored_at", "calls")
    unscored = sa.text("scored_at IS NULL AND turn_count > 0")
    op.create_index("ix_calls_unscored", "calls", ["created_at"], sqlite_where=unscored, postgresql_where=unscored)
    make_triggers()


def downgrade() -> None:
    for name, table, _, _ in _triggers():
        on = f" ON {table}" if op.get_bind().dialect.name == "postgresql" else ""
        op.execute(sa.text(f"DROP TRIGGER {name}{on}"))
    if op.get_bind().dialect.name == "postgresql":
        for name, _, _, _ in _triggers():
            op.execute(sa.text(f"DROP FUNCTION {name}()"))
    for name in ("ix_calls_unscored", "ix_calls_tests", *_INDICES):
        op.drop_index(name, "calls")
    op.create_index("ix_calls_scored_at", "calls", ["scored_at", "created_at"])
    op.drop_table("changed_calls")
    op.drop_table("kept_days")


def make_triggers() -> None:
    """Make the triggers, on tables that have none of them."""
    dialect = op.get_bind().dialect.name
    for name, table, when, moments in _triggers():
        note = f"INSERT INTO changed_calls (at) SELECT created_at FROM ({moments}) AS moments WHERE {_OVER[dialect]}"  # noqa: S608
        if dialect == "sqlite":
            op.execute(sa.text(f"CREATE TRIGGER {name} AFTER {when} ON {table} BEGIN {note}; END".replace(":", "\\:")))
            continue
        body = f"BEGIN {note}; RETURN NULL; END"
        op.execute(sa.text(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
        op.execute(sa.text(f"CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"))


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
