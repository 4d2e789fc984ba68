"""Answers contests by itself: shows on chain what a charge was for, so that nobody need hold the settler to it.

All that an answer needs stands in the published log, so a worker whose database was lost answers as well; outputs come
from the blobs, or, for open orders, from the log's copy of them.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sqlmodel import Session

from backend.chain.errors import ContestsUnanswered
from backend.chain.event_rows import load_history
from backend.chain.tx_manager import TxManager
from backend.errors import UnknownBlob
from backend.services.calls import ensure_call, open_key
from backend.services.publishing import epoch_path
from backend.store import facts
from backend.store.blobs import BlobStore
from backend.store.chain_tables import TxIntentRow
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.charges import EpochRecords, answer_call
from contracts.onchain.errors import LogUnusable, Reverted, RowUnknown
from contracts.onchain.history import ContestFile, History
from contracts.protocol.hashing import keccak, to_hex

_log = logging.getLogger(__name__)

Place = tuple[int, int]
"""Epoch and row."""


class Answers:
    """Where answers come from: `log` is the published log's folder."""

    def __init__(self, database: Database, chain: Chain, blobs: BlobStore, log: Path) -> None:
        self._database, self._chain, self._blobs, self._log = database, chain, blobs, log

    def step(self, manager: TxManager, now: int) -> list[Place]:
        """Asks for an answer to every open contest that has none on its way; returns their places.

        Raises ContestsUnanswered, after all others were asked for, naming those that cannot be answered.
        """
        with self._database.read() as session:
            if not (waiting := _waiting(session, manager)):
                return []
            history = load_history(session)
        head, asked, failed = self._chain.head().timestamp, [], dict[Place, str]()
        for place in waiting:
            contest = history.contests[place]
            if head >= contest.answer_ends:
                continue
            try:
                self._answer(history, contest, manager, now)
                asked.append(place)
            except (Reverted, LogUnusable, RowUnknown, UnknownBlob) as error:
                failed[place] = str(error)
        if failed:
            raise ContestsUnanswered(failed)
        return asked

    def _answer(self, history: History, contest: ContestFile, manager: TxManager, now: int) -> None:
        posted = history.epochs[contest.epoch_id]
        records = EpochRecords(self._chain.deployment.domain, posted, self._lines(contest.epoch_id))
        charge = records.charge(contest.index)
        function = answer_call(self._chain, charge, contest.contester, self._output)
        ensure_call(manager, open_key(manager, _key(contest.opened.args)), function, now)
        _log.info("contest of row %d of epoch %d is answered", contest.index, contest.epoch_id)

    def _lines(self, epoch_id: int) -> list[bytes]:
        try:
            return epoch_path(self._log, epoch_id).read_bytes().splitlines()
        except FileNotFoundError as error:
            raise LogUnusable(epoch_id, f"are not in {self._log}") from error

    def _output(self, name: str) -> bytes:
        try:
            return self._blobs.get(name)
        except UnknownBlob:
            copy = self._log / "blobs" / name
            if not copy.exists() or to_hex(keccak(data := copy.read_bytes())) != name:
                raise
            return data


def _waiting(session: Session, manager: TxManager) -> list[Place]:
    """The contests that have not ended and have no answer on its way."""
    ended = Counter(_place(event.args) for name in _ENDINGS for event in facts.events(session, name))
    opened: dict[Place, list[Mapping[str, int]]] = {}
    for event in facts.events(session, "Contested"):
        opened.setdefault(_place(event.args), []).append(event.args)
    return [
        place
        for place, contests in opened.items()
        if len(contests) > ended[place] and session.get(TxIntentRow, open_key(manager, _key(contests[-1]))) is None
    ]


_ENDINGS = ("Answered", "ContestResolved", "ContestLapsed")


def _place(args: Mapping[str, int]) -> Place:
    return args["epochId"], args["index"]


def _key(contested: Mapping[str, int]) -> str:
    """Of a contest by its event: a leaf may be contested again after a lapse, until another time."""
    return f"answer:{contested['epochId']}:{contested['index']}:{contested['answerEnds']}"
