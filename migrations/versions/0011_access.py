"""Who did what: the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INDEXES = {
    "at": ["at", "id"],
    "actor": ["actor_name", "at", "id"],
    "action": ["action", "at", "id"],
    "subject": ["subject_id", "action", "at"],
}


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_name", sa.String(128), nullable=False),
        sa.Column("actor_id", sa.String(32), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.String(128), nullable=False),
        sa.Column("subject_title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_audit_entries_{name}", "audit_entries", columns)


def downgrade() -> None:
    op.drop_table("audit_entries")
