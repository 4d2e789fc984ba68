"""Answers contests by showing on chain what a charge was for.

The published log has everything that an answer needs, so a worker whose database was lost can answer too. Outputs come
from the blobs or, for open orders, from the log's copies.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from backend.chain.errors import ContestsUnanswered
from backend.chain.tx_manager import TxManager
from backend.errors import UnknownBlob
from backend.services.calls import ensure_call
from backend.services.record import PublicRecord
from backend.store.blobs import BlobStore
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.protocol.errors import ProtocolError
from contracts.record.charges import answer_call, charge_of
from contracts.record.errors import RecordError
from contracts.record.history import ContestFile, PostedEpoch
from contracts.record.log_book import LogBook, read_epoch
from contracts.record.log_source import FolderLog, published_lines

_log = logging.getLogger(__name__)


class Answers:
    """Answers from a worker's blobs and its published log, the folder `log`."""

    def __init__(self, database: Database, chain: Chain, record: PublicRecord, blobs: BlobStore, log: Path) -> None:
        self._database, self._chain, self._record = database, chain, record
        self._blobs, self._log = blobs, FolderLog(log)

    def step(self, manager: TxManager, now: int) -> None:
        """Asks for an answer to every open contest that has none under way.

        Raises ContestsUnanswered, after it tried all of them, naming those that cannot be answered.
        """
        head, failed = self._chain.head().timestamp, dict[tuple[int, int], str]()
        with self._database.read() as session, self._record.history(session) as history:
            waiting = [
                (contest, history.epochs[epoch_id])
                for (epoch_id, _), contest in history.contests.items()
                if contest.closed is None and head < contest.answer_ends
            ]
        for contest, posted in waiting:
            key = manager.next_key(_name(contest.opened.args))
            if key is None:
                continue
            try:
                self._answer(posted, contest, manager, key, now)
            except (Reverted, RequestRefused, RecordError, ProtocolError, UnknownBlob) as error:
                failed[contest.epoch_id, contest.index] = str(error)
        if failed:
            raise ContestsUnanswered(failed)

    def _answer(self, posted: PostedEpoch, contest: ContestFile, manager: TxManager, key: str, now: int) -> None:
        book, lines = LogBook(self._chain.deployment.domain), published_lines(self._log, posted)
        charge = charge_of(read_epoch(book, posted, lines), contest.index)
        function = answer_call(self._chain, charge, contest.contester, self._output)
        ensure_call(manager, key, function, now)
        _log.info("contest of row %d of epoch %d is answered", contest.index, contest.epoch_id)

    def _output(self, name: str) -> bytes:
        try:
            return self._blobs.get(name)
        except UnknownBlob:
            return self._log.blob(name)


def _name(contested: Mapping[str, int]) -> str:
    """Names a contest by its event: a leaf that is contested again after a lapse has another answerEnds."""
    return f"answer:{contested['epochId']}:{contested['index']}:{contested['answerEnds']}"
