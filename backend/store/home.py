"""Where a backend keeps its things under one folder."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from backend.errors import Misconfigured
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.tokenizers import TokenizerStore

MAX_BLOB_BYTES = 1024 * 1024
"""No output comes near (64 KiB is the protocol's limit), and a workload whose inputs could be longer is not offered."""

MAX_LOOSE_BYTES = 256 * 1024 * 1024
"""All that was put and is not named by an accepted order or commitment yet."""


def open_database(home: Path) -> Database:
    """The facts, in `assay.db`, brought to the current schema. Raises Misconfigured when the file is not ours."""
    try:
        return Database.at(home / "assay.db")
    except DatabaseError as error:
        why = f"{home / 'assay.db'} does not open as a database: {error.orig}"
        raise Misconfigured(f"{why}", way_out="check --home and its permissions, or restore the file") from error


def open_blobs(home: Path) -> BlobStore:
    """Inputs and outputs, in `blobs/`."""
    return BlobStore(home / "blobs", max_bytes=MAX_BLOB_BYTES, max_loose_bytes=MAX_LOOSE_BYTES)


def open_tokenizers(home: Path) -> TokenizerStore:
    """Tokenizers of the workloads on offer, in `tokenizers/`."""
    return TokenizerStore(home / "tokenizers")


def settler_keystore(home: Path) -> Path:
    """The settler's encrypted key."""
    return home / "settler.json"


def treasury_keystore(home: Path) -> Path:
    """The encrypted session key of the treasury's lane, which pays for checks."""
    return home / "treasury.json"


def canary_keystore(home: Path) -> Path:
    """The encrypted key whose own lane pays canary jobs. Without the file there are none."""
    return home / "canary.json"


def log_folder(home: Path) -> Path:
    """The published log as files, for mirrors."""
    return home / "log"
