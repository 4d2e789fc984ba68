"""Queries over the facts: jobs, lanes, leases, epochs and cases. Copies of chain facts are the indexer's."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, func, select

from backend.domain.assignment import WaitingJob
from backend.domain.outcomes import JobFacts, Settlement, is_exposed, is_open
from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow
from backend.store.event_rows import to_event
from backend.store.tables import CanaryRow, CommitmentRow, EpochRow, LeafRow, LeaseRow, LogLineRow, OrderRow, ReturnRow
from contracts.protocol.merkle import Row
from contracts.protocol.pace import JobSize
from contracts.protocol.packing import bit_at
from contracts.protocol.rulings import Ruling
from contracts.record.history import PostedEpoch, posted_epoch

# ------------------------------------------------------------ jobs


@dataclass(frozen=True)
class JobRecord:
    """An order with what happened to it. `refunded`: units of its charge that came back into the lane."""

    order: OrderRow
    lease: LeaseRow | None
    commitment: CommitmentRow | None
    leaf: LeafRow | None
    facts: JobFacts
    refunded: int


def job(session: Session, order_id: str) -> JobRecord | None:
    return next(iter(jobs(session, col(OrderRow.order_id) == order_id)), None)


def jobs(session: Session, *where: ColumnElement[bool], newest: int | None = None) -> list[JobRecord]:
    """The jobs that satisfy `where` (on orders, commitments, leaves, settlements), oldest first.

    `newest`: returns only that many of the youngest.
    """
    query = (
        select(OrderRow, CommitmentRow, LeafRow, SettlementRow)
        .outerjoin(CommitmentRow, col(CommitmentRow.order_id) == OrderRow.order_id)
        .outerjoin(LeafRow, col(LeafRow.digest) == CommitmentRow.digest)
        .outerjoin(SettlementRow, col(SettlementRow.epoch_id) == LeafRow.epoch_id)
        .where(*where)
        .order_by(col(OrderRow.accepted_at).desc(), col(OrderRow.order_id).desc())
        .limit(newest)
    )
    rows: list[Any] = list(reversed(session.exec(query).all()))
    leases = _last_leases(session, [order.order_id for order, *_ in rows])
    epochs = {leaf.epoch_id for _, _, leaf, _ in rows if leaf is not None}
    posted, refunds = posts(session, epochs), _refunds(session, epochs)
    alone = {_leaf(event) for event in events(session, "LeafSettled", epochs)}
    guilty = _guilty_leaves(session, epochs)
    found = []
    for order, commitment, leaf, settlement in rows:
        lease = leases.get(order.order_id)
        place = None if leaf is None else (leaf.epoch_id, leaf.index)
        facts = JobFacts(
            order_id=order.order_id, max_price=order.max_price, deadline=order.deadline,
            lease_expires=None if lease is None else lease.expires, is_delivered=commitment is not None,
            is_posted=leaf is not None and leaf.epoch_id in posted,
            settlement=None if settlement is None else settlement_of(settlement, leaf.index),
            settled_alone=place in alone, closed_unpaid=place in guilty,
        )  # fmt: skip
        refunded = 0 if place is None else refunds[place]
        found.append(JobRecord(order, lease, commitment, leaf, facts, refunded))
    return found


def settlement_of(settlement: SettlementRow, index: int) -> Settlement:
    return Settlement(bit_at(settlement.void_bits, index), bit_at(settlement.skipped_bits, index))


def open_in_lane(session: Session, requester: str, signer: str, now_s: int) -> dict[str, int]:
    """Order id -> maximum in units, of the lane's orders that may still be charged."""
    skipped = [event.args["id"] for event in events(session, "LaneSkipped", [f"{requester}:{signer}"])]
    found = jobs(
        session,
        col(OrderRow.requester) == requester,
        col(OrderRow.signer) == signer,
        or_(col(SettlementRow.epoch_id).is_(None), col(LeafRow.epoch_id).in_(skipped)),
        or_(col(CommitmentRow.digest).is_not(None), col(OrderRow.deadline) >= now_s, _is_leased(now_s)),
    )
    return {job.order.order_id: job.facts.max_price for job in found if is_open(job.facts, now_s)}


