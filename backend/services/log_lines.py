"""Writes the lines of an epoch's published log from the facts behind its rows (SPEC section 11)."""

import json
from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from backend.domain.epochs import RowCandidate
from backend.store.chain_tables import LoggedFactRow
from backend.store.record import TRACE_FACT, WORKLOAD_FACT
from backend.store.tables import CommitmentRow, LeaseRow, OrderRow, TraceRow, VerdictRow, WorkloadRow
from contracts.protocol import log
from contracts.protocol.hashing import to_hex
from contracts.protocol.records import Lease, Opening, Verdict


def epoch_lines(
    session: Session,
    chosen: Sequence[RowCandidate],
    verdicts: Sequence[VerdictRow],
    traces: Sequence[TraceRow],
    new_workloads: Sequence[WorkloadRow],
) -> list[bytes]:
    """All lines in order: workloads; each job's order, leases and commitment; verdicts with their observations;
    traces; rows.
    """
    jobs = _jobs(session, [to_hex(c.row.digest) for c in chosen if c.kind == "job"])
    entries: list[log.LogEntry] = [log.WorkloadEntry(manifest=json.loads(row.manifest)) for row in new_workloads]
    for commitment, order in jobs:
        entries.append(log.OrderEntry(order=order.record, signer=order.signer, signature=order.signature))
        entries += _leases(session, order.order_id)
        entries.append(log.CommitmentEntry(commitment=commitment.record, signature=commitment.signature))
    for row in verdicts:
        entries.append(_verdict(row))
        if row.observation is not None:
            entries.append(log.ObservationEntry(verdict_digest=row.digest, observation=row.observation))
    entries += [log.TraceEntry(commitment_digest=row.commitment_digest, trace=row.trace) for row in traces]
    entries += [_row(index, candidate) for index, candidate in enumerate(chosen)]
    return [log.dump_line(entry) for entry in entries]


def workloads_to_log(session: Session, commitment_digests: Iterable[str]) -> list[WorkloadRow]:
    """The workloads of these jobs that no epoch's log has yet."""
    wanted = {order.workload_id for _, order in _jobs(session, list(commitment_digests))}
    return [
        session.get_one(WorkloadRow, workload_id)
        for workload_id in sorted(wanted)
        if session.get(LoggedFactRow, WORKLOAD_FACT + workload_id) is None
    ]


def traces_to_log(session: Session) -> list[TraceRow]:
    """The traces that no epoch's log has yet."""
    query = select(TraceRow).outerjoin(
        LoggedFactRow, col(LoggedFactRow.fact) == TRACE_FACT + col(TraceRow.commitment_digest)
    )
    query = query.where(col(LoggedFactRow.fact).is_(None))
    return list(session.exec(query.order_by(col(TraceRow.received_at), col(TraceRow.commitment_digest))))


def _jobs(session: Session, digests: list[str]) -> list[tuple[CommitmentRow, OrderRow]]:
    query = (
        select(CommitmentRow, OrderRow)
        .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
        .where(col(CommitmentRow.digest).in_(digests))
    )
    found = {commitment.digest: (commitment, order) for commitment, order in session.exec(query)}
    return [found[digest] for digest in digests]


def _leases(session: Session, order_id: str) -> list[log.LeaseEntry]:
    rows = session.exec(select(LeaseRow).where(LeaseRow.order_id == order_id).order_by(col(LeaseRow.id)))
    return [
        log.LeaseEntry(lease=Lease(order_id=row.order_id, node=row.node, expires=row.expires), signature=row.signature)
        for row in rows
    ]


def _verdict(row: VerdictRow) -> log.VerdictEntry:
    return log.VerdictEntry(
        epoch_id=row.epoch_id,
        verdict=Verdict.model_validate_json(row.verdict_json),
        signature=row.signature,
        opening=None if row.opening_json is None else Opening.model_validate_json(row.opening_json),
    )


def _row(index: int, candidate: RowCandidate) -> log.RowEntry:
    row = candidate.row
    return log.RowEntry(
        index=index, requester=row.requester, signer=row.signer, operator_id=row.operator_id,
        amount_units=row.amount_units, digest=to_hex(row.digest),
    )  # fmt: skip
