"""Step four: receives a verifier's verdict on a job under a posted root."""

import logging
from dataclasses import dataclass

from sqlmodel import Session, select

from backend import errors
from backend.chain.views import ChainView
from backend.services.clock import Clock
from backend.services.record import PublicRecord
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import posts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, TraceRow, VerdictRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import BadFingerprint
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.native.observation import Observation, observed_opening
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment, Opening, Verdict
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import agrees, answer_commit
from contracts.protocol.wire import Acknowledgement, SubmitVerdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdicts:
    """Receives verdicts, one per verifier and commitment. It does not judge: verifiers who disagree go to court."""

    database: Database
    blobs: BlobStore
    chain: ChainView
    deployment: Deployment
    record: PublicRecord
    clock: Clock

    def receive(self, submitted: SubmitVerdict) -> Acknowledgement:
        """Acknowledges once the verdict is durable. The same one again is acknowledged as not new.

        Raises WrongSigner, InactiveVerifier, UnknownRow, NotSampled, OpeningMismatch, OpeningDisagrees, BlobMissing,
        ObservationRefused, ContradictingVerdict.
        """
        verdict = submitted.verdict
        raw_digest = self.deployment.domain.verdict_digest(verdict)
        recovered = recover(raw_digest, submitted.signature)
        if recovered != verdict.verifier:
            raise errors.WrongSigner(what="verdict", named=verdict.verifier, recovered=recovered)
        account_id = self.chain.active_verifier(verdict.verifier)
        if account_id == 0:
            raise errors.InactiveVerifier(key=verdict.verifier)
        self._require_sampled(submitted.epoch_id, verdict.commitment_digest)
        digest, now_s = to_hex(raw_digest), self.clock()
        with self.database.begin() as session:
            commitment = _posted_commitment(session, submitted.epoch_id, verdict.commitment_digest)
            if submitted.opening is not None:
                _check_hidden(submitted.opening, verdict)
            if _is_known(session, verdict, digest):
                return Acknowledgement(digest=digest, new=False)
            if submitted.observation is not None:
                self._check_observation(session, submitted, commitment)
            elif submitted.opening is not None and not agrees(submitted.opening, commitment):
                raise errors.OpeningDisagrees(digest=verdict.commitment_digest)
            row = VerdictRow.of(
                digest, submitted.epoch_id, verdict, submitted.opening, submitted.observation, submitted.signature,
                account_id, now_s,
            )  # fmt: skip
            session.add(row)
            if submitted.observation is not None:
                self.blobs.keep_named("observation", submitted.observation)
        log.info("verdict digest=%s epoch=%d verifier=%s", digest, submitted.epoch_id, verdict.verifier)
        return Acknowledgement(digest=digest, new=True)

    def _check_observation(self, session: Session, submitted: SubmitVerdict, commitment: Commitment) -> None:
        """The order is native, its trace is not public yet (it could be copied), and the opening matches the bytes."""
        digest, name = submitted.verdict.commitment_digest, submitted.observation
        assert name is not None, "there is one"
        if not self.blobs.has(name):
            raise errors.BlobMissing(field="observation", name=name)
        observation = self.blobs.get(name)
        order = session.get_one(OrderRow, commitment.order_id)
        if order.record.terms.comparator != COMPARATOR_NATIVE:
            raise errors.ObservationRefused(digest=digest, why="the order's comparator is not `native`")
        if session.get(TraceRow, digest) is not None:
            raise errors.ObservationRefused(
                digest=digest, why="its node has shown its trace, so that it could be copied"
            )
        try:
            Observation.decode(observation)
        except BadFingerprint as error:
            raise errors.ObservationRefused(digest=digest, why=str(error)) from error
        if submitted.opening != observed_opening(observation, commitment):
            raise errors.ObservationRefused(
                digest=digest, why="the opening is not that of these bytes, output and units"
            )

    def _require_sampled(self, epoch_id: int, digest: str) -> None:
        """Raises NotSampled for a row that the sample left out. Passes while the sample is not revealed."""
        with self.database.read() as session:
            query = select(LeafRow).where(LeafRow.epoch_id == epoch_id, LeafRow.digest == digest, LeafRow.kind == "job")
            leaf = session.exec(query).first()
            drawn = None if leaf is None else self.record.drawn(session, leaf)
            if leaf is not None and drawn is not None and not drawn.sampled:
                raise errors.NotSampled(epoch_id=epoch_id, index=leaf.index, digest=digest)


def _posted_commitment(session: Session, epoch_id: int, digest: str) -> Commitment:
    """The commitment of a job's row. Raises UnknownRow, also for the row of a check: its digest is a verdict's."""
    query = (
        select(CommitmentRow)
        .join(LeafRow, LeafRow.digest == CommitmentRow.digest)  # type: ignore[arg-type]  # a column expression
        .where(LeafRow.epoch_id == epoch_id, CommitmentRow.digest == digest)
    )
    row = session.exec(query).first()
    if row is None or epoch_id not in posts(session, [epoch_id]):
        raise errors.UnknownRow(epoch_id=epoch_id, digest=digest)
    return row.record


def _check_hidden(opening: Opening, verdict: Verdict) -> None:
    actual = to_hex(answer_commit(opening, from_hex(verdict.commitment_digest), verdict.verifier))
    if actual != verdict.answer_commit:
        raise errors.OpeningMismatch(answer_commit=verdict.answer_commit, actual=actual)


def _is_known(session: Session, verdict: Verdict, digest: str) -> bool:
    query = select(VerdictRow).where(
        VerdictRow.commitment_digest == verdict.commitment_digest, VerdictRow.verifier == verdict.verifier
    )
    known = session.exec(query).first()
    if known is not None and known.digest != digest:
        raise errors.ContradictingVerdict(kept=known.digest, refused=digest)
    return known is not None
