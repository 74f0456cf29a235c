"""Who may do what: roles of users, and those who sign in by a provider.

Users of before could do everything, so they are admins. Columns get a default for the rows that are there, and lose
it: the code fills them in.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_USERS: dict[str, tuple[Any, str]] = {
    "role": (sa.String(16), "admin"),
    "session_key": (sa.String(32), ""),
    "display_name": (sa.Text(), ""),
    "email": (sa.Text(), ""),
}


def upgrade() -> None:
    with op.batch_alter_table("users") as users:
        for name, (kind, default) in _USERS.items():
            users.add_column(sa.Column(name, kind, nullable=False, server_default=default))
        for name in ("issuer", "subject"):
            users.add_column(sa.Column(name, sa.String(255), nullable=True))
        users.add_column(sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True))
        users.create_unique_constraint("uq_users_issuer", ["issuer", "subject"])
    with op.batch_alter_table("users") as users:
        for name, (kind, _) in _USERS.items():
            users.alter_column(name, existing_type=kind, server_default=None)


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM users WHERE subject IS NOT NULL"))  # who has no password could not sign in
    with op.batch_alter_table("users") as users:
        users.drop_constraint("uq_users_issuer", type_="unique")
        for name in (*_USERS, "issuer", "subject", "signed_in_at"):
            users.drop_column(name)
