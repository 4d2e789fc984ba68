"""The standing of operators on native workloads, from the facts that the published log has of them.

Counts what `verifier.sampling.standings` counts, in its order: a check from the epoch on in whose log its job's trace
stands, with the observations that were published by then.
"""

from contextlib import suppress

from sqlalchemy import func
from sqlmodel import Session, col, select

from backend.services.log_lines import TRACE_FACT, VERDICT_FACT
from backend.store.blobs import BlobStore
from backend.store.chain_tables import LoggedFactRow
from backend.store.facts import posts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, TraceRow, VerdictRow, WorkloadRow
from contracts.protocol.constants import Constants
from contracts.protocol.errors import BadFingerprint
from contracts.protocol.manifest import Manifest
from contracts.protocol.native import Check, Standing, examine, standing
from contracts.protocol.native.calibrated import is_measured
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment
from contracts.protocol.trace import opens_at


def native_checks(session: Session, blobs: BlobStore, operator_id: int, *, before: int | None = None) -> list[Check]:
    """The checks of an operator's native work, oldest first. `before`: by the logs of the epochs before this one."""
    query = (
        select(TraceRow, CommitmentRow, LoggedFactRow)
        .join(CommitmentRow, col(CommitmentRow.digest) == TraceRow.commitment_digest)
        .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
        .join(LoggedFactRow, col(LoggedFactRow.fact) == TRACE_FACT + col(TraceRow.commitment_digest))
        .where(CommitmentRow.operator_id == operator_id, col(OrderRow.workload_id).in_(_native_workloads(session)))
        .order_by(col(LoggedFactRow.epoch_id), col(TraceRow.commitment_digest))
    )
    shown = [found for found in session.exec(query) if before is None or found[2].epoch_id < before]
    return [
        check
        for trace, commitment, logged in shown
        for check in _of_job(session, blobs, trace, commitment, logged.epoch_id)
    ]


def _of_job(
    session: Session, blobs: BlobStore, trace: TraceRow, commitment: CommitmentRow, epoch_id: int
) -> list[Check]:
    query = (
        select(VerdictRow)
        .join(LoggedFactRow, col(LoggedFactRow.fact) == VERDICT_FACT + col(VerdictRow.digest))
        .where(VerdictRow.commitment_digest == commitment.digest, col(VerdictRow.observation).is_not(None))
        .where(col(LoggedFactRow.epoch_id) <= epoch_id)
        .order_by(col(VerdictRow.verifier))
    )
    verdicts = list(session.exec(query))
    if not verdicts:
        return []
    weights_sha256 = _manifest(session, commitment).weights_sha256
    units = Commitment.model_validate_json(commitment.commitment_json).units
    checks = []
    for verdict in verdicts:
        assert verdict.observation is not None, "the query leaves out the others"
        seen = blobs.get(verdict.observation)
        with suppress(BadFingerprint):  # a verifier that publishes nonsense says nothing about anybody
            checks.append(examine(weights_sha256, verdict.verifier, blobs.get(trace.trace), seen, units))
    return checks


def _native_workloads(session: Session) -> list[str]:
    """Their ids. A trace of exact work is published too, and says nothing here."""
    rows = session.exec(select(WorkloadRow))
    return [row.workload_id for row in rows if Manifest.model_validate_json(row.manifest).comparator == "native"]


def _manifest(session: Session, commitment: CommitmentRow) -> Manifest:
    order = session.get_one(OrderRow, commitment.order_id)
    return Manifest.model_validate_json(session.get_one(WorkloadRow, order.workload_id).manifest)


class Standings:
    """The present standing of operators. Folded again only when another check is complete."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[int, tuple[int, Standing]] = {}

    def of(self, session: Session, operator_id: int) -> Standing:
        """By the facts that the log has now."""
        shown = session.exec(
            select(func.count(col(LoggedFactRow.fact)))
            .join(TraceRow, col(LoggedFactRow.fact) == TRACE_FACT + col(TraceRow.commitment_digest))
            .join(CommitmentRow, col(CommitmentRow.digest) == TraceRow.commitment_digest)
            .where(CommitmentRow.operator_id == operator_id)
        ).one()
        known = self._known.get(operator_id)
        if known is None or known[0] != shown:
            known = shown, standing(native_checks(session, self._blobs, operator_id))
            self._known[operator_id] = known
        return known[1]


def overdue_trace(session: Session, operator_id: int, now_s: int, constants: Constants) -> str | None:
    """The oldest native commitment whose trace the operator should have shown an EPOCH_MAX ago and has not, or None.

    Forgotten after UNBOND: by then it could have moved its stake to another name, so a longer block keeps out only
    those whose disk broke.
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
    """The class that the operator's newest trace of a native workload names, if nobody could check work of it; or None.

    A node writes its class itself, and a check without thresholds says nothing: whoever names a class that nobody has
    measured would never be caught. Forgotten after UNBOND, as a trace that was never shown is.
    """
    newest = session.exec(
        select(TraceRow, CommitmentRow)
        .join(CommitmentRow, col(CommitmentRow.digest) == TraceRow.commitment_digest)
        .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
        .where(CommitmentRow.operator_id == operator_id, OrderRow.workload_id == workload_id)
        .order_by(col(TraceRow.received_at).desc(), col(TraceRow.commitment_digest))
        .limit(1)
    ).first()
    if newest is None or newest[0].received_at + constants.unbond_s < now_s:
        return None
    trace, commitment = newest
    try:
        named = NativeOpening.decode(blobs.get(trace.trace)).numeric_class
    except BadFingerprint:
        return None  # a trace that is no opening is counted as it is
    return None if is_measured(_manifest(session, commitment).weights_sha256, named) else named
