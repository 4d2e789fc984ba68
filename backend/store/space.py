"""Tells a full disk from other failures, with the path that is full."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from backend.errors import StorageFull

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""No room on the device, in the quota, or in the size that this process may write."""
_SQLITE_FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE))
"""SQLite says the second where a limit of the process stops a write, the third where its shared index cannot grow."""


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Raises StorageFull, naming `path`, where a write finds no room. Other errors pass as they are."""
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
