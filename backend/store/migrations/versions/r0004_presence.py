"""Which nodes asked for work of which workload lately."""

import sqlalchemy as sa
from alembic import op

revision = "a2_0004"
down_revision = "a2_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "presence",
        sa.Column("workload_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Integer(), nullable=False),
        sa.Column("session", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("workload_id", "node"),
    )
    op.create_index("ix_presence_node", "presence", ["node"])
    op.create_index("ix_presence_asked_at", "presence", ["asked_at"])


def downgrade() -> None:
    op.drop_table("presence")
