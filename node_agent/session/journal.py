"""A node's answers, written down before they are signed: one answer per order, for ever.

A node that signs two answers for one order can be slashed without a verdict (A56), and it may crash between any two
steps. So an answer is durable before it is signed and is reused from then on: SQLite with `synchronous=FULL` in WAL
mode syncs each commit to disk (sqlite.org/pragma.html#pragma_synchronous).

Also keeps what a node needs to be paid without the backend: the order that proves the cap, and the leaf's receipt. Only
its owner can read the file: traces and their hashes are secret while somebody could profit from copying them.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.protocol.records import Commitment
from contracts.protocol.typed_data import VERSION, Domain
from contracts.protocol.wire import LeaseGrant, Receipt
from node_agent.errors import JournalError, JournalFull

_ROOM_BYTES = 1024 * 1024
"""Must be free before a job is taken: SQLite writes an output, of up to 64 KiB, to the WAL and to the file."""
_OS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""SQLite raises the second at the process's file size limit, the third when its shared index cannot grow."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bound_to (
    only INTEGER PRIMARY KEY CHECK (only = 1), node TEXT NOT NULL, chain_id INTEGER NOT NULL, escrow TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    order_id TEXT PRIMARY KEY,
    commitment_json TEXT NOT NULL,
    trace_hash BLOB NOT NULL,
    output BLOB NOT NULL,
    grant_json TEXT NOT NULL,
    signature TEXT,
    acknowledged_at INTEGER,
    refusal TEXT,
    receipt_json TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS traces (
    order_id TEXT PRIMARY KEY REFERENCES answers, comparator INTEGER NOT NULL, trace BLOB NOT NULL,
    shown_at INTEGER, kept_for TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS unshown ON traces (comparator) WHERE shown_at IS NULL AND kept_for IS NULL;
CREATE TABLE IF NOT EXISTS leases (
    order_id TEXT PRIMARY KEY, grant_json TEXT NOT NULL, lent_at INTEGER NOT NULL, abandoned TEXT
) STRICT;
"""


@dataclass(frozen=True)
class JournaledAnswer:
    """One order's answer. `acknowledged_at`: by the backend, Unix seconds. `refusal`: why the backend refused it.

    `trace_hash`: 32 bytes, secret until a case asks for them. `grant`: the lease and order that it answers.
    `signature`: of the commitment, once made. `receipt`: its leaf under a posted root, checked against the chain.
    """

    commitment: Commitment
    trace_hash: bytes = field(repr=False)
    output: bytes = field(repr=False)
    grant: LeaseGrant = field(repr=False)
    signature: str | None = None
    acknowledged_at: int | None = None
    refusal: str | None = None
    receipt: Receipt | None = None

    @property
    def order_id(self) -> str:
        return self.commitment.order_id


@dataclass(frozen=True)
class LentJob:
    """A job leased to this node, last at `lent_at`, Unix seconds. `abandoned`: why it ended without an answer."""

    grant: LeaseGrant
    lent_at: int
    abandoned: str | None


@dataclass(frozen=True)
class KeptTrace:
    """A trace in this home. `shown_at`: when the backend accepted it, Unix seconds; `refusal`: why it did not."""

    shown_at: int | None
    refusal: str | None


_AGREEMENT = int(VERSION)
"""Kept in the file as PRAGMA user_version."""

_COLUMNS = "commitment_json, trace_hash, output, grant_json, signature, acknowledged_at, refusal, receipt_json"


