"""A lost database, made again from what is public: the chain's events and the published log.

The log holds the records behind every row of every epoch, under roots that are on chain, so nothing that was posted
needs the database to be settled. What is lost with it: orders that no epoch's file holds, verdicts that none holds, the
price sheet beyond each workload's newest order, and blobs of restricted orders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, select

from backend.errors import NotRecoverable
from backend.services.publishing import epoch_path
from backend.store.blobs import BlobStore
from backend.store.chain_tables import LoggedFactRow
from backend.store.database import Database
from backend.store.event_rows import load_history
from backend.store.record import TRACE_FACT, VERDICT_FACT, WORKLOAD_FACT
from backend.store.tables import (
    CommitmentRow,
    EpochRow,
    LeafRow,
    LeaseRow,
    LogLineRow,
    OrderRow,
    TraceRow,
    VerdictRow,
    WorkloadRow,
)
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import ProtocolError
from contracts.protocol.hashing import to_hex
from contracts.protocol.log import (
    CommitmentEntry,
    LeaseEntry,
    LogEntry,
    ObservationEntry,
    OrderEntry,
    RowEntry,
    TraceEntry,
    VerdictEntry,
    WorkloadEntry,
    log_root,
)
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import merkle_root
from contracts.protocol.packed import is_named
from contracts.protocol.pricing import amount_units
from contracts.protocol.signing import recover
from contracts.record.errors import WrongLog
from contracts.record.history import History, PostedEpoch
from contracts.record.log_book import entries_of, parse_epoch
from contracts.record.log_source import split_lines


@dataclass(frozen=True)
class Recovered:
    """What came back: how many epochs and orders, the blobs that the folder lacks, and an epoch not yet posted."""

    epochs: int
    orders: int
    missing_blobs: tuple[str, ...]
    unposted: int | None


@dataclass(frozen=True)
class _EpochFile:
    """One epoch's file: its lines, their entries, and when its facts were received, as near as the log tells."""

    epoch_id: int
    lines: list[bytes]
    entries: list[LogEntry]
    at_s: int

    def rows(self) -> list[RowEntry]:
        return [entry for entry in self.entries if isinstance(entry, RowEntry)]


def recover_database(database: Database, blobs: BlobStore, deployment: Deployment, folder: Path) -> Recovered:
    """Fills a database that has the chain's events and nothing else, in one transaction.

    Every posted epoch's file must have the roots that are on chain. A file beyond the last posted epoch was closed and
    maybe sent: it is taken too, once all its signatures hold, so that a transaction still under way finds its epoch.

    Raises NotRecoverable for a database with rows, a missing file or an altered one; then nothing was changed.
    """
    with database.read() as session:
        _require_empty(session)
        history = load_history(session)
    files = [_posted_file(folder, posted) for _, posted in sorted(history.epochs.items())]
    unposted = _unposted_file(folder, len(files) + 1, deployment, history)
    if unposted is not None:
        files.append(unposted)
    missing = tuple(name for file in files for name in _open_blobs(file) if not _copy_blob(blobs, folder, name))
    with database.begin() as session:
        _require_empty(session)
        for file in files:
            _write(session, file, deployment, history)
    orders = sum(isinstance(entry, OrderEntry) for file in files for entry in file.entries)
    return Recovered(len(files), orders, missing, None if unposted is None else unposted.epoch_id)


def _require_empty(session: Session) -> None:
    for table in (EpochRow, OrderRow):
        if session.exec(select(table)).first() is not None:
            raise NotRecoverable(
                f"the database has rows in {table.__tablename__}",
                way_out="recover into an empty one: move assay.db away, or give another --home",
            )


# ------------------------------------------------------------ reading


def _altered(path: Path, what: str) -> NotRecoverable:
    return NotRecoverable(f"{path} was altered: {what}", way_out="copy the file from a mirror, then try again")


def _posted_file(folder: Path, posted: PostedEpoch) -> _EpochFile:
    path = epoch_path(folder, posted.epoch_id)
    if not path.exists():
        raise NotRecoverable(
            f"epoch {posted.epoch_id} is posted and {path} is missing",
            way_out="copy the log from a mirror, then try again",
        )
    lines = split_lines(path.read_bytes())
    try:
        return _EpochFile(posted.epoch_id, lines, parse_epoch(posted, lines), posted.timestamp)
    except (WrongLog, ProtocolError) as error:
        raise _altered(path, str(error)) from error


