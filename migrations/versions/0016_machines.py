"""Processes say where other machines reach them, whether they take calls, and what all machines must share.

The list is of processes that run: it begins anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = {
    "takes_calls": sa.Boolean(),
    "address": sa.Text(),
    "secret_mark": sa.String(32),
    "folder_mark": sa.String(32),
}


def upgrade() -> None:
    op.execute(sa.text("DELETE FROM gateways"))
    with op.batch_alter_table("gateways") as gateways:
        for name, kind in _COLUMNS.items():
            gateways.add_column(sa.Column(name, kind, nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("gateways") as gateways:
        for name in _COLUMNS:
            gateways.drop_column(name)
