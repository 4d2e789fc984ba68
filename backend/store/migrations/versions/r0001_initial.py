"""All tables of the first version."""

import sqlalchemy as sa
from alembic import op

from backend.store.tables import Units

revision = "a2_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _block()
    _chain_event()
    _commitment()
    _epoch()
    _leaf()
    _lease()
    _ledger_entry()
    _log_line()
    _logged_fact()
    _order()
    _settlement()
    _tx_attempt()
    _tx_intent()
    _tx_receipt()
    _verdict()
    _workload()


def downgrade() -> None:
    for name in (
        "block",
        "chain_event",
        "commitment",
        "epoch",
        "leaf",
        "lease",
        "ledger_entry",
        "log_line",
        "logged_fact",
        "order",
        "settlement",
        "tx_attempt",
        "tx_intent",
        "tx_receipt",
        "verdict",
        "workload",
    ):
        op.drop_table(name)


def _block() -> None:
    op.create_table(
        "block",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("parent_hash", sa.String(), nullable=False),
        sa.Column("timestamp", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )


def _chain_event() -> None:
    op.create_table(
        "chain_event",
        sa.Column("block_number", sa.Integer(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("ix_chain_event_name", "chain_event", ["name"])


def _commitment() -> None:
    op.create_table(
        "commitment",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("commitment_json", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("amount", Units(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("order_id"),
    )
    op.create_index("ix_commitment_operator_id", "commitment", ["operator_id"])


def _epoch() -> None:
    op.create_table(
        "epoch",
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("closed_at", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("log_root", sa.String(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id"),
    )


def _leaf() -> None:
    op.create_table(
        "leaf",
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("amount", Units(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id", "index"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_leaf_operator_id", "leaf", ["operator_id"])


def _lease() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("granted_at", sa.Integer(), nullable=False),
        sa.Column("expires", sa.Integer(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_lease_expires", "lease", ["expires"])
    op.create_index("ix_lease_node", "lease", ["node"])
    op.create_index("ix_lease_operator_id", "lease", ["operator_id"])
    op.create_index("ix_lease_order_id", "lease", ["order_id"])


def _ledger_entry() -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.Integer(), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reversal", sa.Boolean(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("amount", Units(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_ledger_entry_account", "ledger_entry", ["account"])
    op.create_index("ix_ledger_entry_block_number", "ledger_entry", ["block_number"])


def _log_line() -> None:
    op.create_table(
        "log_line",
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id", "position"),
    )


def _logged_fact() -> None:
    op.create_table(
        "logged_fact",
        sa.Column("fact", sa.String(), nullable=False),
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fact"),
    )
    op.create_index("ix_logged_fact_epoch_id", "logged_fact", ["epoch_id"])


def _order() -> None:
    op.create_table(
        "order",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("workload_id", sa.String(), nullable=False),
        sa.Column("prompt_root", sa.String(), nullable=False),
        sa.Column("order_json", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("spend_cap", Units(), nullable=False),
        sa.Column("max_price", Units(), nullable=False),
        sa.Column("deadline", sa.Integer(), nullable=False),
        sa.Column("accepted_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("ix_order_deadline", "order", ["deadline"])
    op.create_index("ix_order_requester", "order", ["requester"])
    op.create_index("ix_order_workload_id", "order", ["workload_id"])


def _settlement() -> None:
    op.create_table(
        "settlement",
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.Column("void_bits", sa.LargeBinary(), nullable=False),
        sa.Column("skipped_bits", sa.LargeBinary(), nullable=False),
        sa.Column("gas_used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id"),
    )
    op.create_index("ix_settlement_block_number", "settlement", ["block_number"])


def _tx_attempt() -> None:
    op.create_table(
        "tx_attempt",
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("nonce", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("max_fee_wei", Units(), nullable=False),
        sa.Column("tip_wei", Units(), nullable=False),
        sa.Column("sent_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tx_hash"),
    )
    op.create_index("ix_tx_attempt_key", "tx_attempt", ["key"])


def _tx_intent() -> None:
    op.create_table(
        "tx_intent",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("nonce", sa.Integer(), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("gas", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("sender", "nonce"),
    )


def _tx_receipt() -> None:
    op.create_table(
        "tx_receipt",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("block_number", sa.Integer(), nullable=False),
        sa.Column("gas_used", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_tx_receipt_block_number", "tx_receipt", ["block_number"])


def _verdict() -> None:
    op.create_table(
        "verdict",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("commitment_digest", sa.String(), nullable=False),
        sa.Column("verifier", sa.String(), nullable=False),
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("verdict_json", sa.String(), nullable=False),
        sa.Column("opening_json", sa.String(), nullable=True),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("received_at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("commitment_digest", "verifier"),
    )
    op.create_index("ix_verdict_commitment_digest", "verdict", ["commitment_digest"])
    op.create_index("ix_verdict_epoch_id", "verdict", ["epoch_id"])


def _workload() -> None:
    op.create_table(
        "workload",
        sa.Column("workload_id", sa.String(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("fixed_price", Units(), nullable=False),
        sa.Column("unit_price", Units(), nullable=False),
        sa.Column("max_units", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workload_id"),
    )
