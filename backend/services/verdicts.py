"""Step four: a verifier's verdict on a job under a posted root."""

import logging
from dataclasses import dataclass

from sqlmodel import Session, select

from backend.chain.views import ChainView
from backend.errors import (
    ContradictingVerdict,
    InactiveVerifier,
    NotSampled,
    OpeningDisagrees,
    OpeningMismatch,
    UnknownRow,
    WrongSigner,
)
from backend.services.checks import Sample, is_revealed
from backend.services.intake import Clock
from backend.store.database import Database
from backend.store.facts import posts
from backend.store.tables import CommitmentRow, LeafRow, VerdictRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.records import Commitment, Opening, Verdict
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import agrees, answer_commit
from contracts.protocol.wire import Acknowledgement, SubmitVerdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdicts:
    """Receives verdicts: one a verifier and commitment. It judges nothing; whoever disagrees goes to the court."""

    database: Database
    chain: ChainView
    deployment: Deployment
    clock: Clock

    def receive(self, submitted: SubmitVerdict) -> Acknowledgement:
        """Acknowledges once the verdict is durable; the same one again is acknowledged as not new.

        Raises WrongSigner, InactiveVerifier, UnknownRow, NotSampled, OpeningMismatch, OpeningDisagrees,
        ContradictingVerdict.
        """
        verdict = submitted.verdict
        raw_digest = self.deployment.domain.verdict_digest(verdict)
        recovered = recover(raw_digest, submitted.signature)
        if recovered != verdict.verifier:
            raise WrongSigner(what="verdict", named=verdict.verifier, recovered=recovered)
        account_id = self.chain.active_verifier(verdict.verifier)
        if account_id == 0:
            raise InactiveVerifier(key=verdict.verifier)
        self._require_sampled(submitted.epoch_id, verdict.commitment_digest)
        digest, now_s = to_hex(raw_digest), self.clock()
        with self.database.begin() as session:
            commitment = _posted_commitment(session, submitted.epoch_id, verdict.commitment_digest)
            if submitted.opening is not None:
                _check_opening(submitted.opening, verdict, commitment)
            if _is_known(session, verdict, digest):
                return Acknowledgement(digest=digest, new=False)
            session.add(_row(submitted, digest, account_id, now_s))
        log.info("verdict digest=%s epoch=%d verifier=%s", digest, submitted.epoch_id, verdict.verifier)
        return Acknowledgement(digest=digest, new=True)

    def _require_sampled(self, epoch_id: int, digest: str) -> None:
        """Raises NotSampled for a row that the sample left out. Before the reveal is confirmed here, nobody knows."""
        with self.database.read() as session:
            query = select(LeafRow).where(LeafRow.epoch_id == epoch_id, LeafRow.digest == digest, LeafRow.kind == "job")
            leaf = session.exec(query).first()
            if leaf is None or not is_revealed(session, epoch_id):
                return
            sample = Sample(session, self.deployment.constants, self.chain.block_hash)
            if sample.check_price(leaf) is None:
                raise NotSampled(epoch_id=epoch_id, index=leaf.index, digest=digest)


def _posted_commitment(session: Session, epoch_id: int, digest: str) -> Commitment:
    """The commitment of a job's row. The rows of checks have verdict digests, so they are never found."""
    query = (
        select(CommitmentRow)
        .join(LeafRow, LeafRow.digest == CommitmentRow.digest)  # type: ignore[arg-type]  # a column expression
        .where(LeafRow.epoch_id == epoch_id, CommitmentRow.digest == digest)
    )
    row = session.exec(query).first()
    if row is None or epoch_id not in posts(session, [epoch_id]):
        raise UnknownRow(epoch_id=epoch_id, digest=digest)
    return Commitment.model_validate_json(row.commitment_json)


def _check_opening(opening: Opening, verdict: Verdict, commitment: Commitment) -> None:
    actual = to_hex(answer_commit(opening, from_hex(verdict.commitment_digest), verdict.verifier))
    if actual != verdict.answer_commit:
        raise OpeningMismatch(answer_commit=verdict.answer_commit, actual=actual)
    if not agrees(opening, commitment):
        raise OpeningDisagrees(digest=verdict.commitment_digest)


def _is_known(session: Session, verdict: Verdict, digest: str) -> bool:
    query = select(VerdictRow).where(
        VerdictRow.commitment_digest == verdict.commitment_digest, VerdictRow.verifier == verdict.verifier
    )
    known = session.exec(query).first()
    if known is not None and known.digest != digest:
        raise ContradictingVerdict(kept=known.digest, refused=digest)
    return known is not None


def _row(submitted: SubmitVerdict, digest: str, account_id: int, now_s: int) -> VerdictRow:
    verdict, opening = submitted.verdict, submitted.opening
    return VerdictRow(
        digest=digest,
        epoch_id=submitted.epoch_id,
        commitment_digest=verdict.commitment_digest,
        verifier=verdict.verifier,
        operator_id=account_id,
        verdict_json=verdict.model_dump_json(),
        opening_json=None if opening is None else opening.model_dump_json(),
        signature=submitted.signature,
        received_at=now_s,
    )
