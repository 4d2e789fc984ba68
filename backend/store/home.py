"""A backend's files under its home folder."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from backend.errors import Misconfigured
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.tokenizers import TokenizerStore

SETTLER_KEY, TREASURY_KEY, CANARY_KEY = "settler.json", "treasury.json", "canary.json"
"""Encrypted keys: the settler's; of the treasury's lane, which pays for checks; of the lane that pays for canary jobs,
which need this file."""
LOG = "log"
"""The published log as files, for mirrors."""
MAX_BLOB_BYTES = 1024 * 1024
"""Above every output (at most 64 KiB by the protocol); a workload that allows longer inputs cannot be offered."""

MAX_LOOSE_BYTES = 256 * 1024 * 1024
"""For all blobs together that no accepted order or commitment names yet."""


def open_database(home: Path) -> Database:
    """The facts, in `assay.db`. Raises Misconfigured when the file is not a database of this release."""
    path = home / "assay.db"
    try:
        return Database.at(path)
    except DatabaseError as error:
        way_out = "check --home and its permissions, or restore the file"
        raise Misconfigured(f"{path} does not open as a database: {error.orig}", way_out=way_out) from error


def open_blobs(home: Path) -> BlobStore:
    """Inputs and outputs, in `blobs/`."""
    return BlobStore(home / "blobs", max_bytes=MAX_BLOB_BYTES, max_loose_bytes=MAX_LOOSE_BYTES)


def open_tokenizers(home: Path) -> TokenizerStore:
    """Tokenizers of the workloads on offer, in `tokenizers/`."""
    return TokenizerStore(home / "tokenizers")
