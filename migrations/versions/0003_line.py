"""What becomes of a call on the line: parts, hand-offs, voicemail; settings of numbers.

The columns get a default for the rows that are there, and lose it: the code fills them in.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CALLS: dict[str, tuple[Any, str]] = {
    "part": (sa.Integer(), "1"),
    "handoff_result": (sa.String(16), ""),
    "leg_id": (sa.String(128), ""),
    "voicemail": (sa.Text(), ""),
}
_NUMBERS: dict[str, tuple[Any, str]] = {
    "human_number": (sa.String(16), ""),
    "on_full": (sa.String(8), "busy"),
    "wait_limit_s": (sa.Integer(), "120"),
    "hours": (sa.Text(), ""),
    "timezone": (sa.String(64), ""),
    "out_of_hours": (sa.String(64), "open"),
    "queue_name": (sa.String(64), ""),
}
_CONTINUES = "fk_calls_continues_calls"


def upgrade() -> None:
    _add("numbers", _NUMBERS)
    _add("calls", _CALLS)
    with op.batch_alter_table("calls") as calls:
        for name in ("handoff", "asked"):
            calls.add_column(sa.Column(name, sa.JSON(), nullable=True))
        calls.add_column(sa.Column("continues", sa.String(32), nullable=True))
        calls.create_foreign_key(_CONTINUES, "calls", ["continues"], ["id"], ondelete="SET NULL")
        calls.drop_constraint("uq_calls_carrier", type_="unique")
        calls.create_unique_constraint("uq_calls_carrier", ["carrier", "carrier_call_id", "part"])


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM calls WHERE part > 1"))
    with op.batch_alter_table("calls") as calls:
        calls.drop_constraint("uq_calls_carrier", type_="unique")
        calls.create_unique_constraint("uq_calls_carrier", ["carrier", "carrier_call_id"])
        calls.drop_constraint(_CONTINUES, type_="foreignkey")
        for name in ("continues", "handoff", "asked", *_CALLS):
            calls.drop_column(name)
    with op.batch_alter_table("numbers") as numbers:
        for name in _NUMBERS:
            numbers.drop_column(name)


def _add(table: str, columns: dict[str, tuple[Any, str]]) -> None:
    with op.batch_alter_table(table) as altered:
        for name, (kind, default) in columns.items():
            altered.add_column(sa.Column(name, kind, nullable=False, server_default=default))
    with op.batch_alter_table(table) as altered:
        for name, (kind, _) in columns.items():
            altered.alter_column(name, existing_type=kind, server_default=None)
