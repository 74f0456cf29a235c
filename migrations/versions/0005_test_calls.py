"""Calls that were made from a browser to try a persona: marked, so that no figure counts them.

The column gets a default for the rows that are there, and loses it: the code fills it in.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("is_test", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("calls") as calls:
        calls.alter_column("is_test", existing_type=sa.Boolean(), server_default=None)


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM calls WHERE is_test"))
    with op.batch_alter_table("calls") as calls:
        calls.drop_column("is_test")
