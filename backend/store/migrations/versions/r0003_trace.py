"""Traces that nodes have shown."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
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


def downgrade() -> None:
    op.drop_table("trace")
