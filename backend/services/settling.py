"""Settles posted epochs in order, once their check period is over and no case on them is open."""

import logging
from collections.abc import Sequence

from sqlmodel import Session, col, select

from backend.chain.errors import LaneNotCovered, RowsDiffer
from backend.chain.escrow_reads import ruling
from backend.chain.tx_manager import TxManager
from backend.domain.epochs import lane_runs, settle_gas
from backend.services.calls import ensure_call
from backend.store import facts
from backend.store.database import Database
from backend.store.tables import OrderRow
from contracts.onchain.chain import Chain
from contracts.onchain.lanes import read_lane
from contracts.protocol.hashing import ZERO32, from_hex, keccak, to_hex
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack, unpack
from contracts.protocol.records import Order, Terms
from contracts.protocol.rulings import Ruling
from contracts.protocol.signing import Signer, compact
from contracts.protocol.typed_data import terms_hash
from contracts.record.history import PostedEpoch

_log = logging.getLogger(__name__)

CHECK_WORKLOAD = to_hex(keccak(b"assay/check/1"))
_HURRY_PERCENT = 90
"""Of SETTLE_WAIT. After this an epoch is settled with the rulings that are known. A case that was opened after the
check period may still be open then; it slashes and refunds on its own."""
_NEWEST_ORDERS = 500
"""The lane's highest cap is searched among this many orders. Caps grow with every order, so the newest are highest."""


def settle_epoch(database: Database, chain: Chain, manager: TxManager, treasury: Signer, now: int) -> None:
    """Asks for the settlement of the oldest epoch that can be settled."""
    head = chain.head().timestamp
    with database.read() as session:
        posted = facts.posts_since(session, head - 2 * chain.deployment.constants.settle_wait_s)
        settled = facts.settled_epochs(session, posted)
        tip = facts.newest_block(session)
    epoch = _next_to_settle(chain, posted, settled, head)
    if epoch is None or not _check_period_over(chain, posted, epoch.epoch_id, tip.timestamp if tip else 0):
        return
    key = manager.next_key(f"settle:{epoch.epoch_id}")
    if key is None:
        return
    with database.read() as session:
        rows = facts.rows_of(session, epoch.epoch_id)
        void = void_rows(session, chain, epoch, hurry=head >= _hurry_at(chain, epoch))
        if void is None:
            return
        groups = _groups(session, chain, treasury, epoch.epoch_id, rows, void)
    packed = packed_epoch(epoch, groups, void)
    function = chain.escrow.functions.settleEpoch(epoch.epoch_id, packed)
    ensure_call(manager, key, function, now, gas=settle_gas(from_hex(function.data), rows))


def packed_epoch(epoch: PostedEpoch, groups: Sequence[LaneGroup], void: frozenset[int]) -> bytes:
    """The calldata. Raises RowsDiffer unless the rows read back from it rebuild the posted root."""
    packed = pack(Epoch(tuple(groups), void))
    rebuilt = merkle_root([row.leaf() for row in unpack(packed, epoch.count).rows])
    if rebuilt != epoch.root:
        raise RowsDiffer(epoch_id=epoch.epoch_id, root=to_hex(epoch.root), rebuilt=to_hex(rebuilt))
    return packed


def void_rows(session: Session, chain: Chain, epoch: PostedEpoch, *, hurry: bool) -> frozenset[int] | None:
    """The rows whose node was ruled guilty; None while a case on the epoch is open, unless in a `hurry`."""
    cases = facts.events(session, "CaseOpened", [epoch.epoch_id])
    rulings = {event.args["index"]: ruling(chain, from_hex(event.args["caseId"])) for event in cases}
    undecided = sorted(index for index, one in rulings.items() if one is Ruling.OPEN)
    if undecided and not hurry:
        _log.info("epoch %d waits for the cases on rows %s", epoch.epoch_id, undecided)
        return None
    if undecided:
        _log.error("epoch %d: settled with undecided cases on rows %s, its time runs out", epoch.epoch_id, undecided)
    return frozenset(index for index, one in rulings.items() if one is Ruling.NODE_GUILTY)


def _next_to_settle(chain: Chain, posted: dict[int, PostedEpoch], settled: set[int], head: int) -> PostedEpoch | None:
    """The oldest epoch with rows that is neither settled nor stranded."""
    wait = chain.deployment.constants.settle_wait_s
    for epoch_id, epoch in sorted(posted.items()):
        if epoch.count == 0 or epoch_id in settled:
            continue
        if head > epoch.timestamp + wait:
            _log.error("epoch %d is stranded: its rows can only be paid one by one", epoch_id)
            continue
        if head >= _hurry_at(chain, epoch):
            _log.error("epoch %d must be settled before %d, it is %d", epoch_id, epoch.timestamp + wait, head)
        return epoch
    return None


def _hurry_at(chain: Chain, epoch: PostedEpoch) -> int:
    return epoch.timestamp + chain.deployment.constants.settle_wait_s * _HURRY_PERCENT // 100


def _check_period_over(chain: Chain, posted: dict[int, PostedEpoch], epoch_id: int, indexed_until: int) -> bool:
    """By the time of the newest indexed block, so that every case of the check period is known."""
    reveal = posted.get(epoch_id + 1)
    return reveal is not None and reveal.timestamp + chain.deployment.constants.check_wait_s <= indexed_until


def _groups(
    session: Session, chain: Chain, treasury: Signer, epoch_id: int, rows: Sequence[Row], void: frozenset[int]
) -> list[LaneGroup]:
    groups = []
    for start, end in lane_runs(rows):
        requester, signer = rows[start].requester, rows[start].signer
        lane = read_lane(chain, requester, signer)
        needed = lane.charged + sum(rows[i].amount_units for i in range(start, end) if i not in void)
        if needed <= lane.cap_proven:
            proof = None
        elif (requester, signer) == (chain.deployment.treasury, treasury.address):
            order = treasury_order(requester, needed, epoch_id)
            proof = _cap_proof(order, treasury.sign(chain.deployment.domain.order_id(order)))
        else:
            proof = _best_cap(session, requester, signer, needed)
        groups.append(LaneGroup(requester, signer, proof, tuple(rows[start:end])))
    return groups


def _best_cap(session: Session, requester: str, signer: str, needed: int) -> CapProof:
    """The highest cap that the lane's signer signed. Logs an error if it does not cover what the lane owes."""
    query = select(OrderRow).where(OrderRow.requester == requester, OrderRow.signer == signer)
    newest = session.exec(query.order_by(col(OrderRow.accepted_at).desc()).limit(_NEWEST_ORDERS)).all()
    best = max(newest, key=lambda row: row.spend_cap)
    if best.spend_cap < needed:
        error = LaneNotCovered(requester=requester, signer=signer, needed_units=needed, best_cap_units=best.spend_cap)
        _log.error("%s", error)
    return _cap_proof(best.record, best.signature)


def treasury_order(requester: str, cap: int, epoch_id: int) -> Order:
    """An order with the cap that an epoch's checks need, for the treasury's session key to sign."""
    nothing = to_hex(ZERO32)
    terms = Terms(
        workload_id=CHECK_WORKLOAD, prompt_root=nothing, texts_hash=nothing, fixed_price=0, unit_price=0, max_price=0,
        deadline=0, salt=epoch_id,
    )  # fmt: skip
    return Order(requester=requester, spend_cap=cap, terms=terms)


def _cap_proof(order: Order, signature: str) -> CapProof:
    r, vs = compact(signature)
    return CapProof(order.spend_cap, terms_hash(order.terms), r, vs)