class NodeJournal:
    """The journal of one node key on one deployment. Used from one thread; several processes may share the file.

    Raises JournalError if the file belongs to another node key or deployment, or cannot be read or written.
    """

    def __init__(self, path: Path, *, node: str, domain: Domain) -> None:
        self._path = path
        with self._explained():
            _create_private(path)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            _require_agreement(self._db, path)
            self._db.executescript(_SCHEMA)
            bound = (node, domain.chain_id, domain.verifying_contract)
            self._db.execute("INSERT OR IGNORE INTO bound_to VALUES (1, ?, ?, ?)", bound)
            found = self._db.execute("SELECT node, chain_id, escrow FROM bound_to").fetchone()
        if found != bound:
            self.close()
            says = f"{path} is the journal of node {found[0]} on chain {found[1]}, escrow {found[2]}; this is {bound}."
            way_out = "Use another --home for another node key or deployment."
            raise JournalError(says, way_out=way_out, found=found, expected=bound)

    def require_room(self) -> None:
        """Raises JournalFull when the disk may not hold the next answer."""
        free = shutil.disk_usage(self._path.parent).free
        if free < _ROOM_BYTES:
            raise _full(self._path, f"{free} bytes are free, {_ROOM_BYTES} are needed before a job is taken")

    def close(self) -> None:
        self._db.close()

    def lend(self, grant: LeaseGrant, at_s: int) -> None:
        self._write(
            "INSERT INTO leases VALUES (?, ?, ?, NULL) ON CONFLICT (order_id) DO UPDATE SET "
            "grant_json = excluded.grant_json, lent_at = excluded.lent_at, abandoned = NULL",
            grant.lease.order_id, grant.model_dump_json(), at_s,
        )  # fmt: skip

    def abandon(self, order_id: str, reason: str) -> None:
        """Records that a leased job ended without an answer."""
        self._write("UPDATE leases SET abandoned = ? WHERE order_id = ?", reason, order_id)

    def lent(self, order_id: str) -> LentJob | None:
        """A job's lease to this node, if there was one."""
        rows = self._rows("SELECT grant_json, lent_at, abandoned FROM leases WHERE order_id = ?", order_id)
        return LentJob(LeaseGrant.model_validate_json(rows[0][0]), *rows[0][1:]) if rows else None

    def given_up(self, most: int) -> list[str]:
        """The newest jobs that ended here without an answer, at most `most`: the order and why."""
        newest = "ORDER BY lent_at DESC, rowid DESC LIMIT ?"
        rows = self._rows(f"SELECT order_id, abandoned FROM leases WHERE abandoned IS NOT NULL {newest}", most)
        return [f"{order_id}: {why}" for order_id, why in rows]

    def known(self) -> list[str]:
        """The ids of all orders that were leased to or answered by this node."""
        rows = self._rows("SELECT order_id FROM leases UNION SELECT order_id FROM answers ORDER BY order_id")
        return [row[0] for row in rows]

    def newest(self) -> str | None:
        """The id of the order that was leased to this node last."""
        rows = self._rows("SELECT order_id FROM leases ORDER BY rowid DESC LIMIT 1")
        return rows[0][0] if rows else None

    def record(self, answer: JournaledAnswer, trace: bytes = b"") -> JournaledAnswer:
        """Writes an unsigned answer down, unless its order has one. Returns the one that stands: sign only that.

        `trace`: what can be shown of the answer later, if anything.
        """
        commitment, grant = answer.commitment.model_dump_json(), answer.grant.model_dump_json()
        values = answer.order_id, commitment, answer.trace_hash, answer.output, grant
        with self._explained(), self._db:  # atomic: native work without its trace could never be judged
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO answers (order_id, commitment_json, trace_hash, output, grant_json) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT (order_id) DO NOTHING",
                values,
            )
            if trace:
                self._db.execute(
                    "INSERT INTO traces (order_id, comparator, trace) SELECT order_id, ?, ? FROM answers "
                    "WHERE order_id = ? AND trace_hash = ? ON CONFLICT (order_id) DO NOTHING",
                    (answer.grant.order.terms.comparator, trace, answer.order_id, answer.trace_hash),
                )
        return self._standing(answer.order_id)

    def sign(self, order_id: str, signature: str) -> JournaledAnswer:
        """Records the signature of an order's answer; the first one stands."""
        self._write("UPDATE answers SET signature = ? WHERE order_id = ? AND signature IS NULL", signature, order_id)
        return self._standing(order_id)

    def acknowledge(self, order_id: str, at_s: int) -> None:
        """Records that the backend has the answer."""
        self._write("UPDATE answers SET acknowledged_at = ?, refusal = NULL WHERE order_id = ?", at_s, order_id)

    def refuse(self, order_id: str, reason: str) -> None:
        """Records that the backend refused the answer; it is not sent again."""
        self._write("UPDATE answers SET refusal = ? WHERE order_id = ?", reason, order_id)

    def root(self, order_id: str, receipt: Receipt) -> None:
        """Records the receipt of the answer's leaf under a posted root."""
        self._write("UPDATE answers SET receipt_json = ? WHERE order_id = ?", receipt.model_dump_json(), order_id)

    def find(self, order_id: str) -> JournaledAnswer | None:
        return next(iter(self._select("order_id = ?", order_id)), None)

    def pending(self) -> list[JournaledAnswer]:
        """Answers that the backend has neither acknowledged nor refused, oldest first."""
        return self._select("acknowledged_at IS NULL AND refusal IS NULL")

    def unrooted(self) -> list[JournaledAnswer]:
        """Acknowledged answers without a receipt, oldest first."""
        return self._select("acknowledged_at IS NOT NULL AND receipt_json IS NULL")

    def rooted(self) -> list[JournaledAnswer]:
        """Answers with a receipt, oldest first."""
        return self._select("receipt_json IS NOT NULL")

    def unshown(self, comparator: int, most: int) -> list[tuple[JournaledAnswer, bytes]]:
        """The oldest answers with a receipt and a trace neither shown nor refused, with that trace; at most `most`."""
        rows = self._rows(
            f"SELECT {_COLUMNS}, trace FROM traces JOIN answers USING (order_id) WHERE comparator = ? AND "
            "shown_at IS NULL AND kept_for IS NULL AND receipt_json IS NOT NULL ORDER BY traces.rowid LIMIT ?",
            comparator, most,
        )  # fmt: skip
        return [(_answer(row[:-1]), row[-1]) for row in rows]

    def kept_trace(self, order_id: str) -> KeptTrace | None:
        """The fate of an answer's trace; None: this home has none."""
        rows = self._rows("SELECT shown_at, kept_for FROM traces WHERE order_id = ?", order_id)
        return KeptTrace(*rows[0]) if rows else None

    def show(self, order_id: str, at_s: int) -> None:
        """Records that the backend has the answer's trace."""
        self._write("UPDATE traces SET shown_at = ? WHERE order_id = ?", at_s, order_id)

    def refuse_trace(self, order_id: str, reason: str) -> None:
        """Records that the backend refused the answer's trace; it is not sent again."""
        self._write("UPDATE traces SET kept_for = ? WHERE order_id = ?", reason, order_id)

    def signed(self) -> list[JournaledAnswer]:
        return self._select("signature IS NOT NULL")

    def refused(self) -> list[JournaledAnswer]:
        """Answers that the backend refused, oldest first."""
        return self._select("refusal IS NOT NULL")

    def _standing(self, order_id: str) -> JournaledAnswer:
        answer = self.find(order_id)
        if answer is None:
            way_out = "An answer is recorded before it is signed; restore the file from a backup."
            raise JournalError(f"{self._path} has no answer for {order_id}.", way_out=way_out, order_id=order_id)
        return answer

    def _write(self, statement: str, *values: object) -> None:
        with self._explained():
            self._db.execute(statement, values)  # autocommit: durable when this returns

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._explained():
            return self._db.execute(query, values).fetchall()

    def _select(self, where: str, *values: object) -> list[JournaledAnswer]:
        query = f"SELECT {_COLUMNS} FROM answers WHERE {where} ORDER BY acknowledged_at, rowid"
        return [_answer(row) for row in self._rows(query, *values)]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code in _SQLITE_FULL or getattr(error, "errno", None) in _OS_FULL:
                raise _full(self._path, str(error)) from error
            says = f"The journal {self._path} cannot be read or written: {error}."
            way_out = "Free disk space or repair the file; until then nothing is signed."
            raise JournalError(says, way_out=way_out, path=str(self._path)) from error


