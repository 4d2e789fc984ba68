"""Traces that nodes have shown, what verdicts on native work rest on, and second answers to one order."""

import sqlalchemy as sa
from alembic import op

revision = "a2_0003"
down_revision = "a2_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trace",
        sa.Column("commitment_digest", sa.String(), nullable=False),
        sa.Column("trace", sa.String(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("commitment_digest"),
    )
    op.create_table(
        "equivocation",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("commitment_json", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.add_column("verdict", sa.Column("observation", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("verdict", "observation")
    op.drop_table("equivocation")
    op.drop_table("trace")
