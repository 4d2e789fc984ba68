"""The public record in the tables: the adapter of `contracts.record.facts`, and the history of confirmed events."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from sqlmodel import Session, col, select

from backend.store.blobs import BlobStore
from backend.store.chain_tables import BlockRow, LoggedFactRow
from backend.store.event_rows import add_newer
from backend.store.facts import newest_block
from backend.store.tables import CommitmentRow, LeafRow, OrderRow, TraceRow, VerdictRow, WorkloadRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.manifest import Manifest
from contracts.record.facts import JobRow, ShownTrace
from contracts.record.history import History

WORKLOAD_FACT, VERDICT_FACT, TRACE_FACT = "workload:", "verdict:", "trace:"
KEPT_EPOCHS = 64


@dataclass(frozen=True)
class SqlFacts:
    """`Facts` over the rows that the log is written from. `kept`: job rows of closed epochs, for later sessions."""

    session: Session
    blobs: BlobStore
    kept: dict[int, list[JobRow]] = field(default_factory=dict)

    def job_rows(self, epoch_id: int) -> list[JobRow]:
        """See Facts. Caches KEPT_EPOCHS epochs."""
        if epoch_id not in self.kept:
            if len(self.kept) >= KEPT_EPOCHS:
                del self.kept[min(self.kept)]
            self.kept[epoch_id] = self._job_rows(epoch_id)
        return self.kept[epoch_id]

    def _job_rows(self, epoch_id: int) -> list[JobRow]:
        query = (
            select(LeafRow, OrderRow.max_price, WorkloadRow.manifest)
            .join(CommitmentRow, col(CommitmentRow.digest) == LeafRow.digest)
            .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
            .join(WorkloadRow, col(WorkloadRow.workload_id) == OrderRow.workload_id)
            .where(LeafRow.epoch_id == epoch_id, LeafRow.kind == "job")
            .order_by(col(LeafRow.index))
        )
        manifest = cache(Manifest.model_validate_json)
        return [
            JobRow(leaf.index, from_hex(leaf.digest), leaf.operator_id, max_price, manifest(raw))
            for leaf, max_price, raw in self.session.exec(query)
        ]

    def shown_traces(self, epoch_id: int) -> list[ShownTrace]:
        query = (
            select(TraceRow.trace, CommitmentRow, WorkloadRow)
            .join(LoggedFactRow, col(LoggedFactRow.fact) == TRACE_FACT + col(TraceRow.commitment_digest))
            .join(CommitmentRow, col(CommitmentRow.digest) == TraceRow.commitment_digest)
            .join(OrderRow, col(OrderRow.order_id) == CommitmentRow.order_id)
            .join(WorkloadRow, col(WorkloadRow.workload_id) == OrderRow.workload_id)
            .where(LoggedFactRow.epoch_id == epoch_id)
            .order_by(col(TraceRow.commitment_digest))
        )
        found = []
        for trace, commitment, workload in self.session.exec(query):
            manifest, seen = workload.record, self._observations(commitment.digest, epoch_id)
            if manifest.comparator == "native":  # traces of exact work are published too; standings ignore them
                digest, weights = from_hex(commitment.digest), manifest.weights_sha256
                found.append(ShownTrace(digest, commitment.record, commitment.operator_id, weights, trace, seen))
        return found

    def _observations(self, commitment_digest: str, until: int) -> tuple[tuple[str, str], ...]:
        query = (
            select(VerdictRow.verifier, VerdictRow.observation)
            .join(LoggedFactRow, col(LoggedFactRow.fact) == VERDICT_FACT + col(VerdictRow.digest))
            .where(VerdictRow.commitment_digest == commitment_digest, col(VerdictRow.observation).is_not(None))
            .where(col(LoggedFactRow.epoch_id) <= until)
            .order_by(col(VerdictRow.verifier), col(VerdictRow.observation))
        )
        return tuple((verifier, name) for verifier, name in self.session.exec(query) if name is not None)

    def blob(self, name: str) -> bytes:
        return self.blobs.get(name)


class KeptHistory:
    """The history of the confirmed events, one per process. Each read adds only the new events from the tables.

    A reorg drops it: the newest block that it has read is then gone from the tables, or has another hash.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._history, self._tip = History(), (-1, "")

    @contextmanager
    def reading(self, session: Session) -> Iterator[History]:
        """The history as the session sees it, locked until the block is left."""
        with self._lock:
            number, block_hash = self._tip
            stands = session.exec(select(BlockRow.hash).where(BlockRow.number == number)).first() == block_hash
            if number >= 0 and not stands:
                self._history, number = History(), -1
            newest = newest_block(session)
            if newest is not None and newest.number > number:
                add_newer(session, self._history, number)
                self._tip = newest.number, newest.hash
            yield self._history