def exposed_of_operator(session: Session, operator_id: int, now_s: int, settle_wait_s: int) -> dict[str, int]:
    """Order id -> maximum in units, of the jobs that an operator still answers for with its stake.

    Jobs of a stranded epoch are past their check period and do not count.
    """
    lent = select(LeaseRow.order_id).where(LeaseRow.operator_id == operator_id, col(LeaseRow.expires) >= now_s)
    found = jobs(
        session,
        col(SettlementRow.epoch_id).is_(None),
        or_(
            col(CommitmentRow.operator_id) == operator_id,
            col(CommitmentRow.digest).is_(None) & col(OrderRow.order_id).in_(lent),
        ),
        or_(col(LeafRow.epoch_id).is_(None), col(LeafRow.epoch_id).not_in(_stranded(session, now_s - settle_wait_s))),
    )
    return {job.order.order_id: job.facts.max_price for job in found if is_exposed(job.facts, now_s)}


def waiting(session: Session, workload_id: str, operator_id: int, node: str, now_s: int) -> list[WaitingJob]:
    """The jobs of a workload that nobody holds or delivered, whose deadline is ahead, and that `node` may be lent.

    Canary jobs of other nodes and jobs that the node returned are left out.
    """
    lapsed = select(LeaseRow.id).where(LeaseRow.order_id == OrderRow.order_id, LeaseRow.operator_id == operator_id)
    returned = select(ReturnRow.node).where(ReturnRow.order_id == OrderRow.order_id, ReturnRow.node == node)
    query = (
        select(OrderRow, lapsed.exists())
        .outerjoin(CommitmentRow, col(CommitmentRow.order_id) == OrderRow.order_id)
        .outerjoin(CanaryRow, col(CanaryRow.order_id) == OrderRow.order_id)
        .where(OrderRow.workload_id == workload_id, OrderRow.deadline > now_s, col(CommitmentRow.digest).is_(None))
        .where(or_(col(CanaryRow.node).is_(None), col(CanaryRow.node) == node))
        .where(~_is_leased(now_s), ~returned.exists())
    )
    return [
        WaitingJob(
            order.order_id,
            order.max_price,
            order.deadline,
            order.accepted_at,
            has_lapsed,
            JobSize(order.read_tokens, order.written_tokens),
        )
        for order, has_lapsed in session.exec(query)
    ]


# ------------------------------------------------------------ leases


def held_by(session: Session, node: str, now_s: int) -> list[LeaseRow]:
    """The leases under which a node works now, oldest first."""
    query = (
        select(LeaseRow)
        .outerjoin(CommitmentRow, col(CommitmentRow.order_id) == LeaseRow.order_id)
        .where(LeaseRow.node == node, col(LeaseRow.expires) >= now_s, col(CommitmentRow.digest).is_(None))
        .order_by(col(LeaseRow.id))
    )
    return list(session.exec(query))


def last_lease(session: Session, order_id: str) -> LeaseRow | None:
    return _last_leases(session, [order_id]).get(order_id)


def _last_leases(session: Session, order_ids: list[str]) -> dict[str, LeaseRow]:
    """The last lease of each order. Leases of one order never overlap, so the last granted ends last."""
    query = select(LeaseRow).where(col(LeaseRow.order_id).in_(order_ids)).order_by(col(LeaseRow.id))
    return {lease.order_id: lease for lease in session.exec(query)}


def _is_leased(now_s: int) -> ColumnElement[bool]:
    return select(LeaseRow.id).where(LeaseRow.order_id == OrderRow.order_id, col(LeaseRow.expires) >= now_s).exists()


# ------------------------------------------------------------ epochs


def last_closed(session: Session) -> EpochRow | None:
    """The newest epoch that the backend closed."""
    return session.exec(select(EpochRow).order_by(col(EpochRow.epoch_id).desc())).first()


def rows_of(session: Session, epoch_id: int) -> list[Row]:
    query = select(LeafRow).where(LeafRow.epoch_id == epoch_id).order_by(col(LeafRow.index))
    return [leaf.row() for leaf in session.exec(query)]


def log_lines(session: Session, epoch_id: int) -> list[bytes]:
    query = select(LogLineRow.line).where(LogLineRow.epoch_id == epoch_id).order_by(col(LogLineRow.position))
    return list(session.exec(query))


def rows_units(session: Session, epoch_ids: Iterable[int]) -> int:
    """The sum of these epochs' rows, units."""
    return sum(session.exec(select(LeafRow.amount).where(col(LeafRow.epoch_id).in_(list(epoch_ids)))))


def settled_epochs(session: Session, epoch_ids: Iterable[int]) -> set[int]:
    """Which of these epochs have a confirmed settlement."""
    return set(session.exec(select(SettlementRow.epoch_id).where(col(SettlementRow.epoch_id).in_(list(epoch_ids)))))


