"""When a draft was first tried in a test call: what a call refers to is not overwritten any more."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("persona_versions", sa.Column("tested_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("persona_versions") as versions:
        versions.drop_column("tested_at")
