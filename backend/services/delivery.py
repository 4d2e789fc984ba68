"""Step three: receives a node's commitment within its lease, with the output that it names."""

import logging
from dataclasses import dataclass

from sqlmodel import Session, select

from backend.domain.assignment import check_held
from backend.errors import (
    BlobMissing,
    ContradictingCommitment,
    OutputRefused,
    OutputTooLong,
    UnitsRefused,
    UnknownOrder,
    WrongSigner,
)
from backend.services.clock import Clock
from backend.services.offering import find_offer
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import last_lease
from backend.store.tables import CommitmentRow, EquivocationRow, OrderRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import MAX_OUTPUT_BYTES
from contracts.protocol.packed import counts
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import Commitment, Order
from contracts.protocol.signing import recover
from contracts.protocol.wire import Acknowledgement, SubmitCommitment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """Receives commitments: one per order, the first within its lease."""

    database: Database
    blobs: BlobStore
    deployment: Deployment
    clock: Clock

    def receive(self, submitted: SubmitCommitment) -> Acknowledgement:
        """Acknowledges once the commitment is durable. The same one again is acknowledged as not new.

        Raises WrongSigner, UnknownOrder, LeaseNotHeld, LeaseExpired, BlobMissing, OutputTooLong, OutputRefused,
        UnitsRefused or ContradictingCommitment.
        """
        commitment = submitted.commitment
        raw_digest = self.deployment.domain.commitment_digest(commitment)
        recovered = recover(raw_digest, submitted.signature)
        if recovered != commitment.node:
            raise WrongSigner(what="commitment", named=commitment.node, recovered=recovered)
        digest, now_s = to_hex(raw_digest), self.clock()
        self._keep_equivocation(submitted, digest, now_s)
        has_output = self.blobs.has(commitment.output_root)
        with self.database.begin() as session:
            order = session.get(OrderRow, commitment.order_id)
            if order is None:
                raise UnknownOrder(order_id=commitment.order_id)
            if _is_known(session, commitment.order_id, digest):
                return Acknowledgement(digest=digest, new=False)
            lease = last_lease(session, order.order_id)
            holder, expires = (None, 0) if lease is None else (lease.node, lease.expires)
            check_held(node=commitment.node, order_id=order.order_id, holder=holder, expires=expires, now_s=now_s)
            assert lease is not None, "check_held refuses an order without a lease"
            if not has_output:
                raise BlobMissing(field="commitment.output_root", name=commitment.output_root)
            self._check_work(session, commitment, order)
            amount = amount_units(Order.model_validate_json(order.order_json).terms, commitment.units)
            row = CommitmentRow.of(digest, commitment, submitted.signature, lease.operator_id, amount, now_s)
            session.add(row)
            self.blobs.keep_named("commitment.output_root", commitment.output_root)
        log.info("delivered order=%s node=%s commitment=%s", commitment.order_id, commitment.node, digest)
        return Acknowledgement(digest=digest, new=True)

    def _keep_equivocation(self, submitted: SubmitCommitment, digest: str, now_s: int) -> None:
        """Keeps a node's second, different answer. It is refused, and costs the node its stake."""
        commitment = submitted.commitment
        with self.database.begin() as session:
            known = session.exec(select(CommitmentRow).where(CommitmentRow.order_id == commitment.order_id)).first()
            twice = known is not None and known.node == commitment.node and known.digest != digest
            if twice and session.get(EquivocationRow, commitment.order_id) is None:
                session.add(
                    EquivocationRow(
                        order_id=commitment.order_id,
                        commitment_json=commitment.model_dump_json(),
                        signature=submitted.signature,
                        received_at=now_s,
                    )
                )

    def _check_work(self, session: Session, commitment: Commitment, order: OrderRow) -> None:
        """The units are those of the output and within the order, and a contest can show the output on chain:
        otherwise the settler's bond would pay. Raises OutputTooLong, OutputRefused, UnitsRefused.
        """
        output = self.blobs.get(commitment.output_root)
        if len(output) > MAX_OUTPUT_BYTES:
            raise OutputTooLong(length=len(output), limit=MAX_OUTPUT_BYTES)
        manifest = find_offer(session, order.workload_id).manifest
        params = Order.model_validate_json(order.order_json).terms.params
        asked = counts(self.blobs.get(order.prompt_root))
        try:
            answered = counts(output)
        except NotPacked as error:
            raise OutputRefused(str(error)) from error
        if len(answered) != len(asked):
            raise OutputRefused(f"it answers {len(answered)} texts, {len(asked)} were asked")
        units, most = manifest.units(asked, answered), manifest.most_units(asked, params.max_new_tokens)
        if commitment.units != units or units > most:
            raise UnitsRefused(units=commitment.units, counted=units, most=most)


def _is_known(session: Session, order_id: str, digest: str) -> bool:
    known = session.exec(select(CommitmentRow).where(CommitmentRow.order_id == order_id)).first()
    if known is None:
        return False
    if known.digest != digest:
        log.warning("contradicting commitments order=%s kept=%s refused=%s", order_id, known.digest, digest)
        raise ContradictingCommitment(order_id=order_id, kept=known.digest, refused=digest)
    return True