def _answer(row: tuple[str, bytes, bytes, str, str | None, int | None, str | None, str | None]) -> JournaledAnswer:
    commitment, trace_hash, output, grant, signature, acknowledged_at, refusal, receipt = row
    return JournaledAnswer(
        Commitment.model_validate_json(commitment), trace_hash, output, LeaseGrant.model_validate_json(grant),
        signature, acknowledged_at, refusal, None if receipt is None else Receipt.model_validate_json(receipt),
    )  # fmt: skip


def _full(path: Path, why: str) -> JournalFull:
    way_out = "Free space there or move the home to a larger disk. Until then the node takes no job and signs nothing."
    return JournalFull(f"The journal {path} has no room: {why}.", way_out=way_out, path=str(path))


def _require_agreement(db: sqlite3.Connection, path: Path) -> None:
    """Marks a new file. Raises JournalError for one whose answers were signed under another agreement."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        db.execute(f"PRAGMA user_version = {_AGREEMENT}")
    elif found != _AGREEMENT:
        says = f"{path} holds answers of agreement {found or 1}, this release is of agreement {_AGREEMENT}."
        way_out = "Let the release that wrote it deliver what is left, then use another --home."
        raise JournalError(says, way_out=way_out, found=found or 1, expected=_AGREEMENT)


def _create_private(path: Path) -> None:
    """Makes the file before SQLite does: only the owner can read it and its WAL, which gets the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
