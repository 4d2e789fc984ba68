"""Step three: receives a node's commitment within its lease, with the output that it names."""

import logging
from dataclasses import dataclass

from sqlmodel import Session, select

from backend import errors
from backend.services.clock import Clock
from backend.services.node_requests import require_lease
from backend.services.offering import find_offer
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.tables import CommitmentRow, EquivocationRow, OrderRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import MAX_OUTPUT_BYTES
from contracts.protocol.packed import counts
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import Commitment
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
            raise errors.WrongSigner(what="commitment", named=commitment.node, recovered=recovered)
        digest, now_s = to_hex(raw_digest), self.clock()
        self._keep_equivocation(submitted, digest, now_s)
        has_output = self.blobs.has(commitment.output_root)
        with self.database.begin() as session:
            order = session.get(OrderRow, commitment.order_id)
            if order is None:
                raise errors.UnknownOrder(order_id=commitment.order_id)
            if _is_known(session, commitment.order_id, digest):
                return Acknowledgement(digest=digest, new=False)
            lease = require_lease(session, order.order_id, commitment.node, now_s)
            if not has_output:
                raise errors.BlobMissing(field="commitment.output_root", name=commitment.output_root)
            self._check_work(session, commitment, order)
            amount = amount_units(order.record.terms, commitment.units)
            session.add(CommitmentRow.of(digest, commitment, submitted.signature, lease.operator_id, amount, now_s))
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
                second = {"commitment_json": commitment.model_dump_json(), "signature": submitted.signature}
                session.add(EquivocationRow(order_id=commitment.order_id, **second, received_at=now_s))

    def _check_work(self, session: Session, commitment: Commitment, order: OrderRow) -> None:
        """The units are the output's and within the order, and a contest can show the output on chain: otherwise the
        settler's bond would pay. Raises OutputTooLong, OutputRefused, UnitsRefused."""
        output = self.blobs.get(commitment.output_root)
        if len(output) > MAX_OUTPUT_BYTES:
            raise errors.OutputTooLong(length=len(output), limit=MAX_OUTPUT_BYTES)
        manifest = find_offer(session, order.workload_id).manifest
        params = order.record.terms.params
        asked = counts(self.blobs.get(order.prompt_root))
        try:
            answered = counts(output)
        except NotPacked as error:
            raise errors.OutputRefused(str(error)) from error
        if len(answered) != len(asked):
            raise errors.OutputRefused(f"it answers {len(answered)} texts, {len(asked)} were asked")
        units, most = manifest.units(asked, answered), manifest.most_units(asked, params.max_new_tokens)
        if commitment.units != units or units > most:
            raise errors.UnitsRefused(units=commitment.units, counted=units, most=most)


def _is_known(session: Session, order_id: str, digest: str) -> bool:
    known = session.exec(select(CommitmentRow).where(CommitmentRow.order_id == order_id)).first()
    if known is None:
        return False
    if known.digest != digest:
        log.warning("contradicting commitments order=%s kept=%s refused=%s", order_id, known.digest, digest)
        raise errors.ContradictingCommitment(order_id=order_id, kept=known.digest, refused=digest)
    return True
