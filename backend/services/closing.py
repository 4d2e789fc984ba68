"""Closes an epoch: gathers what was delivered, and fixes its rows, its log and both roots in one transaction.

Nothing is posted before both roots are durable, so that they cannot depend on the later choice of checks.
"""

import logging
from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.chain.escrow_reads import settler_bond
from backend.domain.epochs import MAX_ROWS, RowCandidate, budget_units, choose, is_due
from backend.services import log_lines
from backend.services.checks import new_verdicts
from backend.services.record import PublicRecord
from backend.store import facts, tables
from backend.store.chain_tables import LoggedFactRow
from backend.store.database import Database
from backend.store.record import TRACE_FACT, VERDICT_FACT, WORKLOAD_FACT
from contracts.onchain.chain import Chain
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import log_root
from contracts.protocol.merkle import Row, merkle_root

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClosingRule:
    """An epoch closes when its oldest row has waited `epoch_s`, or at `row_goal` rows."""

    epoch_s: int
    row_goal: int = MAX_ROWS


@dataclass(frozen=True)
class _Plan:
    """An epoch that can be written as it is. It stays valid, since the facts behind it only grow."""

    epoch_id: int
    chosen: list[RowCandidate]
    verdicts: list[tables.VerdictRow]
    traces: list[tables.TraceRow]


def close_epoch(
    database: Database, record: PublicRecord, chain: Chain, treasury_signer: str, rule: ClosingRule, now: int
) -> None:
    """Closes the next epoch if it is due. Waits until the one before is confirmed as posted."""
    with database.read() as session:
        last, posted = facts.last_closed(session), facts.last_post(session)
        posted_id = posted.epoch_id if posted else 0
        if last is not None and last.epoch_id > posted_id:
            return
        plan = _plan(session, record, chain, treasury_signer, posted_id + 1)
        if not is_due(plan.chosen, now, rule.epoch_s, rule.row_goal) and not _idle_reveal(last, plan, rule, now):
            return
        jobs = [to_hex(candidate.row.digest) for candidate in plan.chosen if candidate.kind == "job"]
        workloads = log_lines.workloads_to_log(session, jobs)
        lines = log_lines.epoch_lines(session, plan.chosen, plan.verdicts, plan.traces, workloads)
    _write(database, plan, workloads, lines, now)
    _log.info("epoch %d: closed with %d rows", plan.epoch_id, len(plan.chosen))


def _idle_reveal(last: tables.EpochRow | None, plan: _Plan, rule: ClosingRule, now: int) -> bool:
    """Whether an empty epoch is due, to reveal the sample of the last one's rows while nothing waits to be rooted."""
    return last is not None and last.row_count > 0 and not plan.chosen and now - last.closed_at >= rule.epoch_s


def _plan(session: Session, record: PublicRecord, chain: Chain, treasury_signer: str, epoch_id: int) -> _Plan:
    fresh = new_verdicts(session, record, chain.deployment.treasury, treasury_signer)
    candidates = [*_delivered(session), *fresh.payable.values()]
    chosen = choose(candidates, _budget(session, chain)) if candidates else []
    if len(chosen) < len(candidates):
        _log.warning("%d rows wait: the settler's bond or the epoch is full", len(candidates) - len(chosen))
    taken = {candidate.row.digest for candidate in chosen}
    waiting = fresh.payable.keys() - taken
    verdicts = [verdict for verdict in fresh.verdicts if from_hex(verdict.digest) not in waiting]
    return _Plan(epoch_id, chosen, verdicts, log_lines.traces_to_log(session))


def _delivered(session: Session) -> list[RowCandidate]:
    """Accepted commitments that are in no epoch."""
    query = (
        select(tables.CommitmentRow, tables.OrderRow)
        .join(tables.OrderRow, col(tables.OrderRow.order_id) == tables.CommitmentRow.order_id)
        .outerjoin(tables.LeafRow, col(tables.LeafRow.digest) == tables.CommitmentRow.digest)
        .where(col(tables.LeafRow.digest).is_(None))
    )
    return [
        RowCandidate(
            Row(order.requester, order.signer, commitment.operator_id, commitment.amount, from_hex(commitment.digest)),
            "job",
            commitment.received_at,
        )
        for commitment, order in session.exec(query)
    ]


def _budget(session: Session, chain: Chain) -> int:
    constants, head = chain.deployment.constants, chain.head()
    chargeable = facts.posts_since(session, head.timestamp - constants.settle_wait_s)
    unsettled = chargeable.keys() - facts.settled_epochs(session, chargeable)
    owed = facts.rows_units(session, unsettled)
    return budget_units(settler_bond(chain), head.timestamp, constants.charge_window_s, owed)


def _write(database: Database, plan: _Plan, workloads: list[tables.WorkloadRow], lines: list[bytes], now: int) -> None:
    root = merkle_root([candidate.row.leaf() for candidate in plan.chosen])
    logged = [VERDICT_FACT + verdict.digest for verdict in plan.verdicts]
    logged += [TRACE_FACT + trace.commitment_digest for trace in plan.traces]
    logged += [WORKLOAD_FACT + workload.workload_id for workload in workloads]
    with database.begin() as session:
        session.add(
            tables.EpochRow(
                epoch_id=plan.epoch_id, closed_at=now, root=to_hex(root), log_root=to_hex(log_root(lines)),
                row_count=len(plan.chosen),
            )
        )  # fmt: skip
        session.add_all(tables.LeafRow.of(plan.epoch_id, index, c.kind, c.row) for index, c in enumerate(plan.chosen))
        session.add_all(
            tables.LogLineRow(epoch_id=plan.epoch_id, position=position, line=line)
            for position, line in enumerate(lines)
        )
        session.add_all(LoggedFactRow(fact=fact, epoch_id=plan.epoch_id) for fact in logged)
