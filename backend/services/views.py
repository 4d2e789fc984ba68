"""Views for anyone: orders, lanes, operators, epochs, the network. Derived on demand.

An order's view follows from public facts only. Nothing here depends on whether a job will be checked.
"""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, and_, func
from sqlmodel import Session, col, select

from backend.chain.views import ChainView
from backend.domain.outcomes import state_of
from backend.errors import UnknownEpoch, UnknownOrder, UnknownWorkload
from backend.services.clock import Clock
from backend.services.offering import all_offers
from backend.services.presence import serving
from backend.services.receipts import leaf_hashes, payment_receipt
from backend.services.record import PublicRecord
from backend.services.withholding import overdue_trace
from backend.store import facts
from backend.store.chain_tables import SettlementRow
from backend.store.database import Database
from backend.store.tables import CommitmentRow, EpochRow, LeafRow, OrderRow, VerdictRow, WorkloadRow
from contracts.onchain.deployment import Deployment
from contracts.protocol import wire
from contracts.protocol.hashing import to_hex
from contracts.protocol.merkle import merkle_proof
from contracts.protocol.packing import bit_at
from contracts.protocol.receipt import PaymentReceipt
from contracts.record.history import PostedEpoch

LIST_LIMIT = 200
"""The most entries of a list of orders or epochs: the newest ones."""


@dataclass(frozen=True)
class Views:
    """The read side of the API. `treasury_signer`: the signer of the treasury's lane, which pays for checks."""

    database: Database
    chain: ChainView
    deployment: Deployment
    treasury_signer: str
    record: PublicRecord
    clock: Clock
    newcomer_price: int
    public_rpc: str | None = None

    def network(self) -> wire.NetworkInfo:
        with self.database.read() as session:
            offers, asking = all_offers(session), serving(session, self.clock())
        sheet = [
            wire.PriceSheetEntry(
                workload_id=offer.workload_id,
                kind=offer.manifest.kind,
                model=offer.manifest.model,
                fixed_price=offer.fixed_price,
                unit_price=offer.unit_price,
                max_units=offer.max_units,
                unit=offer.manifest.unit,
                most_new_tokens=offer.manifest.most_new_tokens,
                serving=asking.get(offer.workload_id, 0),
            )
            for offer in offers
        ]
        d = self.deployment
        return wire.NetworkInfo(
            chain_id=d.chain_id, escrow=d.escrow, stake_manager=d.stake_manager, court=d.court, contests=d.contests,
            token=d.token, settler=d.settler, treasury=d.treasury, treasury_signer=self.treasury_signer,
            first_block=d.first_block, constants=d.constants, price_sheet=sheet, newcomer_price=self.newcomer_price,
            public_rpc=self.public_rpc,
        )  # fmt: skip

    def manifest(self, workload_id: str) -> bytes:
        """The canonical manifest of a workload on offer."""
        with self.database.read() as session:
            row = session.get(WorkloadRow, workload_id)
        if row is None:
            raise UnknownWorkload(workload_id=workload_id)
        return row.manifest

    def lane(self, requester: str, signer: str) -> wire.LaneView:
        """A lane with its open orders' maxima; read in the same order as by intake."""
        now_s = self.clock()
        with self.database.read() as session:
            open_max = sum(facts.open_in_lane(session, requester, signer, now_s).values())
        lane = self.chain.lane(requester, signer)
        return wire.LaneView(
            requester=requester,
            signer=signer,
            balance=lane.balance,
            charged=lane.charged,
            cap_proven=lane.cap_proven,
            open_max=open_max,
            under_notice=lane.is_under_notice(now_s, self.deployment.constants),
        )

    def order(self, order_id: str) -> wire.OrderView:
        """An order's present view. Raises UnknownOrder."""
        found = self._orders(col(OrderRow.order_id) == order_id)
        if not found:
            raise UnknownOrder(order_id=order_id)
        return found[0]

    def orders_of(self, requester: str, signer: str | None = None) -> list[wire.OrderView]:
        """The newest orders of a requester, oldest first; with `signer`, those in one lane."""
        where = col(OrderRow.requester) == requester
        return self._orders(where if signer is None else and_(where, col(OrderRow.signer) == signer))

    def receipt(self, order_id: str) -> PaymentReceipt:
        """The proof of an order's payment, once it is under a root. Raises UnknownOrder, NotRooted."""
        with self.database.read() as session:
            return payment_receipt(session, self.deployment, order_id, self.clock())

    def _orders(self, where: ColumnElement[bool]) -> list[wire.OrderView]:
        now_s = self.clock()
        with self.database.read() as session:
            jobs = facts.jobs(session, where, newest=LIST_LIMIT)
            epochs = {job.leaf.epoch_id for job in jobs if job.leaf is not None and job.facts.is_posted}
            leaves = {epoch_id: leaf_hashes(session, epoch_id) for epoch_id in epochs}
        return [_order_view(job, leaves, now_s) for job in jobs]

    def nodes(self) -> list[wire.NodeView]:
        """All operators that ever had node keys, by id, with their present keys."""
        now_s, settle_wait_s = self.clock(), self.deployment.constants.settle_wait_s
        with self.database.read() as session:
            keys = defaultdict[int, list[str]](list)
            for event in facts.events(session, "NodeKeyAdded"):
                keys[event.args["id"]].append(event.args["node"])
            for event in facts.events(session, "NodeKeyRevoked"):
                keys[event.args["id"]].remove(event.args["node"])
            slashed: Counter[int] = Counter()
            for event in facts.events(session, "Slashed", keys):
                slashed[event.args["id"]] += event.args["units"]
            delivered, checked = _delivered_jobs(session), _checked_jobs(session)
            exposed = {id_: facts.exposed_of_operator(session, id_, now_s, settle_wait_s) for id_ in keys}
            guilty = {id_: facts.guilty_case(session, id_, self.chain.is_guilty) for id_ in keys}
            native = {id_: self._native(session, id_, now_s) for id_ in keys}
        accounts = {id_: self.chain.operator(id_) for id_ in keys}
        return [
            wire.NodeView(
                operator_id=id_,
                nodes=nodes,
                stake=accounts[id_].stake,
                locked=accounts[id_].locked,
                earned=accounts[id_].earned,
                claimed=accounts[id_].claimed,
                open_max=sum(exposed[id_].values()),
                delivered_jobs=delivered.get(id_, 0),
                checked_jobs=checked.get(id_, 0),
                slashed=slashed[id_],
                suspended=guilty[id_] is not None,
                native=native[id_],
            )
            for id_, nodes in sorted(keys.items())
        ]

    def _native(self, session: Session, operator_id: int, now_s: int) -> wire.NativeStanding:
        late = overdue_trace(session, operator_id, now_s, self.deployment.constants)
        return wire.NativeStanding(**asdict(self.record.standing(session, operator_id)), overdue_trace=late)

    def epochs(self) -> list[wire.EpochView]:
        """The newest epochs, newest first."""
        now_s, settle_wait_s = self.clock(), self.deployment.constants.settle_wait_s
        with self.database.read() as session:
            query = (
                select(EpochRow, SettlementRow)
                .outerjoin(SettlementRow, col(SettlementRow.epoch_id) == EpochRow.epoch_id)
                .order_by(col(EpochRow.epoch_id).desc())
                .limit(LIST_LIMIT)
            )
            rows = session.exec(query).all()
            ids = {epoch.epoch_id for epoch, _ in rows}
            posted = facts.posts(session, ids | {id_ + 1 for id_ in ids})
            charged = {e.args["id"]: e.args["chargedUnits"] for e in facts.events(session, "EpochSettled", ids)}
        return [
            _epoch_view(epoch, settlement, posted, charged.get(epoch.epoch_id, 0), now_s - settle_wait_s)
            for epoch, settlement in rows
        ]

    def log_file(self, epoch_id: int) -> bytes:
        """The published log of a closed epoch: its lines, each with a line feed. Raises UnknownEpoch."""
        with self.database.read() as session:
            if session.get(EpochRow, epoch_id) is None:
                raise UnknownEpoch(epoch_id=epoch_id)
            lines = facts.log_lines(session, epoch_id)
        return b"".join(line + b"\n" for line in lines)


