"""Rebuilds a lost database from what is public: the chain's events and the published log.

The log holds the records behind every row of every epoch, under roots that are on chain, so posted epochs can be
settled without the database. Lost are orders and verdicts that no epoch's file holds, every price but that of a
workload's first order, and blobs of restricted orders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, SQLModel, select

from backend.errors import NotRecoverable
from backend.services.publishing import epoch_path
from backend.store import tables
from backend.store.blobs import BlobStore
from backend.store.chain_tables import LoggedFactRow
from backend.store.database import Database
from backend.store.event_rows import load_history
from backend.store.record import TRACE_FACT, VERDICT_FACT, WORKLOAD_FACT
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import AssayError, ProtocolError
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import RowEntry, log_root
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import merkle_root
from contracts.protocol.pace import JobSize
from contracts.protocol.packed import is_named
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import Terms
from contracts.protocol.signing import recover
from contracts.record.errors import RecordError, WrongFact
from contracts.record.history import History, PostedEpoch
from contracts.record.log_book import EpochLog, LogBook, entries_of, read_epoch
from contracts.record.log_source import FolderLog


@dataclass(frozen=True)
class Recovered:
    """The result: numbers of epochs and orders, the blobs that the folder lacks, and an epoch not yet posted."""

    epochs: int
    orders: int
    missing_blobs: tuple[str, ...]
    unposted: int | None


@dataclass(frozen=True)
class _EpochFile:
    """One epoch's file: its records, its lines, and about when its facts were received, Unix seconds."""

    log: EpochLog
    lines: list[bytes]
    at_s: int


def recover_database(database: Database, blobs: BlobStore, deployment: Deployment, folder: Path) -> Recovered:
    """Fills a database that has the chain's events and nothing else, in one transaction.

    Every posted epoch's file must have the roots that are on chain. An epoch after the last posted one may have been
    sent: its file is used if all its signatures are valid, so that a transaction under way finds its epoch.

    Raises NotRecoverable for a database with rows, a missing file or an altered one; then nothing was changed.
    """
    with database.read() as session:
        _require_empty(session)
        history = load_history(session)
    book = LogBook(deployment.domain)
    files = [_posted_file(book, folder, posted) for _, posted in sorted(history.epochs.items())]
    unposted = len(files) + 1 if epoch_path(folder, len(files) + 1).exists() else None
    if unposted is not None:
        files.append(_unposted_file(book, folder, unposted, deployment, history))
    missing = tuple(name for file in files for name in _open_blobs(file.log) if not _copy_blob(blobs, folder, name))
    with database.begin() as session:
        _require_empty(session)
        for file in files:
            session.add_all(_rows(file, deployment, history))
            for entry in file.log.orders.values():
                _write_workload(session, file.log.epoch_id, entry.order.terms, book)
    return Recovered(len(files), sum(len(file.log.orders) for file in files), missing, unposted)


def _require_empty(session: Session) -> None:
    for table in (tables.EpochRow, tables.OrderRow):
        if session.exec(select(table)).first() is not None:
            way_out = "recover into an empty one: move assay.db away, or give another --home"
            raise NotRecoverable(f"the database has rows in {table.__tablename__}", way_out=way_out)


# ------------------------------------------------------------ reading


def _posted_file(book: LogBook, folder: Path, posted: PostedEpoch) -> _EpochFile:
    try:
        lines = FolderLog(folder).epoch_lines(posted.epoch_id)
        return _EpochFile(read_epoch(book, posted, lines), lines, posted.timestamp)
    except (RecordError, ProtocolError) as error:
        raise _unusable(epoch_path(folder, posted.epoch_id), error) from error


def _unposted_file(book: LogBook, folder: Path, epoch_id: int, deployment: Deployment, history: History) -> _EpochFile:
    path = epoch_path(folder, epoch_id)
    try:
        lines = FolderLog(folder).epoch_lines(epoch_id)
        log = book.add(epoch_id, entries_of(lines))
        _require_owed(log, deployment, history)
    except (RecordError, ProtocolError) as error:
        raise _unusable(path, error) from error
    return _EpochFile(log, lines, int(path.stat().st_mtime))


def _unusable(path: Path, error: AssayError) -> NotRecoverable:
    return NotRecoverable(f"{path}: {error.message}", way_out="copy the file from a mirror, then try again")


def _require_owed(log: EpochLog, deployment: Deployment, history: History) -> None:
    """Raises WrongFact for a row that does not follow from signed records, or for two that follow from the same."""
    for row in log.rows:
        is_check = row.requester == deployment.treasury
        if not (_is_checked(log, row, history) if is_check else _is_earned(log, row, deployment, history)):
            raise WrongFact(f"row {row.index} follows from signed records", expected=row.digest, found="none")
    if len({row.digest for row in log.rows}) < len(log.rows):
        raise WrongFact("every row follows from records of its own", expected=len(log.rows), found="fewer")


def _is_checked(log: EpochLog, row: RowEntry, history: History) -> bool:
    """Whether a verifier signed the verdict that the row pays."""
    digest = from_hex(row.digest)
    entry = log.verdicts.get(digest)
    if entry is None:
        return False
    key = entry.verdict.verifier
    return recover(digest, entry.signature) == key and history.verifier_keys.get(key) == row.operator_id


