"""Turns a full disk into StorageFull."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

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
