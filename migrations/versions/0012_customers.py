"""Customers with several numbers, found by name; and who called, as the agent was told."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("customer", sa.JSON(), nullable=True))
    known = op.get_bind().execute(sa.text("SELECT id, phone_number FROM customers")).all()
    with op.batch_alter_table("customers") as customers:
        customers.drop_constraint("uq_customers_phone_number", type_="unique")
        customers.drop_column("phone_number")
        customers.add_column(sa.Column("name_key", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("name_key", server_default=None)
    op.execute(sa.text("UPDATE customers SET name_key = lower(substr(name, 1, 200))"))
    op.create_index("ix_customers_name_key", "customers", ["name_key", "id"])
    numbers = op.create_table(
        "customer_numbers",
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.id"],
            name="fk_customer_numbers_customer_id_customers",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_customer_numbers"),
    )
    op.create_index("ix_customer_numbers_customer_id", "customer_numbers", ["customer_id"])
    op.bulk_insert(numbers, [{"number": row.phone_number, "customer_id": row.id, "place": 0} for row in known])


def downgrade() -> None:
    """Every customer keeps the first of their numbers."""
    first = sa.text("SELECT customer_id, number FROM customer_numbers WHERE place = 0")
    numbers = op.get_bind().execute(first).all()
    op.drop_table("customer_numbers")
    op.drop_index("ix_customers_name_key", "customers")
    with op.batch_alter_table("customers") as customers:
        customers.drop_column("name_key")
        customers.add_column(sa.Column("phone_number", sa.String(64), nullable=True))
    for row in numbers:
        back = sa.text("UPDATE customers SET phone_number = :number WHERE id = :id")
        op.get_bind().execute(back, {"number": row.number, "id": row.customer_id})
    op.execute(sa.text("DELETE FROM customers WHERE phone_number IS NULL"))
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("phone_number", existing_type=sa.String(64), nullable=False)
        customers.create_unique_constraint("uq_customers_phone_number", ["phone_number"])
    with op.batch_alter_table("calls") as calls:
        calls.drop_column("customer")
