"""Facts read together: what is known of jobs, epochs and cases. Copies of chain facts are the indexer's."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from backend.domain.assignment import WaitingJob
from backend.domain.outcomes import JobFacts, Settlement, is_exposed, is_open
from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow
from backend.store.event_rows import to_event
from backend.store.tables import CanaryRow, CommitmentRow, EpochRow, LeafRow, LeaseRow, OrderRow, ReturnRow
from contracts.protocol.pace import JobSize
from contracts.protocol.packing import bit_at
from contracts.protocol.rulings import Ruling
from contracts.record.history import PostedEpoch, posted_epoch

Leaf = tuple[int, int]


@dataclass(frozen=True)
class JobRecord:
    """An order with what happened to it. `refunded`: units of its charge that came back into the lane."""

    order: OrderRow
    lease: LeaseRow | None
    commitment: CommitmentRow | None
    leaf: LeafRow | None
    facts: JobFacts
    refunded: int


def jobs(session: Session, *where: ColumnElement[bool], newest: int | None = None) -> list[JobRecord]:
    """The jobs that satisfy `where` (on orders, commitments, leaves, settlements), oldest first.

    `newest`: only so many of the youngest.
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
    posted = posts(session, epochs)
    alone, guilty = _settled_alone(session, epochs), _guilty_leaves(session)
    refunds = _refunds(session, epochs)
    found = []
    for order, commitment, leaf, settlement in rows:
        lease = leases.get(order.order_id)
        place = None if leaf is None else (leaf.epoch_id, leaf.index)
        facts = JobFacts(
            order_id=order.order_id,
            max_price=order.max_price,
            deadline=order.deadline,
            lease_expires=None if lease is None else lease.expires,
            is_delivered=commitment is not None,
            is_posted=leaf is not None and leaf.epoch_id in posted,
            settlement=None if settlement is None else settlement_of(settlement, leaf.index),
            settled_alone=place in alone,
            closed_unpaid=place in guilty,
        )
        refunded = 0 if place is None else refunds.get(place, 0)
        found.append(JobRecord(order, lease, commitment, leaf, facts, refunded))
    return found


def settlement_of(settlement: SettlementRow, index: int) -> Settlement:
    """What a settlement did with the row at `index`."""
    return Settlement(
        is_void=bit_at(settlement.void_bits, index),
        is_skipped=bit_at(settlement.skipped_bits, index),
    )


def open_in_lane(session: Session, requester: str, signer: str, now_s: int) -> dict[str, int]:
    """Order id -> maximum in units, of the lane's orders that may still be charged."""
    skipped = [
        event.args["id"]
        for event in events(session, "LaneSkipped")
        if (event.args["requester"], event.args["signer"]) == (requester, signer)
    ]
    found = jobs(
        session,
        col(OrderRow.requester) == requester,
        col(OrderRow.signer) == signer,
        or_(col(SettlementRow.epoch_id).is_(None), col(LeafRow.epoch_id).in_(skipped)),
        or_(
            col(CommitmentRow.digest).is_not(None),
            col(OrderRow.deadline) >= now_s,
            _is_leased(now_s),
        ),
    )
    return {job.order.order_id: job.facts.max_price for job in found if is_open(job.facts, now_s)}


def exposed_of_operator(session: Session, operator_id: int, now_s: int, settle_wait_s: int) -> dict[str, int]:
    """Order id -> maximum in units, of the jobs that an operator still answers for with its stake.

    Those of a stranded epoch are past their check and do not count.
    """
    lent = select(LeaseRow.order_id).where(LeaseRow.operator_id == operator_id, col(LeaseRow.expires) >= now_s)
    stranded = [epoch for epoch, post in unsettled_posts(session).items() if now_s > post.timestamp + settle_wait_s]
    found = jobs(
        session,
        col(SettlementRow.epoch_id).is_(None),
        or_(
            col(CommitmentRow.operator_id) == operator_id,
            col(CommitmentRow.digest).is_(None) & col(OrderRow.order_id).in_(lent),
        ),
        or_(col(LeafRow.epoch_id).is_(None), col(LeafRow.epoch_id).not_in(stranded)),
    )
    return {job.order.order_id: job.facts.max_price for job in found if is_exposed(job.facts, now_s)}


def posts(session: Session, epoch_ids: Iterable[int]) -> dict[int, PostedEpoch]:
    """The confirmed posts among some epochs."""
    return _by_id(session, _posts().where(_argument("id").in_(list(epoch_ids))))


def posts_since(session: Session, since_s: int) -> dict[int, PostedEpoch]:
    """The confirmed posts from a time on."""
    return _by_id(session, _posts().where(BlockRow.timestamp >= since_s))


def last_post(session: Session) -> PostedEpoch | None:
    """The newest confirmed post. Ids grow with blocks."""
    found = _by_id(session, _posts().order_by(col(ChainEventRow.block_number).desc()).limit(1))
    return next(iter(found.values()), None)


def _posts() -> Any:
    return (
        select(ChainEventRow, BlockRow.timestamp)
        .join(BlockRow, col(BlockRow.number) == ChainEventRow.block_number)
        .where(ChainEventRow.name == "EpochPosted")
    )


def _by_id(session: Session, query: Any) -> dict[int, PostedEpoch]:
    found = (posted_epoch(to_event(event), timestamp) for event, timestamp in session.exec(query))
    return {posted.epoch_id: posted for posted in found}


