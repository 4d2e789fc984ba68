"""Facts as tables. No status is stored: a job's state follows from these rows, the chain's and the time.

Amounts are units of the token (see the constant `unit_wei`); times are Unix seconds. Every table has a natural key, so
that the same fact written twice is one row.
"""

from typing import Any

from sqlalchemy import Column, String, TypeDecorator, UniqueConstraint
from sqlmodel import Field, SQLModel

from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row
from contracts.protocol.pace import JobSize
from contracts.protocol.records import Commitment, Opening, Order, Verdict


class Units(TypeDecorator[int]):
    """A uint256: up to 78 digits. Kept as text, since SQLite's NUMERIC would round to a float."""

    impl = String(78)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        return None if value is None else int(value)


def units_column() -> Any:
    return Field(sa_column=Column(Units(), nullable=False))


class WorkloadRow(SQLModel, table=True):
    """A workload on offer: its canonical manifest and the price sheet's line."""

    __tablename__ = "workload"
    workload_id: str = Field(primary_key=True)
    manifest: bytes
    fixed_price: int = units_column()
    unit_price: int = units_column()
    max_units: int

    @property
    def record(self) -> Manifest:
        return Manifest.model_validate_json(self.manifest)


class OrderRow(SQLModel, table=True):
    """An accepted order. `order_json` is the Order record, `max_price` and `spend_cap` repeat its amounts for sums.

    `read_tokens` and `written_tokens`: the most work that an engine may have with it; 0 in recovered rows, whose orders
    nobody runs again.
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

    @property
    def record(self) -> Order:
        return Order.model_validate_json(self.order_json)

    @staticmethod
    def of(order_id: str, order: Order, signer: str, signature: str, accepted_at: int, size: JobSize) -> "OrderRow":
        terms = order.terms
        return OrderRow(
            order_id=order_id, requester=order.requester, signer=signer, workload_id=terms.workload_id,
            prompt_root=terms.prompt_root, order_json=order.model_dump_json(), signature=signature,
            spend_cap=order.spend_cap, max_price=terms.max_price, deadline=terms.deadline, accepted_at=accepted_at,
            read_tokens=size.read_tokens, written_tokens=size.written_tokens,
        )  # fmt: skip


class LeaseRow(SQLModel, table=True):
    """A lease as first granted; `expires` moves forward with heartbeats, each signed again."""

    __tablename__ = "lease"
    id: int | None = Field(default=None, primary_key=True)
    order_id: str = Field(index=True)
    node: str = Field(index=True)
    operator_id: int = Field(index=True)
    granted_at: int
    expires: int = Field(index=True)
    signature: str


class PresenceRow(SQLModel, table=True):
    """When a node last asked for a job of a workload or sent a heartbeat, and which of its sessions did."""

    __tablename__ = "presence"
    workload_id: str = Field(primary_key=True)
    node: str = Field(primary_key=True, index=True)
    asked_at: int = Field(index=True)
    session: str | None = None


class ReturnRow(SQLModel, table=True):
    """A job that a node gave back, and why. Its lease ended then; the job is not lent to that node again."""

    __tablename__ = "returned"
    order_id: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    reason: str
    words: str
    returned_at: int


class CanaryRow(SQLModel, table=True):
    """An operator's canary job: an order of the network's own, kept for one node. One per operator."""

    __tablename__ = "canary"
    operator_id: int = Field(primary_key=True)
    order_id: str = Field(unique=True)
    node: str


class CommitmentRow(SQLModel, table=True):
    """A node's commitment, accepted within its lease. One per order."""

    __tablename__ = "commitment"
    digest: str = Field(primary_key=True)
    order_id: str = Field(unique=True)
    node: str
    operator_id: int = Field(index=True)
    commitment_json: str
    signature: str
    amount: int = units_column()
    received_at: int

    @property
    def record(self) -> Commitment:
        return Commitment.model_validate_json(self.commitment_json)

    @staticmethod
    def of(
        digest: str, commitment: Commitment, signature: str, operator_id: int, amount: int, received_at: int
    ) -> "CommitmentRow":
        return CommitmentRow(
            digest=digest, order_id=commitment.order_id, node=commitment.node, operator_id=operator_id,
            commitment_json=commitment.model_dump_json(), signature=signature, amount=amount, received_at=received_at,
        )  # fmt: skip


class EquivocationRow(SQLModel, table=True):
    """The first other commitment that a node signed to an order that it had already answered."""

    __tablename__ = "equivocation"
    order_id: str = Field(primary_key=True)
    commitment_json: str
    signature: str
    received_at: int

    @property
    def record(self) -> Commitment:
        return Commitment.model_validate_json(self.commitment_json)


class VerdictRow(SQLModel, table=True):
    """A verifier's verdict on a row of an epoch. One per verifier and commitment. `operator_id`: its account."""

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

    @staticmethod
    def of(
        digest: str, epoch_id: int, verdict: Verdict, opening: Opening | None, observation: str | None,
        signature: str, operator_id: int, received_at: int,
    ) -> "VerdictRow":  # fmt: skip
        return VerdictRow(
            digest=digest, epoch_id=epoch_id, commitment_digest=verdict.commitment_digest, verifier=verdict.verifier,
            operator_id=operator_id, verdict_json=verdict.model_dump_json(), observation=observation,
            opening_json=None if opening is None else opening.model_dump_json(), signature=signature,
            received_at=received_at,
        )  # fmt: skip


class TraceRow(SQLModel, table=True):
    """The trace that a node has shown for its commitment. One per commitment."""

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
    """A row of an epoch: a job's commitment, or the verdict of a check in the treasury's lane."""

    __tablename__ = "leaf"
    epoch_id: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    kind: str
    digest: str = Field(unique=True)
    requester: str
    signer: str
    operator_id: int = Field(index=True)
    amount: int = units_column()

    @staticmethod
    def of(epoch_id: int, index: int, kind: str, row: Row) -> "LeafRow":
        return LeafRow(
            epoch_id=epoch_id, index=index, kind=kind, digest=to_hex(row.digest), requester=row.requester,
            signer=row.signer, operator_id=row.operator_id, amount=row.amount_units,
        )  # fmt: skip

    def row(self) -> Row:
        return Row(self.requester, self.signer, self.operator_id, self.amount, from_hex(self.digest))


class LogLineRow(SQLModel, table=True):
    """A line of the published log."""

    __tablename__ = "log_line"
    epoch_id: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    line: bytes
