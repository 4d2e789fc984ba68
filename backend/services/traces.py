"""Receives the traces behind commitments, once nobody can profit from copying them."""

import logging
from dataclasses import dataclass

from sqlmodel import Session, select

from backend import errors
from backend.services.clock import Clock
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import posts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, TraceRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.records import Commitment
from contracts.protocol.trace import MAX_TRACE_BYTES, is_trace_of, opens_at
from contracts.protocol.wire import Acknowledgement, SubmitTrace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Traces:
    """Receives traces. Anyone may send one: the commitment binds it."""

    database: Database
    blobs: BlobStore
    deployment: Deployment
    clock: Clock

    def receive(self, shown: SubmitTrace) -> Acknowledgement:
        """Acknowledges once the trace is durable. The same one again is acknowledged as not new.

        Raises UnknownCommitment, TraceTooEarly, BlobMissing, TraceTooLong, TraceMismatch, ContradictingTrace.
        """
        digest, now_s = shown.commitment_digest, self.clock()
        with self.database.begin() as session:
            commitment = session.get(CommitmentRow, digest)
            if commitment is None:
                raise errors.UnknownCommitment(digest=digest)
            known = session.get(TraceRow, digest)
            if known is not None:
                if known.trace != shown.trace:
                    raise errors.ContradictingTrace(digest=digest, kept=known.trace, refused=shown.trace)
                return Acknowledgement(digest=digest, new=False)
            due_at = self._due_at(session, commitment)
            if due_at is None or now_s < due_at:
                raise errors.TraceTooEarly(digest=digest, opens_at=due_at, now_s=now_s)
            self._check(shown, commitment.record)
            session.add(TraceRow(commitment_digest=digest, trace=shown.trace, received_at=now_s))
            self.blobs.keep_named("trace", shown.trace)
        log.info("trace commitment=%s blob=%s", digest, shown.trace)
        return Acknowledgement(digest=digest, new=True)

    def _due_at(self, session: Session, commitment: CommitmentRow) -> int | None:
        """When the trace may first be shown, Unix seconds; None until its sample is revealed."""
        leaf = session.exec(select(LeafRow).where(LeafRow.digest == commitment.digest)).first()
        if leaf is None:
            return None
        posted = posts(session, [leaf.epoch_id, leaf.epoch_id + 1])
        if len(posted) < 2:
            return None
        comparator = session.get_one(OrderRow, commitment.order_id).record.terms.comparator
        here, following = posted[leaf.epoch_id].timestamp, posted[leaf.epoch_id + 1].timestamp
        return opens_at(comparator, here, following, self.deployment.constants)

    def _check(self, shown: SubmitTrace, commitment: Commitment) -> None:
        if not self.blobs.has(shown.trace):
            raise errors.BlobMissing(field="trace", name=shown.trace)
        trace = self.blobs.get(shown.trace)
        if len(trace) > MAX_TRACE_BYTES:
            raise errors.TraceTooLong(length=len(trace), limit=MAX_TRACE_BYTES)
        if not is_trace_of(trace, commitment):
            raise errors.TraceMismatch(digest=shown.commitment_digest, trace=shown.trace)
