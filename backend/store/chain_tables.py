"""What the backend knows of the chain and what it sent: confirmed blocks and logs, transactions, the ledger.

Rows of `block`, `chain_event`, `settlement` and `ledger_entry` are copies of confirmed chain facts. A reorg reverses
the ledger entries of an orphaned block with opposite ones and forgets its copies; replaying the logs rebuilds the same
rows.
"""

from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from backend.store.tables import units_column


class BlockRow(SQLModel, table=True):
    """A confirmed block that the indexer has read."""

    __tablename__ = "block"
    number: int = Field(primary_key=True)
    hash: str
    parent_hash: str
    timestamp: int


class ChainEventRow(SQLModel, table=True):
    """A confirmed event. `args`: bytes as 0x hex, integers beyond 2^53 as they are (JSON integers)."""

    __tablename__ = "chain_event"
    block_number: int = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    contract: str
    name: str = Field(index=True)
    args: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    block_hash: str
    tx_hash: str


class SettlementRow(SQLModel, table=True):
    """How an epoch was settled, from its event and the calldata of its transaction."""

    __tablename__ = "settlement"
    epoch_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    tx_hash: str
    packed: bytes
    void_bits: bytes
    skipped_bits: bytes
    gas_used: int


class TxIntentRow(SQLModel, table=True):
    """A transaction that has to happen, written before it is sent. `key` names what it is for and is unique."""

    __tablename__ = "tx_intent"
    __table_args__ = (UniqueConstraint("sender", "nonce"),)
    key: str = Field(primary_key=True)
    sender: str
    nonce: int
    to: str
    data: bytes
    gas: int
    created_at: int


class TxAttemptRow(SQLModel, table=True):
    """One signed transaction of an intent: its hash is known before it is sent."""

    __tablename__ = "tx_attempt"
    tx_hash: str = Field(primary_key=True)
    key: str = Field(index=True)
    sender: str
    nonce: int
    raw: bytes
    max_fee_wei: int = units_column()
    tip_wei: int = units_column()
    sent_at: int


class TxReceiptRow(SQLModel, table=True):
    """How an intent ended, once its transaction had enough confirmations. `error`: why it was reverted, or null."""

    __tablename__ = "tx_receipt"
    key: str = Field(primary_key=True)
    tx_hash: str
    block_number: int = Field(index=True)
    gas_used: int
    error: str | None


class LoggedFactRow(SQLModel, table=True):
    """In which epoch's log a fact stands that is published once: `workload:<id>` or `verdict:<digest>`."""

    __tablename__ = "logged_fact"
    fact: str = Field(primary_key=True)
    epoch_id: int = Field(index=True)


class LedgerEntryRow(SQLModel, table=True):
    """One side of a posting: entries of one (block, log, reversal) sum to zero. Units of the token.

    Accounts: see backend.domain.ledger. `slashed` is zero outside a transaction.
    """

    __tablename__ = "ledger_entry"
    id: int | None = Field(default=None, primary_key=True)
    block_number: int = Field(index=True)
    block_hash: str
    log_index: int
    line: int
    reversal: bool
    account: str = Field(index=True)
    amount: int = units_column()
    reason: str
