"""Facts as tables. Nothing here is a status: what a job's state is follows from these rows, the chain's and the time.

Amounts are units of the token (see the constant `unit_wei`), as NUMERIC(78,0) so that every uint256 fits; times are
Unix seconds.
Every table has a natural key, so that the same fact written twice is one row.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Numeric, TypeDecorator, UniqueConstraint
from sqlmodel import Field, SQLModel


class Units(TypeDecorator[int]):
    """A whole number of up to 78 digits. SQLite keeps it as text, since its NUMERIC would round to a float."""

    impl = Numeric(78, 0)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        from sqlalchemy import String

        return dialect.type_descriptor(String(78) if dialect.name == "sqlite" else Numeric(78, 0))

    def process_bind_param(self, value: int | None, dialect: Any) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return str(value)

    def process_result_value(self, value: Any, dialect: Any) -> int | None:
        return None if value is None else int(value if isinstance(value, str | int) else Decimal(value))


def units_column(*, nullable: bool = False) -> Any:
    """A column for an amount."""
    return Field(sa_column=Column(Units(), nullable=nullable))


class WorkloadRow(SQLModel, table=True):
    """A workload on offer: its canonical manifest and the price sheet's line."""

    __tablename__ = "workload"
    workload_id: str = Field(primary_key=True)
    manifest: bytes
    fixed_price: int = units_column()
    unit_price: int = units_column()
    max_units: int


class OrderRow(SQLModel, table=True):
    """An accepted order. `order_json` is the Order record, `max_price` and `spend_cap` repeat its amounts for sums.

    `read_tokens` and `written_tokens`: the most that it makes an engine do; 0 where nobody will run it any more.
    """

    __tablename__ = "order"
    order_id: str = Field(primary_key=True)
    requester: str = Field(index=True)
    signer: str
    workload_id: str = Field(index=True)
    prompt_root: str
    order_json: str
    signature: str
    spend_cap: int = units_column()
    max_price: int = units_column()
    deadline: int = Field(index=True)
    accepted_at: int
    read_tokens: int = 0
    written_tokens: int = 0


class LeaseRow(SQLModel, table=True):
    """A lease as first granted; `expires` moves forward with heartbeats, each signed anew."""

    __tablename__ = "lease"
    id: int | None = Field(default=None, primary_key=True)
    order_id: str = Field(index=True)
    node: str = Field(index=True)
    operator_id: int = Field(index=True)
    granted_at: int
    expires: int = Field(index=True)
    signature: str


class PresenceRow(SQLModel, table=True):
    """When a node last asked for a job of a workload, or sent a heartbeat since, and by which of its sessions."""

    __tablename__ = "presence"
    workload_id: str = Field(primary_key=True)
    node: str = Field(primary_key=True, index=True)
    asked_at: int = Field(index=True)
    session: str | None = None


class ReturnRow(SQLModel, table=True):
    """A job that a node gave back, and why: its lease ended then. It is not lent to that node again."""

    __tablename__ = "returned"
    order_id: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    reason: str
    words: str
    returned_at: int


class CanaryRow(SQLModel, table=True):
    """An order of the network's own that is kept for one node: its canary job. One an operator."""

    __tablename__ = "canary"
    operator_id: int = Field(primary_key=True)
    order_id: str = Field(unique=True)
    node: str


class CommitmentRow(SQLModel, table=True):
    """A node's commitment, accepted within its lease. One an order."""

    __tablename__ = "commitment"
    digest: str = Field(primary_key=True)
    order_id: str = Field(unique=True)
    node: str
    operator_id: int = Field(index=True)
    commitment_json: str
    signature: str
    amount: int = units_column()
    received_at: int


class EquivocationRow(SQLModel, table=True):
    """Another commitment that the same node signed to an order that it had answered. The first such one."""

    __tablename__ = "equivocation"
    order_id: str = Field(primary_key=True)
    commitment_json: str
    signature: str
    received_at: int


class VerdictRow(SQLModel, table=True):
    """A verifier's verdict on a row of an epoch. One a verifier and commitment."""

    __tablename__ = "verdict"
    __table_args__ = (UniqueConstraint("commitment_digest", "verifier"),)
    digest: str = Field(primary_key=True)
    epoch_id: int = Field(index=True)
    commitment_digest: str = Field(index=True)
    verifier: str
    operator_id: int
    verdict_json: str
    opening_json: str | None
    observation: str | None = None
    signature: str
    received_at: int


class TraceRow(SQLModel, table=True):
    """What a node has shown of the trace behind its commitment. One a commitment."""

    __tablename__ = "trace"
    commitment_digest: str = Field(primary_key=True)
    trace: str
    received_at: int


class EpochRow(SQLModel, table=True):
    """An epoch closed by the backend: its root is fixed before it is posted."""

    __tablename__ = "epoch"
    epoch_id: int = Field(primary_key=True)
    closed_at: int
    root: str
    log_root: str
    row_count: int


class LeafRow(SQLModel, table=True):
    """A row of an epoch in order: a job's commitment, or the verdict of a check in the treasury's lane."""

    __tablename__ = "leaf"
    epoch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    kind: str
    digest: str = Field(unique=True)
    requester: str
    signer: str
    operator_id: int = Field(index=True)
    amount: int = units_column()


class LogLineRow(SQLModel, table=True):
    """A line of the published log."""

    __tablename__ = "log_line"
    epoch_id: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    line: bytes
