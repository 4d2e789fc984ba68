"""Step two: lends jobs to nodes that ask, and extends their leases with each heartbeat."""

import logging
from dataclasses import dataclass

from sqlmodel import Session

from backend.chain.views import ChainView
from backend.domain.assignment import Cover, LeaseTimes, OperatorFacts, choose, in_time, lease_end, offered_to
from backend.domain.errors import OperatorWithheld
from backend.errors import NodeBusy, UnknownOrder
from backend.services.clock import Clock
from backend.services.node_requests import authenticate, require_lease
from backend.services.offering import find_offer
from backend.services.presence import note_alive, note_asked, require_one_place
from backend.services.record import PublicRecord
from backend.services.withholding import overdue_trace, unmeasured_class
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import exposed_of_operator, guilty_case, held_by, waiting
from backend.store.tables import LeaseRow, OrderRow, ReturnRow
from contracts.onchain.deployment import Deployment
from contracts.protocol import wire
from contracts.protocol.hashing import to_hex
from contracts.protocol.records import Lease, NodeRequest
from contracts.protocol.signing import Signer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leasing:
    """Lends jobs. Here `settler` signs leases only."""

    database: Database
    blobs: BlobStore
    chain: ChainView
    deployment: Deployment
    settler: Signer
    times: LeaseTimes
    cover: Cover
    record: PublicRecord
    clock: Clock

    def lend(self, asked: wire.LeaseRequest) -> wire.LeaseGrant | None:
        """The oldest job of the workload that the node may take, or None; first a job that it holds but does not name.

        Raises an Unauthenticated, UnknownWorkload, OperatorSuspended, OperatorWithheld, StakeTooLow, NodeBusy or
        NodeElsewhere.
        """
        operator_id = authenticate(
            asked.request, asked.signature, wire.ACTION_LEASE, self.chain, self.deployment.domain, self.clock()
        )
        account = self.chain.operator(operator_id)
        node, now_s, constants = asked.request.node, self.clock(), self.deployment.constants
        with self.database.read() as session:
            offer = find_offer(session, asked.workload_id)
            case = guilty_case(session, operator_id, self.chain.is_guilty)
        with self.database.begin() as session:
            require_one_place(session, asked, now_s)
            unknown = next((held for held in held_by(session, node, now_s) if held.order_id not in asked.held), None)
            if unknown is not None:
                note_asked(session, asked, now_s)
                return self._held_grant(session, unknown, asked.workload_id)
            exposed = exposed_of_operator(session, operator_id, now_s, constants.settle_wait_s)
            operator = OperatorFacts(operator_id, account.stake, sum(exposed.values()), len(exposed), case)
            jobs = waiting(session, asked.workload_id, operator_id, node, now_s)
            if offer.manifest.comparator == "native":
                jobs = offered_to(jobs, self._reputation_ppm(session, operator_id, asked.workload_id, now_s), now_s)
            job = choose(in_time(jobs, asked.pace, now_s), operator, self.cover)
            note_asked(session, asked, now_s)
            if job is None:
                return None
            row = LeaseRow(
                order_id=job.order_id, node=node, operator_id=operator_id, granted_at=now_s,
                expires=lease_end(job.deadline, now_s, self.times), signature="",
            )  # fmt: skip
            grant = self._sign(session, row)
        log.info("leased order=%s node=%s operator=%d until=%d", job.order_id, node, operator_id, row.expires)
        return grant

    def extend(self, beat: wire.Heartbeat) -> wire.LeaseGrant:
        """The lease, extended from now. Raises LeaseNotHeld or LeaseExpired if the node has lost the job."""
        authenticate(
            beat.request, beat.signature, wire.ACTION_HEARTBEAT, self.chain, self.deployment.domain, self.clock()
        )
        now_s = self.clock()
        with self.database.begin() as session:
            order, row = _held(session, beat.request, now_s)
            note_alive(session, beat.request.node, now_s)
            row.expires = max(row.expires, lease_end(order.deadline, now_s, self.times))
            grant = self._sign(session, row)
        return grant

    def take_back(self, returned: wire.ReturnLease) -> wire.Acknowledgement:
        """Ends a lease now, so that the next node that asks gets the job. Raises LeaseNotHeld or LeaseExpired.

        It ends with the present second, so that no two leases of a job end together, as the audit requires.
        """
        request, domain = returned.request, self.deployment.domain
        authenticate(request, returned.signature, wire.ACTION_RETURN, self.chain, domain, self.clock())
        now_s = self.clock()
        with self.database.begin() as session:
            _, row = _held(session, request, now_s)
            row.expires = min(row.expires, now_s)
            self._sign(session, row)
            session.merge(
                ReturnRow(
                    order_id=request.order_id, node=request.node, reason=returned.reason, words=returned.words,
                    returned_at=now_s,
                )
            )  # fmt: skip
        log.info("returned order=%s node=%s %s: %s", request.order_id, request.node, returned.reason, returned.words)
        return wire.Acknowledgement(digest=to_hex(domain.node_request_digest(request)), new=True)

    def _reputation_ppm(self, session: Session, operator_id: int, workload_id: str, now_s: int) -> int:
        """An operator's reputation on native work. Raises OperatorWithheld if it is lent none."""
        found = self.record.standing(session, operator_id)
        if not found.leases:
            raise OperatorWithheld(operator_id=operator_id, why="verifiers of other classes saw another model's work")
        constants = self.deployment.constants
        named = unmeasured_class(session, self.blobs, operator_id, workload_id, now_s, constants)
        if named is not None:
            why = f"nobody has measured its numeric class {named} on this model, so nobody could check its work"
            raise OperatorWithheld(operator_id=operator_id, why=why)
        late = overdue_trace(session, operator_id, now_s, constants)
        if late is not None:
            raise OperatorWithheld(operator_id=operator_id, why=f"it has not shown the trace of {late}")
        return found.reputation_ppm

    def _held_grant(self, session: Session, held: LeaseRow, workload_id: str) -> wire.LeaseGrant:
        """The grant, again, for a node that lost it in a restart or with an answer. Raises NodeBusy."""
        order = session.get_one(OrderRow, held.order_id)
        if order.workload_id != workload_id:
            raise NodeBusy(node=held.node, order_id=held.order_id, expires=held.expires)
        return _grant(held, order)

    def _sign(self, session: Session, row: LeaseRow) -> wire.LeaseGrant:
        lease = Lease(order_id=row.order_id, node=row.node, expires=row.expires)
        row.signature = self.settler.sign(self.deployment.domain.lease_digest(lease))
        session.add(row)
        return _grant(row, session.get_one(OrderRow, row.order_id))


def _held(session: Session, request: NodeRequest, now_s: int) -> tuple[OrderRow, LeaseRow]:
    """The order that a request names, and its lease. Raises UnknownOrder, LeaseNotHeld or LeaseExpired."""
    order = session.get(OrderRow, request.order_id)
    if order is None:
        raise UnknownOrder(order_id=request.order_id)
    return order, require_lease(session, order.order_id, request.node, now_s)


def _grant(lease: LeaseRow, order: OrderRow) -> wire.LeaseGrant:
    return wire.LeaseGrant(
        lease=Lease(order_id=lease.order_id, node=lease.node, expires=lease.expires),
        lease_signature=lease.signature,
        order=order.record,
        signer=order.signer,
        order_signature=order.signature,
    )
