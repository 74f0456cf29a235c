"""Calls that are held, and what is, or is being, removed of a call.

The columns get a default for the rows that are there, and lose it: the code fills them in.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAMES = ("erasing", "erased")


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("hold", sa.JSON(), nullable=True))
        calls.add_column(sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
        for name in _NAMES:
            calls.add_column(sa.Column(name, sa.String(16), nullable=False, server_default=""))
    with op.batch_alter_table("calls") as calls:
        for name in _NAMES:
            calls.alter_column(name, existing_type=sa.String(16), server_default=None)
    op.create_index("ix_calls_erasing", "calls", ["erasing", "id"])
    op.create_index("ix_calls_erased", "calls", ["erased", "created_at"])


def downgrade() -> None:
    for name in _NAMES:
        op.drop_index(f"ix_calls_{name}", "calls")
    with op.batch_alter_table("calls") as calls:
        for name in ("erased_at", "hold", *_NAMES):
            calls.drop_column(name)
