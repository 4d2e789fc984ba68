"""Answers contests by itself: shows on chain what a charge was for, so that nobody need hold the settler to it.

All that an answer needs stands in the published log, so a worker whose database was lost answers as well; outputs come
from the blobs, or, for open orders, from the log's copy of them.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from sqlmodel import Session

from backend.chain.errors import ContestsUnanswered
from backend.chain.tx_manager import TxManager
from backend.errors import UnknownBlob
from backend.services.calls import ensure_call, open_key
from backend.services.record import PublicRecord
from backend.store.blobs import BlobStore
from backend.store.chain_tables import TxIntentRow
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

Place = tuple[int, int]
"""Epoch and row."""


class Answers:
    """Where answers come from: `log` is the published log's folder."""

    def __init__(self, database: Database, chain: Chain, record: PublicRecord, blobs: BlobStore, log: Path) -> None:
        self._database, self._chain, self._record = database, chain, record
        self._blobs, self._log = blobs, FolderLog(log)

    def step(self, manager: TxManager, now: int) -> list[Place]:
        """Asks for an answer to every open contest that has none on its way; returns their places.

        Raises ContestsUnanswered, after all others were asked for, naming those that cannot be answered.
        """
        waiting, head = self._waiting(manager), self._chain.head().timestamp
        asked, failed = [], dict[Place, str]()
        for contest, posted in waiting:
            if head >= contest.answer_ends:
                continue
            place = contest.epoch_id, contest.index
            try:
                self._answer(posted, contest, manager, now)
                asked.append(place)
            except (Reverted, RequestRefused, RecordError, ProtocolError, UnknownBlob) as error:
                failed[place] = str(error)
        if failed:
            raise ContestsUnanswered(failed)
        return asked

    def _waiting(self, manager: TxManager) -> list[tuple[ContestFile, PostedEpoch]]:
        """The contests that have not ended and have no answer on its way, with the posts of their epochs."""
        with self._database.read() as session, self._record.history(session) as history:
            return [
                (contest, history.epochs[epoch_id])
                for (epoch_id, _), contest in history.contests.items()
                if contest.closed is None and not _is_asked(session, manager, contest)
            ]

    def _answer(self, posted: PostedEpoch, contest: ContestFile, manager: TxManager, now: int) -> None:
        book, lines = LogBook(self._chain.deployment.domain), published_lines(self._log, posted)
        charge = charge_of(read_epoch(book, posted, lines), contest.index)
        function = answer_call(self._chain, charge, contest.contester, self._output)
        ensure_call(manager, open_key(manager, _key(contest.opened.args)), function, now)
        _log.info("contest of row %d of epoch %d is answered", contest.index, contest.epoch_id)

    def _output(self, name: str) -> bytes:
        try:
            return self._blobs.get(name)
        except UnknownBlob:
            return self._log.blob(name)


def _is_asked(session: Session, manager: TxManager, contest: ContestFile) -> bool:
    """Whether an answer is on its way."""
    return session.get(TxIntentRow, open_key(manager, _key(contest.opened.args))) is not None


def _key(contested: Mapping[str, int]) -> str:
    """Of a contest by its event: a leaf may be contested again after a lapse, until another time."""
    return f"answer:{contested['epochId']}:{contested['index']}:{contested['answerEnds']}"
