"""Pages over many calls: sums of days that are kept until a call of theirs changes, and indices for the list."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import drop_triggers, make_triggers

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

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
    op.drop_index("ix_verdicts_criterion_id", "verdicts")  # no query looks for one criterion
    unscored = sa.text("scored_at IS NULL AND turn_count > 0")
    op.create_index("ix_calls_unscored", "calls", ["created_at"], sqlite_where=unscored, postgresql_where=unscored)
    make_triggers()


def downgrade() -> None:
    drop_triggers()
    for name in ("ix_calls_unscored", "ix_calls_tests", *_INDICES):
        op.drop_index(name, "calls")
    op.create_index("ix_calls_scored_at", "calls", ["scored_at", "created_at"])
    op.create_index("ix_verdicts_criterion_id", "verdicts", ["criterion_id"])
    op.drop_table("changed_calls")
    op.drop_table("kept_days")
