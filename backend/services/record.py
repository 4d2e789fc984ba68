"""The public record as folded by this process: history, sample and standings, by the same rules as everybody's."""

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
    """The fold, one per process. `block_hash`: the hash of a block by its number."""

    def __init__(self, blobs: BlobStore, constants: Constants, block_hash: Callable[[int], bytes]) -> None:
        self._blobs, self._constants, self._block_hash = blobs, constants, block_hash
        self._history, self._standings, self._lock = KeptHistory(), Standings(), threading.Lock()
        self._rows: dict[int, list[JobRow]] = {}

    @contextmanager
    def history(self, session: Session) -> Iterator[History]:
        """The history of the confirmed events, locked until the block is left."""
        with self._history.reading(session) as history:
            yield history

    def drawn(self, session: Session, leaf: LeafRow) -> DrawnRow | None:
        """Whether and how a job's row was sampled; None before the reveal of its sample is confirmed."""
        facts, epoch_id = SqlFacts(session, self._blobs, self._rows), leaf.epoch_id
        with self._history.reading(session) as history:
            if leaf.kind != "job" or epoch_id not in history.epochs:
                return None
            seed = seed_of(history, self._constants, epoch_id, self._block_hash)
            if seed is None:
                return None
            with self._lock:  # taken this late so that a request for a standing does not wait for the chain's answer
                row = next(row for row in facts.job_rows(epoch_id) if row.digest == from_hex(leaf.digest))
                return Sample(history, facts, self._constants, self._standings).row(epoch_id, seed, row)

    def standing(self, session: Session, operator_id: int) -> Standing:
        """An operator's present standing on native work, by the logs of all closed epochs."""
        closed = session.exec(select(func.max(EpochRow.epoch_id))).one() or 0
        with self._lock:
            return self._standings.at(SqlFacts(session, self._blobs), operator_id, closed + 1)