def _unposted_file(folder: Path, epoch_id: int, deployment: Deployment, history: History) -> _EpochFile | None:
    path = epoch_path(folder, epoch_id)
    if not path.exists():
        return None
    lines = split_lines(path.read_bytes())
    try:
        file = _EpochFile(epoch_id, lines, entries_of(lines), int(path.stat().st_mtime))
    except ProtocolError as error:
        raise _altered(path, str(error)) from error
    owed = dict(_owed(file, deployment, history))
    for entry in file.rows():
        is_check = entry.requester == deployment.treasury
        told = (entry.operator_id,) if is_check else _terms_of(entry)
        if owed.pop(entry.digest, None) != told:
            raise _altered(path, f"row {entry.index} is not what its signed records come to")
    return file


def _terms_of(entry: RowEntry) -> tuple[object, ...]:
    return entry.operator_id, entry.requester, entry.signer, entry.amount_units


def _owed(file: _EpochFile, deployment: Deployment, history: History) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What may be a row, by digest: a job whose order, lease and commitment are signed (operator, requester, signer,
    units), or a verifier's signed verdict (its account).
    """
    domain = deployment.domain
    orders, lent = dict[str, OrderEntry](), set[tuple[str, str]]()
    for entry in file.entries:
        if isinstance(entry, OrderEntry):
            order_id = domain.order_id(entry.order)
            if recover(order_id, entry.signature) == entry.signer:
                orders[to_hex(order_id)] = entry
        elif isinstance(entry, LeaseEntry):
            if recover(domain.lease_digest(entry.lease), entry.signature) == deployment.settler:
                lent.add((entry.lease.order_id, entry.lease.node))
        elif isinstance(entry, CommitmentEntry):
            record, digest = entry.commitment, domain.commitment_digest(entry.commitment)
            order = orders.get(record.order_id)
            signed = recover(digest, entry.signature) == record.node
            if signed and order is not None and (record.order_id, record.node) in lent:
                units, operator = amount_units(order.order.terms, record.units), history.node_keys.get(record.node)
                yield to_hex(digest), (operator, order.order.requester, order.signer, units)
        elif isinstance(entry, VerdictEntry):
            digest = domain.verdict_digest(entry.verdict)
            if recover(digest, entry.signature) == entry.verdict.verifier:
                yield to_hex(digest), (history.verifier_keys.get(entry.verdict.verifier),)


def _open_blobs(file: _EpochFile) -> list[str]:
    terms = [entry.order.terms for entry in file.entries if isinstance(entry, OrderEntry)]
    orders = {name for each in terms for name in (each.texts_hash, each.prompt_root)}
    outputs = {entry.commitment.output_root for entry in file.entries if isinstance(entry, CommitmentEntry)}
    traces = {entry.trace for entry in file.entries if isinstance(entry, TraceEntry)}
    seen = {entry.observation for entry in file.entries if isinstance(entry, ObservationEntry)}
    return sorted(orders | outputs | traces | seen)


def _copy_blob(blobs: BlobStore, folder: Path, name: str) -> bool:
    """Whether the blob is in the store now. Those of restricted orders are not in the log."""
    path = folder / "blobs" / name
    if not blobs.has(name) and path.exists():
        data = path.read_bytes()
        if is_named(data, name):
            blobs.put(data, name)
    return blobs.has(name)


# ------------------------------------------------------------ writing


def _write(session: Session, file: _EpochFile, deployment: Deployment, history: History) -> None:
    """An epoch's facts as the services wrote them."""
    rows = file.rows()
    root = merkle_root([entry.row().leaf() for entry in rows])
    session.add(
        EpochRow(
            epoch_id=file.epoch_id, closed_at=file.at_s, root=to_hex(root), log_root=to_hex(log_root(file.lines)),
            row_count=len(rows),
        )
    )  # fmt: skip
    for position, line in enumerate(file.lines):
        session.add(LogLineRow(epoch_id=file.epoch_id, position=position, line=line))
    by_digest = {entry.digest: entry for entry in rows}
    verdicts = set[str]()
    seen = {e.verdict_digest: e.observation for e in file.entries if isinstance(e, ObservationEntry)}
    for entry in file.entries:
        if isinstance(entry, WorkloadEntry):
            _write_workload(session, file, Manifest.model_validate(entry.manifest))
        elif isinstance(entry, OrderEntry):
            session.add(_order_row(entry, deployment))
        elif isinstance(entry, LeaseEntry):
            session.add(_lease_row(entry, history))
        elif isinstance(entry, CommitmentEntry):
            session.add(_commitment_row(entry, deployment, by_digest, file.at_s))
        elif isinstance(entry, VerdictEntry):
            row = _verdict_row(entry, deployment, history, file.at_s)
            row.observation = seen.get(row.digest)
            session.add_all([row, LoggedFactRow(fact=VERDICT_FACT + row.digest, epoch_id=file.epoch_id)])
            verdicts.add(row.digest)
        elif isinstance(entry, TraceEntry):
            digest = entry.commitment_digest
            session.add(TraceRow(commitment_digest=digest, trace=entry.trace, received_at=file.at_s))
            session.add(LoggedFactRow(fact=TRACE_FACT + digest, epoch_id=file.epoch_id))
    for entry in rows:
        session.add(_leaf_row(entry, file.epoch_id, "check" if entry.digest in verdicts else "job"))


