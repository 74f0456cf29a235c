"""Calls whose judge is still to come, and scorers that share the calls between them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("score_due_at", sa.DateTime(timezone=True), nullable=True))
        calls.add_column(sa.Column("judge_tries", sa.Integer(), nullable=False, server_default="0"))
        calls.create_index("ix_calls_score_due_at", ["score_due_at"])
    with op.batch_alter_table("calls") as calls:
        calls.alter_column("judge_tries", existing_type=sa.Integer(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.drop_index("ix_calls_score_due_at")
        calls.drop_column("judge_tries")
        calls.drop_column("score_due_at")