def unsettled_posts(session: Session) -> dict[int, PostedEpoch]:
    """The posts of epochs with rows that no settlement has closed."""
    query = (
        select(EpochRow.epoch_id)
        .outerjoin(SettlementRow, col(SettlementRow.epoch_id) == EpochRow.epoch_id)
        .where(col(SettlementRow.epoch_id).is_(None), EpochRow.row_count > 0)
    )
    return posts(session, session.exec(query).all())


def events(session: Session, name: str) -> list[ChainEventRow]:
    """All confirmed events of a name, in order."""
    query = select(ChainEventRow).where(ChainEventRow.name == name)
    return list(session.exec(query.order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))))


def _settled_alone(session: Session, epoch_ids: Iterable[int]) -> set[Leaf]:
    query = select(ChainEventRow).where(ChainEventRow.name == "LeafSettled", _argument("epochId").in_(list(epoch_ids)))
    return {(event.args["epochId"], event.args["index"]) for event in session.exec(query)}


def _refunds(session: Session, epoch_ids: Iterable[int]) -> dict[Leaf, int]:
    """Leaf -> units given back, by the court and out of the settler's bond together."""
    names = ("Refunded", "RefundedFromBond")
    query = select(ChainEventRow).where(col(ChainEventRow.name).in_(names), _argument("epochId").in_(list(epoch_ids)))
    given_back: Counter[Leaf] = Counter()
    for event in session.exec(query):
        given_back[event.args["epochId"], event.args["index"]] += event.args["units"]
    return given_back


def _guilty_leaves(session: Session) -> set[Leaf]:
    """The leaves of executed cases against their nodes: what was not paid by then never is (SPEC section 8)."""
    guilty = _executed_guilty(session)
    return {
        (event.args["epochId"], event.args["index"])
        for event in events(session, "CaseOpened")
        if event.args["caseId"] in guilty
    }


def _executed_guilty(session: Session) -> set[str]:
    return {e.args["caseId"] for e in events(session, "CaseExecuted") if e.args["ruling"] == Ruling.NODE_GUILTY}


def _last_leases(session: Session, order_ids: list[str]) -> dict[str, LeaseRow]:
    """The last lease of each order. Leases of one order never overlap, so the last granted ends last."""
    query = select(LeaseRow).where(col(LeaseRow.order_id).in_(order_ids)).order_by(col(LeaseRow.id))
    return {lease.order_id: lease for lease in session.exec(query)}


def _is_leased(now_s: int) -> ColumnElement[bool]:
    last = select(func.max(LeaseRow.expires)).where(LeaseRow.order_id == OrderRow.order_id).scalar_subquery()
    return last >= now_s


def _argument(name: str) -> ColumnElement[int]:
    value: ColumnElement[int] = col(ChainEventRow.args)[name].as_integer()
    return value


def waiting(session: Session, workload_id: str, operator_id: int, node: str, now_s: int) -> list[WaitingJob]:
    """The jobs of a workload that nobody holds or delivered, whose deadline is ahead, and that `node` may have.

    It may not have what is kept for another, nor what it gave back.
    """
    returned = select(ReturnRow.order_id).where(ReturnRow.node == node)
    lapsed = set(session.exec(select(LeaseRow.order_id).where(LeaseRow.operator_id == operator_id)))
    query = (
        select(OrderRow)
        .outerjoin(CommitmentRow, col(CommitmentRow.order_id) == OrderRow.order_id)
        .outerjoin(CanaryRow, col(CanaryRow.order_id) == OrderRow.order_id)
        .where(
            OrderRow.workload_id == workload_id,
            or_(col(CanaryRow.node).is_(None), col(CanaryRow.node) == node),
            OrderRow.deadline > now_s,
            col(OrderRow.order_id).not_in(returned),
            col(CommitmentRow.digest).is_(None),
            or_(_is_leased(now_s).is_(None), _is_leased(now_s).is_(False)),
        )
    )
    return [
        WaitingJob(
            order.order_id,
            order.max_price,
            order.deadline,
            order.accepted_at,
            order.order_id in lapsed,
            JobSize(order.read_tokens, order.written_tokens),
        )
        for order in session.exec(query)
    ]


def held_by(session: Session, node: str, now_s: int) -> list[LeaseRow]:
    """The leases under which a node works now, the oldest first."""
    query = (
        select(LeaseRow)
        .outerjoin(CommitmentRow, col(CommitmentRow.order_id) == LeaseRow.order_id)
        .where(LeaseRow.node == node, col(LeaseRow.expires) >= now_s, col(CommitmentRow.digest).is_(None))
        .order_by(col(LeaseRow.id))
    )
    return list(session.exec(query))


def last_lease(session: Session, order_id: str) -> LeaseRow | None:
    """The lease of an order that was granted last."""
    return _last_leases(session, [order_id]).get(order_id)


def guilty_case(session: Session, operator_id: int, is_guilty: Callable[[str], bool]) -> str | None:
    """A case whose ruling is against the operator: executed as such, or, if not executed yet, known to `is_guilty`."""
    guilty = _executed_guilty(session)
    executed = {event.args["caseId"] for event in events(session, "CaseExecuted")}
    for event in events(session, "CaseOpened"):
        case_id: str = event.args["caseId"]
        if event.args["operatorId"] != operator_id:
            continue
        if case_id in guilty or (case_id not in executed and is_guilty(case_id)):
            return case_id
    return None
