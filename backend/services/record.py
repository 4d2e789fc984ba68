"""What this process has folded of the public record: history, sample and standings, as everybody else folds them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlmodel import Session, func, select

from backend.store.blobs import BlobStore
from backend.store.record import KeptHistory, SqlFacts
from backend.store.tables import EpochRow, LeafRow
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex
from contracts.protocol.native import Standing
from contracts.record.facts import JobRow
from contracts.record.history import History
from contracts.record.sample import DrawnRow, Sample, seed_of
from contracts.record.standings import Standings


class PublicRecord:
    """One a process. `block_hash`: of a block by its number."""

    def __init__(self, blobs: BlobStore, constants: Constants, block_hash: Callable[[int], bytes]) -> None:
        self._blobs, self._constants, self._block_hash = blobs, constants, block_hash
        self._history, self._standings, self._lock = KeptHistory(), Standings(), threading.Lock()
        self._rows: dict[int, list[JobRow]] = {}

    @contextmanager
    def history(self, session: Session) -> Iterator[History]:
        """What the confirmed events come to."""
        with self._history.reading(session) as history:
            yield history

    def drawn(self, session: Session, leaf: LeafRow) -> DrawnRow | None:
        """How a job's row was drawn; None before its sample is revealed, as far as is confirmed here."""
        facts, epoch_id = SqlFacts(session, self._blobs, self._rows), leaf.epoch_id
        with self._history.reading(session) as history:
            if leaf.kind != "job" or epoch_id not in history.epochs:
                return None
            seed = seed_of(history, self._constants, epoch_id, self._block_hash)
            if seed is None:
                return None
            with self._lock:  # only now: whoever asks for a standing need not wait for the chain's answer
                row = next(row for row in facts.job_rows(epoch_id) if row.digest == from_hex(leaf.digest))
                return Sample(history, facts, self._constants, self._standings).row(epoch_id, seed, row)

    def standing(self, session: Session, operator_id: int) -> Standing:
        """The present standing of an operator on native work: by the logs of all closed epochs."""
        closed = session.exec(select(func.max(EpochRow.epoch_id))).one() or 0
        with self._lock:
            return self._standings.at(SqlFacts(session, self._blobs), operator_id, closed + 1)