def _stranded(session: Session, before_s: int) -> list[int]:
    """The epochs with rows that were posted before a time and are not settled."""
    query = (
        select(EpochRow.epoch_id)
        .outerjoin(SettlementRow, col(SettlementRow.epoch_id) == EpochRow.epoch_id)
        .where(col(SettlementRow.epoch_id).is_(None), EpochRow.row_count > 0)
    )
    return [id_ for id_, post in posts(session, session.exec(query).all()).items() if post.timestamp < before_s]


def posts(session: Session, epoch_ids: Iterable[int]) -> dict[int, PostedEpoch]:
    return _posts(session, col(ChainEventRow.subject).in_([str(epoch_id) for epoch_id in epoch_ids]))


def posts_since(session: Session, since_s: int) -> dict[int, PostedEpoch]:
    """The confirmed posts from a time on."""
    first = select(func.min(BlockRow.number)).where(BlockRow.timestamp >= since_s).scalar_subquery()
    return _posts(session, col(ChainEventRow.block_number) >= first)


def last_post(session: Session) -> PostedEpoch | None:
    """The newest confirmed post. Ids grow with blocks."""
    return next(iter(_posts(session, newest=1).values()), None)


def _posts(session: Session, *where: ColumnElement[bool], newest: int | None = None) -> dict[int, PostedEpoch]:
    query = (
        select(ChainEventRow, BlockRow.timestamp)
        .join(BlockRow, col(BlockRow.number) == ChainEventRow.block_number)
        .where(ChainEventRow.name == "EpochPosted", *where)
    )
    if newest is not None:
        query = query.order_by(col(ChainEventRow.block_number).desc()).limit(newest)
    found = (posted_epoch(to_event(event), timestamp) for event, timestamp in session.exec(query))
    return {posted.epoch_id: posted for posted in found}


# ------------------------------------------------------------ events


def newest_block(session: Session) -> BlockRow | None:
    """The newest block that was read: every confirmed event up to it is known."""
    return session.exec(select(BlockRow).order_by(col(BlockRow.number).desc()).limit(1)).first()


def events(session: Session, name: str, subjects: Iterable[object] | None = None) -> list[ChainEventRow]:
    """The confirmed events of a name, in order; with `subjects`, those about them (`event_rows.subject_of`)."""
    query = select(ChainEventRow).where(ChainEventRow.name == name)
    if subjects is not None:
        query = query.where(col(ChainEventRow.subject).in_([str(subject) for subject in subjects]))
    # sorted here: with an ORDER BY, SQLite walks all events of the name in order rather than find those of the subjects
    return sorted(session.exec(query), key=lambda event: (event.block_number, event.log_index))


def guilty_case(session: Session, operator_id: int, is_guilty: Callable[[str], bool]) -> str | None:
    """A case ruled against the operator: by its execution, or, before that, by the court's ruling (`is_guilty`)."""
    query = select(ChainEventRow).where(ChainEventRow.name == "CaseOpened", ChainEventRow.operator_id == operator_id)
    cases: list[str] = [event.args["caseId"] for event in session.exec(query)]
    executed = _executed_rulings(session, cases)
    for case in cases:
        if executed.get(case) == Ruling.NODE_GUILTY or (case not in executed and is_guilty(case)):
            return case
    return None


def _guilty_leaves(session: Session, epoch_ids: Iterable[int]) -> set[tuple[int, int]]:
    """The leaves of executed cases against their nodes. One that was not paid by then never is (SPEC section 8)."""
    cases = {event.args["caseId"]: _leaf(event) for event in events(session, "CaseOpened", epoch_ids)}
    executed = _executed_rulings(session, cases)
    return {leaf for case, leaf in cases.items() if executed.get(case) == Ruling.NODE_GUILTY}


def _executed_rulings(session: Session, case_ids: Iterable[str]) -> dict[str, int]:
    return {event.args["caseId"]: event.args["ruling"] for event in events(session, "CaseExecuted", case_ids)}


def _refunds(session: Session, epoch_ids: set[int]) -> Counter[tuple[int, int]]:
    """Leaf -> units given back, by the court and out of the settler's bond together."""
    given_back: Counter[tuple[int, int]] = Counter()
    for name in ("Refunded", "RefundedFromBond"):
        for event in events(session, name, epoch_ids):
            given_back[_leaf(event)] += event.args["units"]
    return given_back


def _leaf(event: ChainEventRow) -> tuple[int, int]:
    return event.args["epochId"], event.args["index"]
