"""Writes closed epochs into the log's folder: first the blobs, then the epoch's file, atomically.

Mirrors copy this folder and auditors read it: `epochs/<id>.jsonl` and `blobs/<0x name>`.
"""

import os
from pathlib import Path

from sqlmodel import col, select

from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import log_lines
from backend.store.space import explained
from backend.store.tables import EpochRow
from contracts.protocol.log import CommitmentEntry, ObservationEntry, OrderEntry, TraceEntry
from contracts.protocol.records import VISIBILITY_OPEN
from contracts.record.log_book import entries_of


def publish_epochs(database: Database, blobs: BlobStore, folder: Path) -> None:
    """Writes every closed epoch whose file does not exist yet.

    Raises UnknownBlob for a lost blob, StorageFull. The epoch's file is not written then; the next call tries again.
    """
    with explained(folder):
        for part in ("epochs", "blobs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with database.read() as session:
            ids = session.exec(select(EpochRow.epoch_id).order_by(col(EpochRow.epoch_id))).all()
        for epoch_id in ids:
            if not epoch_path(folder, epoch_id).exists():
                _publish(database, blobs, folder, epoch_id)


def _publish(database: Database, blobs: BlobStore, folder: Path, epoch_id: int) -> None:
    with database.read() as session:
        lines = log_lines(session, epoch_id)
    for name in _blob_names(lines):
        blob = folder / "blobs" / name
        temporary = blob.with_suffix(".tmp")
        temporary.write_bytes(blobs.get(name))
        temporary.replace(blob)
    temporary = epoch_path(folder, epoch_id).with_suffix(".tmp")
    temporary.write_bytes(b"".join(line + b"\n" for line in lines))
    os.sync()  # once for all files: thousands of fsyncs would hold up the worker for seconds
    temporary.replace(epoch_path(folder, epoch_id))


def epoch_path(folder: Path, epoch_id: int) -> Path:
    return folder / "epochs" / f"{epoch_id}.jsonl"


def _blob_names(lines: list[bytes]) -> list[str]:
    """Texts, prompts and outputs of open orders, traces and observations. Commitments follow their orders."""
    names: list[str] = []
    is_open = False
    for entry in entries_of(lines):
        if isinstance(entry, OrderEntry):
            is_open = entry.order.terms.visibility == VISIBILITY_OPEN
            terms = entry.order.terms
            names += [terms.texts_hash, terms.prompt_root] if is_open else []
        elif isinstance(entry, CommitmentEntry) and is_open:
            names.append(entry.commitment.output_root)
        elif isinstance(entry, TraceEntry):
            names.append(entry.trace)
        elif isinstance(entry, ObservationEntry):
            names.append(entry.observation)
    return names