def _order_view(job: facts.JobRecord, leaves: dict[int, list[bytes]], now_s: int) -> wire.OrderView:
    commitment, state = job.commitment, state_of(job.facts, now_s)
    holder = commitment or (job.lease if state == "leased" else None)
    return wire.OrderView(
        order_id=job.order.order_id, state=state, order=job.order.record, signer=job.order.signer,
        signature=job.order.signature, node=None if holder is None else holder.node,
        commitment=None if commitment is None else commitment.record,
        commitment_signature=None if commitment is None else commitment.signature,
        amount_units=None if commitment is None else commitment.amount, refunded_units=job.refunded,
        receipt=_receipt(job.leaf, leaves),
    )  # fmt: skip


def _receipt(leaf: LeafRow | None, leaves: dict[int, list[bytes]]) -> wire.Receipt | None:
    if leaf is None or leaf.epoch_id not in leaves:
        return None
    return wire.Receipt(
        epoch_id=leaf.epoch_id,
        index=leaf.index,
        operator_id=leaf.operator_id,
        amount_units=leaf.amount,
        commitment_digest=leaf.digest,
        siblings=[to_hex(sibling) for sibling in merkle_proof(leaves[leaf.epoch_id], leaf.index)],
    )


def _delivered_jobs(session: Session) -> dict[int, int]:
    query = select(CommitmentRow.operator_id, func.count()).group_by(col(CommitmentRow.operator_id))
    return dict(session.exec(query).all())


def _checked_jobs(session: Session) -> dict[int, int]:
    """Jobs with a verdict, by operator. Known only after the checks, so it does not reveal which will be made."""
    query = (
        select(CommitmentRow.operator_id, func.count(func.distinct(VerdictRow.commitment_digest)))
        .join(VerdictRow, col(VerdictRow.commitment_digest) == CommitmentRow.digest)
        .group_by(col(CommitmentRow.operator_id))
    )
    return dict(session.exec(query).all())


def _epoch_view(
    epoch: EpochRow,
    settlement: SettlementRow | None,
    posted: dict[int, PostedEpoch],
    charged: int,
    stranded_before: int,
) -> wire.EpochView:
    post = posted.get(epoch.epoch_id)
    state: wire.EpochState = "closing"
    if settlement is not None:
        state = "settled"
    elif post is not None and post.timestamp < stranded_before and epoch.row_count > 0:
        state = "stranded"
    elif post is not None:
        state = "revealed" if epoch.epoch_id + 1 in posted else "posted"
    bits = (b"", b"") if settlement is None else (settlement.void_bits, settlement.skipped_bits)
    void_rows, skipped_rows = ([i for i in range(len(b) * 8) if bit_at(b, i)] for b in bits)
    return wire.EpochView(
        epoch_id=epoch.epoch_id, rows=epoch.row_count, root=epoch.root, log_root=epoch.log_root, state=state,
        post_tx=None if post is None else to_hex(post.tx_hash),
        settle_tx=None if settlement is None else settlement.tx_hash, charged=charged, void_rows=void_rows,
        skipped_rows=skipped_rows,
    )  # fmt: skip
