"""Reasons to lend an operator no native work, apart from its standing: an overdue trace, or an unmeasured class."""

from sqlmodel import Session, col, select

from backend.store.blobs import BlobStore
from backend.store.facts import posts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, TraceRow, WorkloadRow
from contracts.protocol.constants import Constants
from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native.calibrated import is_measured
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.records import COMPARATOR_NATIVE
from contracts.protocol.trace import opens_at


def _native_workloads(session: Session) -> list[str]:
    """The ids of native workloads. Traces of exact work are published too, but nothing is withheld for them."""
    rows = session.exec(select(WorkloadRow))
    return [row.workload_id for row in rows if row.record.comparator == "native"]


def overdue_trace(session: Session, operator_id: int, now_s: int, constants: Constants) -> str | None:
    """The oldest native commitment whose trace was due EPOCH_MAX ago and is still not shown, or None.

    Forgiven after UNBOND: by then a cheat could have moved its stake to another name, so a longer ban would only hit
    operators whose disk broke.
    """
    query = (
        select(LeafRow)
        .join(CommitmentRow, col(CommitmentRow.digest) == LeafRow.digest)
        .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
        .outerjoin(TraceRow, col(TraceRow.commitment_digest) == LeafRow.digest)
        .where(LeafRow.operator_id == operator_id, col(TraceRow.trace).is_(None))
        .where(col(OrderRow.workload_id).in_(_native_workloads(session)))
        .order_by(col(LeafRow.epoch_id), col(LeafRow.index))
    )
    unshown = session.exec(query).all()
    posted = posts(session, {leaf.epoch_id + after for leaf in unshown for after in (0, 1)})
    for leaf in unshown:
        if leaf.epoch_id + 1 in posted:
            here, following = (posted[leaf.epoch_id + after].timestamp for after in (0, 1))
            late_s = now_s - opens_at(COMPARATOR_NATIVE, here, following, constants)
            if constants.epoch_max_s < late_s <= constants.unbond_s:
                return leaf.digest
    return None


def unmeasured_class(
    session: Session, blobs: BlobStore, operator_id: int, workload_id: str, now_s: int, constants: Constants
) -> str | None:
    """The class that the operator's newest trace of a native workload names, if it has no measured thresholds; or None.

    A node states its own class, and without thresholds no check can fail: a node that states an unmeasured class would
    never be caught. Forgiven after UNBOND, as an overdue trace is.
    """
    newest = session.exec(
        select(TraceRow)
        .join(CommitmentRow, col(CommitmentRow.digest) == TraceRow.commitment_digest)
        .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
        .where(CommitmentRow.operator_id == operator_id, OrderRow.workload_id == workload_id)
        .order_by(col(TraceRow.received_at).desc(), col(TraceRow.commitment_digest))
        .limit(1)
    ).first()
    if newest is None or newest.received_at + constants.unbond_s < now_s:
        return None
    try:
        named = NativeOpening.decode(blobs.get(newest.trace)).numeric_class
    except BadFingerprint:
        return None  # the standings count a trace that does not decode
    weights = session.get_one(WorkloadRow, workload_id).record.weights_sha256
    return None if is_measured(weights, named) else named