def _is_earned(log: EpochLog, row: RowEntry, deployment: Deployment, history: History) -> bool:
    """Whether order, lease and commitment are signed and come to the row that pays the job."""
    commitment, order = log.behind(row)
    record, digest, domain = commitment.commitment, from_hex(row.digest), deployment.domain
    is_lent = any(
        recover(domain.lease_digest(entry.lease), entry.signature) == deployment.settler
        for entry in log.leases.get(from_hex(record.order_id), [])
        if entry.lease.node == record.node
    )
    is_signed = (
        recover(from_hex(record.order_id), order.signature) == order.signer
        and recover(digest, commitment.signature) == record.node
    )
    owed = (history.node_keys.get(record.node), amount_units(order.order.terms, record.units))
    lane = (order.order.requester, order.signer)
    return is_lent and is_signed and (row.operator_id, row.amount_units) == owed and (row.requester, row.signer) == lane


def _open_blobs(log: EpochLog) -> list[str]:
    """Blobs that the log names. Those of restricted orders are not published."""
    terms = [entry.order.terms for entry in log.orders.values()]
    names = {name for each in terms for name in (each.texts_hash, each.prompt_root)}
    names |= {entry.commitment.output_root for entry in log.commitments.values()}
    names |= {entry.trace for entry in log.traces.values()}
    return sorted(names | {entry.observation for entry in log.observations.values()})


def _copy_blob(blobs: BlobStore, folder: Path, name: str) -> bool:
    """Whether the blob is in the store now."""
    path = folder / "blobs" / name
    if not blobs.has(name) and path.exists():
        data = path.read_bytes()
        if is_named(data, name):
            blobs.put(data, name)
    return blobs.has(name)


# ------------------------------------------------------------ writing


def _rows(file: _EpochFile, deployment: Deployment, history: History) -> Iterator[SQLModel]:
    """An epoch's facts as the services wrote them."""
    log, epoch_id, at_s = file.log, file.log.epoch_id, file.at_s
    root = merkle_root([row.leaf() for row in log.leaves])
    yield tables.EpochRow(
        epoch_id=epoch_id, closed_at=at_s, root=to_hex(root), log_root=to_hex(log_root(file.lines)),
        row_count=len(log.rows),
    )  # fmt: skip
    for position, line in enumerate(file.lines):
        yield tables.LogLineRow(epoch_id=epoch_id, position=position, line=line)
    for key, order in log.orders.items():
        accepted_at = order.order.terms.deadline - deployment.constants.order_ttl_s
        yield tables.OrderRow.of(to_hex(key), order.order, order.signer, order.signature, accepted_at, JobSize())
    for lease in (entry for leases in log.leases.values() for entry in leases):
        node, expires = lease.lease.node, lease.lease.expires
        yield tables.LeaseRow(
            order_id=lease.lease.order_id, node=node, operator_id=history.node_keys.get(node, 0), granted_at=expires,
            expires=expires, signature=lease.signature,
        )  # fmt: skip
    for row in log.rows:
        yield tables.LeafRow.of(
            epoch_id, row.index, "check" if from_hex(row.digest) in log.verdicts else "job", row.row()
        )
        paid = log.commitments.get(from_hex(row.digest))
        if paid is not None:
            yield tables.CommitmentRow.of(
                row.digest, paid.commitment, paid.signature, row.operator_id, row.amount_units, at_s
            )  # fmt: skip
    for key, entry in log.verdicts.items():
        seen, account = log.observations.get(key), history.verifier_keys.get(entry.verdict.verifier, 0)
        observation = None if seen is None else seen.observation
        yield tables.VerdictRow.of(
            to_hex(key), entry.epoch_id, entry.verdict, entry.opening, observation, entry.signature, account, at_s
        )
        yield LoggedFactRow(fact=VERDICT_FACT + to_hex(key), epoch_id=epoch_id)
    for trace in log.traces.values():
        yield tables.TraceRow(commitment_digest=trace.commitment_digest, trace=trace.trace, received_at=at_s)
        yield LoggedFactRow(fact=TRACE_FACT + trace.commitment_digest, epoch_id=epoch_id)


def _write_workload(session: Session, epoch_id: int, terms: Terms, book: LogBook) -> None:
    """An order's workload, unless it is there, at the order's prices: the log has no price sheet."""
    if session.get(tables.WorkloadRow, terms.workload_id) is not None:
        return
    most = (terms.max_price - terms.fixed_price) // max(terms.unit_price, 1)
    manifest: Manifest = book.manifest(terms.workload_id)
    session.add(
        tables.WorkloadRow(
            workload_id=terms.workload_id, manifest=manifest.canonical(), fixed_price=terms.fixed_price,
            unit_price=terms.unit_price, max_units=max(most, 1),
        )
    )  # fmt: skip
    session.add(LoggedFactRow(fact=WORKLOAD_FACT + terms.workload_id, epoch_id=epoch_id))
