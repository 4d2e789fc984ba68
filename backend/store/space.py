"""Writes files durably, and turns a full disk into StorageFull."""

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import OperationalError

from backend.errors import StorageFull

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""The device or the quota is full, or the file exceeds this process's size limit."""
_SQLITE_FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE))
"""SQLite raises the second at the process's size limit, the third when its shared-memory index cannot grow."""


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Raises StorageFull, naming `path`, when a write finds no room. Other errors pass unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(path=str(path), why=error.strerror or str(error)) from error
        raise
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) in _SQLITE_FULL:
            raise StorageFull(path=str(path), why=str(error.orig)) from error
        raise


def write_durably(path: Path, data: bytes) -> None:
    """The whole file, durable, or none. Raises StorageFull."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with explained(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def sync(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
