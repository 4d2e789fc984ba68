"""Jobs that were given back, and how much an order makes an engine do."""

import sqlalchemy as sa
from alembic import op

revision = "a2_0005"
down_revision = "a2_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "returned",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("returned_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "node"),
    )
    for name in ("read_tokens", "written_tokens"):
        op.add_column("order", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("written_tokens", "read_tokens"):
        op.drop_column("order", name)
    op.drop_table("returned")
