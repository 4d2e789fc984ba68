"""Where a backend keeps its things under one folder."""

from pathlib import Path

from backend.store.blobs import BlobStore
from backend.store.database import Database

MAX_BLOB_BYTES = 1024 * 1024
"""No input or output of a workload comes near: a prompt has kilobytes, 4096 tokens of output as JSON some 60 KB."""


def open_database(home: Path) -> Database:
    """The facts, in `assay.db`, brought to the current schema."""
    return Database.at(home / "assay.db")


def open_blobs(home: Path) -> BlobStore:
    """Inputs and outputs, in `blobs/`."""
    return BlobStore(home / "blobs", max_bytes=MAX_BLOB_BYTES)


def settler_keystore(home: Path) -> Path:
    """The settler's encrypted key."""
    return home / "settler.json"


def treasury_keystore(home: Path) -> Path:
    """The encrypted session key of the treasury's lane, which pays for checks."""
    return home / "treasury.json"


def log_folder(home: Path) -> Path:
    """The published log as files, for mirrors."""
    return home / "log"
