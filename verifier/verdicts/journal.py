"""This verifier's answers, written before anything is signed or sent, and never changed.

There is one answer per commitment: after a crash the same bytes are signed again, so a verifier never contradicts
itself. Everything else (cases, windows, reveals) is read from the chain.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.records import Opening
from contracts.protocol.typed_data import VERSION
from contracts.protocol.wire import SubmitVerdict
from verifier.errors import JournalInUse, JournalOutdated, SecondAnswer, VerifierJournalFull

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
"""SQLite raises the second at the process's file size limit."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    commitment_digest TEXT PRIMARY KEY,
    epoch_id INTEGER NOT NULL,
    row_index INTEGER NOT NULL,
    opening TEXT NOT NULL,
    agrees INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS observation (
    commitment_digest TEXT PRIMARY KEY REFERENCES answer,
    observation BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS verdict (
    commitment_digest TEXT PRIMARY KEY REFERENCES answer,
    submit TEXT NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0
);
"""

_ANSWERS = "SELECT answer.*, observation FROM answer LEFT JOIN observation USING (commitment_digest)"


@dataclass(frozen=True)
class VerifierAnswer:
    """The result for a row's commitment, and whether it agrees with the node's answer.

    `observation`: of native work, whose opening follows from it; it never goes to court.
    """

    commitment_digest: bytes
    epoch_id: int
    row_index: int
    opening: Opening
    agrees: bool
    observation: bytes = b""


def _require_agreement(db: sqlite3.Connection, path: Path) -> None:
    """Marks a new file with the agreement (PRAGMA user_version); raises JournalOutdated for another's."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif found != int(VERSION):
        raise JournalOutdated(path=str(path), found=found or 1, expected=int(VERSION))


class VerifierJournal:
    """The journal in one SQLite file, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA synchronous = FULL")
            _require_agreement(self._db, path)
            self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
        except sqlite3.OperationalError as error:
            self._db.close()
            raise JournalInUse(str(path)) from error
        except JournalOutdated:
            self._db.close()
            raise

    def answer(self, commitment_digest: bytes) -> VerifierAnswer | None:
        query = f"{_ANSWERS} WHERE commitment_digest = ?"
        row = self._db.execute(query, (to_hex(commitment_digest),)).fetchone()
        return _answer(row) if row else None

    def record(self, answer: VerifierAnswer) -> None:
        """Keeps an answer; durable when it returns. Raises SecondAnswer if there is a different one."""
        known = self.answer(answer.commitment_digest)
        if known is not None and known.opening != answer.opening:
            raise SecondAnswer(
                commitment_digest=to_hex(answer.commitment_digest),
                journaled=known.opening.model_dump_json(),
                computed=answer.opening.model_dump_json(),
            )
        if answer.observation:  # first, so that no answer is ever without its observation
            seen = to_hex(answer.commitment_digest), answer.observation
            self._write("INSERT OR IGNORE INTO observation VALUES (?, ?)", seen)
        digest, opening = to_hex(answer.commitment_digest), answer.opening.model_dump_json()
        values = digest, answer.epoch_id, answer.row_index, opening, answer.agrees
        self._write("INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?)", values)

    def disagreements(self) -> list[VerifierAnswer]:
        """Answers that differ from the node's and belong in court."""
        return [_answer(row) for row in self._db.execute(f"{_ANSWERS} WHERE agrees = 0 AND observation IS NULL")]

    def record_verdict(self, submit: SubmitVerdict) -> None:
        """Keeps a signed verdict until it is acknowledged, unless there is one."""
        self._write(
            "INSERT OR IGNORE INTO verdict (commitment_digest, submit) VALUES (?, ?)",
            (submit.verdict.commitment_digest, submit.model_dump_json()),
        )

    def unacknowledged(self) -> list[SubmitVerdict]:
        """Verdicts that the backend has not acknowledged."""
        rows = self._db.execute("SELECT submit FROM verdict WHERE acknowledged = 0 ORDER BY rowid")
        return [SubmitVerdict.model_validate_json(row[0]) for row in rows]

    def acknowledge(self, commitment_digest: str) -> None:
        """Records that the backend has the verdict."""
        self._write("UPDATE verdict SET acknowledged = 1 WHERE commitment_digest = ?", (commitment_digest,))

    def has_verdict(self, commitment_digest: bytes) -> bool:
        """Whether a verdict on this commitment was signed."""
        query = "SELECT 1 FROM verdict WHERE commitment_digest = ?"
        return self._db.execute(query, (to_hex(commitment_digest),)).fetchone() is not None

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        """Durable when it returns. Raises VerifierJournalFull."""
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _FULL:
                raise VerifierJournalFull(str(self._path), str(error)) from error
            raise

    def close(self) -> None:
        self._db.close()


def _answer(row: tuple[str, int, int, str, int, bytes | None]) -> VerifierAnswer:
    digest, epoch_id, row_index, opening, agrees, observation = row
    computed = Opening.model_validate_json(opening)
    return VerifierAnswer(from_hex(digest), epoch_id, row_index, computed, bool(agrees), observation or b"")
