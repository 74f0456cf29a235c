"""Personas that were put away; and none that answers a number can be deleted, which until now untied the number."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NUMBERS = "fk_numbers_persona_id_personas"


def upgrade() -> None:
    op.add_column("personas", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    _refer(ondelete="RESTRICT")


def downgrade() -> None:
    _refer(ondelete="CASCADE")
    with op.batch_alter_table("personas") as personas:
        personas.drop_column("archived_at")


def _refer(*, ondelete: str) -> None:
    with op.batch_alter_table("numbers") as numbers:
        numbers.drop_constraint(_NUMBERS, type_="foreignkey")
        numbers.create_foreign_key(_NUMBERS, "personas", ["persona_id"], ["id"], ondelete=ondelete)
