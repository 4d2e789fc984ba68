"""Which verdicts earn their price: the first opened verdict on a row that the sample picked, once (SPEC section 9).

Recomputes seed, exposure and threshold as the auditor does, from confirmed events and the epochs' rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.chain.event_rows import load_history
from backend.domain.epochs import Candidate
from backend.services.log_lines import VERDICT_FACT
from backend.services.standings import native_checks
from backend.store import facts
from backend.store.blobs import BlobStore
from backend.store.chain_tables import LoggedFactRow
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, VerdictRow, WorkloadRow
from contracts.onchain.chain import Chain
from contracts.onchain.history import History
from contracts.onchain.rates import check_threshold
from contracts.protocol.constants import Constants
from contracts.protocol.exposure import exposure_units
from contracts.protocol.hashing import from_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row
from contracts.protocol.native import Standing, standing
from contracts.protocol.sampling import is_sampled, seed


@dataclass(frozen=True)
class NewVerdicts:
    """Verdicts that are in no log yet and whose row's sample is known; `payable` by the digest of the verdict."""

    verdicts: list[VerdictRow]
    payable: dict[bytes, Candidate]


def new_verdicts(session: Session, blobs: BlobStore, chain: Chain, treasury_signer: str) -> NewVerdicts:
    """Reads the verdicts that the next epoch may log. Folds the chain's past only when one may be payable."""
    found = NewVerdicts([], {})
    sample: Sample | None = None
    for verdict in _unlogged(session):
        leaf = session.exec(select(LeafRow).where(LeafRow.digest == verdict.commitment_digest)).first()
        if leaf is None or not is_revealed(session, leaf.epoch_id):
            continue
        found.verdicts.append(verdict)
        if verdict.opening_json is None or _is_paid(session, verdict) or _is_paid_now(found, verdict):
            continue
        sample = sample or Sample(session, blobs, chain.deployment.constants, lambda number: chain.block(number).hash)
        price = sample.check_price(leaf)
        if price is not None:
            digest = from_hex(verdict.digest)
            row = Row(chain.deployment.treasury, treasury_signer, verdict.operator_id, price, digest)
            found.payable[digest] = Candidate(row, "check", verdict.received_at)
    return found


def is_revealed(session: Session, epoch_id: int) -> bool:
    """Whether an epoch's sample is known, as far as is confirmed here."""
    return len(facts.posts(session, [epoch_id, epoch_id + 1])) == 2


class Sample:
    """The sample of every revealed epoch. `block_hash`: of a block by its number."""

    def __init__(
        self, session: Session, blobs: BlobStore, constants: Constants, block_hash: Callable[[int], bytes]
    ) -> None:
        self._session, self._blobs, self._constants, self._block_hash = session, blobs, constants, block_hash
        self._history: History = load_history(session)
        self._posted_at = {epoch_id: epoch.timestamp for epoch_id, epoch in self._history.epochs.items()}
        self._seeds: dict[int, bytes] = {}
        self._rows: dict[int, list[tuple[int, int]]] = {}

    def check_price(self, leaf: LeafRow) -> int | None:
        """What a check of this row earns, units; None when the sample did not pick it, or it is a check itself."""
        if leaf.kind != "job":
            return None
        manifest = self._manifest(leaf.digest)
        epoch = self._history.epochs[leaf.epoch_id]
        native = manifest.comparator == "native"
        threshold = check_threshold(
            self._history,
            self._constants,
            manifest,
            operator_id=leaf.operator_id,
            block_number=epoch.block_number,
            exposure_units=self._exposure(leaf.operator_id, leaf.epoch_id),
            watched_ppm=self._standing(leaf).least_rate_ppm if native else 0,
        )
        picked = is_sampled(self._seed(leaf.epoch_id), from_hex(leaf.digest), threshold)
        return manifest.check_price_units if picked else None

    def _standing(self, leaf: LeafRow) -> Standing:
        return standing(native_checks(self._session, self._blobs, leaf.operator_id, before=leaf.epoch_id))

    def _exposure(self, operator_id: int, epoch_id: int) -> int:
        wait = self._constants.check_wait_s
        start = self._posted_at[epoch_id] - wait
        near = [m for m in self._posted_at if m == epoch_id or (m < epoch_id and self._posted_at[m + 1] > start)]
        rows = {m: self._rows_of(m) for m in near}
        return exposure_units(operator_id, epoch_id, rows, self._posted_at, wait)

    def _rows_of(self, epoch_id: int) -> list[tuple[int, int]]:
        if epoch_id not in self._rows:
            query = (
                select(LeafRow.operator_id, OrderRow.max_price)
                .join(CommitmentRow, col(CommitmentRow.digest) == LeafRow.digest)
                .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
                .where(LeafRow.epoch_id == epoch_id)
            )
            self._rows[epoch_id] = [(operator, price) for operator, price in self._session.exec(query)]
        return self._rows[epoch_id]

    def _seed(self, epoch_id: int) -> bytes:
        if epoch_id not in self._seeds:
            epoch = self._history.epochs[epoch_id]
            block_hash = self._block_hash(epoch.block_number + self._constants.seed_blocks)
            self._seeds[epoch_id] = seed(block_hash, self._history.epochs[epoch_id + 1].beacon, epoch.root)
        return self._seeds[epoch_id]

    def _manifest(self, commitment_digest: str) -> Manifest:
        query = (
            select(WorkloadRow.manifest)
            .join(OrderRow, col(OrderRow.workload_id) == WorkloadRow.workload_id)
            .join(CommitmentRow, col(CommitmentRow.order_id) == OrderRow.order_id)
            .where(CommitmentRow.digest == commitment_digest)
        )
        return Manifest.model_validate_json(self._session.exec(query).one())


def _unlogged(session: Session) -> list[VerdictRow]:
    fact = VERDICT_FACT + col(VerdictRow.digest)
    query = select(VerdictRow).outerjoin(LoggedFactRow, col(LoggedFactRow.fact) == fact)
    query = query.where(col(LoggedFactRow.fact).is_(None))
    return list(session.exec(query.order_by(col(VerdictRow.received_at), col(VerdictRow.digest))))


def _is_paid(session: Session, verdict: VerdictRow) -> bool:
    """Whether a verdict on the same row is a leaf."""
    query = (
        select(VerdictRow.digest)
        .join(LeafRow, col(LeafRow.digest) == VerdictRow.digest)
        .where(VerdictRow.commitment_digest == verdict.commitment_digest)
    )
    return session.exec(query).first() is not None


def _is_paid_now(found: NewVerdicts, verdict: VerdictRow) -> bool:
    earlier = (one for one in found.verdicts if one.commitment_digest == verdict.commitment_digest)
    return any(from_hex(one.digest) in found.payable for one in earlier)
