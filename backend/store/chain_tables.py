"""Tables of the chain's facts and the backend's transactions: confirmed blocks and logs, transactions, the ledger.

Rows of `block`, `chain_event`, `settlement` and `ledger_entry` are copies of confirmed chain facts. After a reorg the
copies of orphaned blocks are deleted and their ledger entries reversed; replaying the logs rebuilds the same rows.
"""

from typing import Any

from sqlalchemy import JSON, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from backend.store.tables import units_column


class BlockRow(SQLModel, table=True):
    """A confirmed block that the indexer has read."""

    __tablename__ = "block"
    number: int = Field(primary_key=True)
    hash: str
    parent_hash: str
    timestamp: int = Field(index=True)


class ChainEventRow(SQLModel, table=True):
    """A confirmed event. `args`: bytes as 0x hex, integers beyond 2^53 as they are (JSON integers).

    `subject` and `operator_id` repeat arguments, so that an event is found without reading the others of its name:
    what the event is about (`event_rows.subject_of`), and its `operatorId` if it has one.
    """

    __tablename__ = "chain_event"
    __table_args__ = (
        Index("ix_chain_event_place", "name", "block_number", "log_index"),
        Index("ix_chain_event_subject", "name", "subject"),
        Index("ix_chain_event_operator", "name", "operator_id"),
    )
    block_number: int = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    contract: str
    name: str
    subject: str
    operator_id: int | None
    args: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    block_hash: str
    tx_hash: str


class SettlementRow(SQLModel, table=True):
    """An epoch's settlement, from its event and the calldata of its transaction."""

    __tablename__ = "settlement"
    epoch_id: int = Field(primary_key=True)
    block_number: int = Field(index=True)
    tx_hash: str
    packed: bytes
    void_bits: bytes
    skipped_bits: bytes
    gas_used: int


class TxIntentRow(SQLModel, table=True):
    """A transaction to be sent, written before it is sent. `key` names its purpose and is unique."""

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
    """The end of an intent, once its transaction had enough confirmations. `error`: why it reverted, or null."""

    __tablename__ = "tx_receipt"
    key: str = Field(primary_key=True)
    tx_hash: str
    block_number: int = Field(index=True)
    gas_used: int
    error: str | None


class LoggedFactRow(SQLModel, table=True):
    """The epoch whose log has a fact that is published once: `workload:<id>`, `verdict:<digest>`, `trace:<digest>`."""

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