def _write_workload(session: Session, file: _EpochFile, manifest: Manifest) -> None:
    """A workload, at the prices of an order that was accepted for it: the log has no price sheet."""
    workload_id = manifest.workload_id()
    orders = (entry.order for entry in file.entries if isinstance(entry, OrderEntry))
    terms = next(order.terms for order in orders if order.terms.workload_id == workload_id)
    most = (terms.max_price - terms.fixed_price) // max(terms.unit_price, 1)
    session.add(
        WorkloadRow(
            workload_id=workload_id, manifest=manifest.canonical(), fixed_price=terms.fixed_price,
            unit_price=terms.unit_price, max_units=max(most, 1),
        )
    )  # fmt: skip
    session.add(LoggedFactRow(fact=WORKLOAD_FACT + workload_id, epoch_id=file.epoch_id))


def _order_row(entry: OrderEntry, deployment: Deployment) -> OrderRow:
    order, terms = entry.order, entry.order.terms
    return OrderRow(
        order_id=to_hex(deployment.domain.order_id(order)), requester=order.requester, signer=entry.signer,
        workload_id=terms.workload_id, prompt_root=terms.prompt_root, order_json=order.model_dump_json(),
        signature=entry.signature, spend_cap=order.spend_cap, max_price=terms.max_price,
        deadline=terms.deadline, accepted_at=terms.deadline - deployment.constants.order_ttl_s,
    )  # fmt: skip


def _lease_row(entry: LeaseEntry, history: History) -> LeaseRow:
    lease = entry.lease
    return LeaseRow(
        order_id=lease.order_id, node=lease.node, operator_id=history.node_keys.get(lease.node, 0),
        granted_at=lease.expires, expires=lease.expires, signature=entry.signature,
    )  # fmt: skip


def _commitment_row(
    entry: CommitmentEntry, deployment: Deployment, rows: dict[str, RowEntry], at_s: int
) -> CommitmentRow:
    digest = to_hex(deployment.domain.commitment_digest(entry.commitment))
    return CommitmentRow(
        digest=digest, order_id=entry.commitment.order_id, node=entry.commitment.node,
        operator_id=rows[digest].operator_id, commitment_json=entry.commitment.model_dump_json(),
        signature=entry.signature, amount=rows[digest].amount_units, received_at=at_s,
    )  # fmt: skip


def _verdict_row(entry: VerdictEntry, deployment: Deployment, history: History, at_s: int) -> VerdictRow:
    verdict = entry.verdict
    return VerdictRow(
        digest=to_hex(deployment.domain.verdict_digest(verdict)), epoch_id=entry.epoch_id,
        commitment_digest=verdict.commitment_digest, verifier=verdict.verifier,
        operator_id=history.verifier_keys.get(verdict.verifier, 0), verdict_json=verdict.model_dump_json(),
        opening_json=None if entry.opening is None else entry.opening.model_dump_json(),
        signature=entry.signature, received_at=at_s,
    )  # fmt: skip


def _leaf_row(entry: RowEntry, epoch_id: int, kind: str) -> LeafRow:
    return LeafRow(
        epoch_id=epoch_id, index=entry.index, kind=kind, digest=entry.digest, requester=entry.requester,
        signer=entry.signer, operator_id=entry.operator_id, amount=entry.amount_units,
    )  # fmt: skip
