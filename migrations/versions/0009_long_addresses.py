"""Callers and numbers of up to 256 characters, as Twilio sends addresses of SIP: a call from one was not answered."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NAMES = ("from_number", "to_number")


def upgrade() -> None:
    _alter(64, 256)


def downgrade() -> None:
    for name in _NAMES:
        op.execute(sa.text(f"UPDATE calls SET {name} = substr({name}, 1, 64) WHERE length({name}) > 64"))  # noqa: S608
    _alter(256, 64)


def _alter(old: int, new: int) -> None:
    with op.batch_alter_table("calls") as calls:
        for name in _NAMES:
            calls.alter_column(name, existing_type=sa.String(old), type_=sa.String(new), existing_nullable=False)
