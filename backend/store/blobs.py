"""Texts, prompts and outputs as files, named as the protocol names bytes (`contracts.protocol.packed.is_named`).

A blob is *loose*, in `loose/`, until an accepted order or commitment names it. When all loose bytes together exceed
their limit, the oldest are deleted. So a flood can neither fill the disk nor shut others out: an honest client names
its blob within a second, and evicting it before that takes the whole limit within that second (A52).
"""

import errno
import logging
import os
import re
import threading
import time
from pathlib import Path

from backend.errors import BadBlobName, BlobHashMismatch, BlobMissing, BlobTooLarge, UnknownBlob
from backend.store.space import sync, write_durably
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.packed import is_named

_NAME = re.compile(r"0x[0-9a-f]{64}")
_LOOSE = "loose"
_BLOCK_BYTES = 4096
"""Disk space of the smallest file: each blob counts at least as this."""
_ABANDONED_S = 3600
"""A temporary file older than this was left by a crashed process."""

log = logging.getLogger(__name__)


class BlobStore:
    """A folder of immutable files. `max_bytes` bounds each of them, `max_loose_bytes` all loose ones together."""

    def __init__(self, folder: Path, *, max_bytes: int, max_loose_bytes: int) -> None:
        self._folder, self.max_bytes, self._max_loose_bytes = folder, max_bytes, max_loose_bytes
        self._loose_folder = folder / _LOOSE
        self._loose_folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._loose = _found_loose(self._loose_folder)

    def put(self, data: bytes, name: str | None = None) -> str:
        """Keeps `data` for good under its name, by default its 0x keccak256. Durable when it returns.

        Raises BlobTooLarge, BadBlobName, BlobHashMismatch.
        """
        name = self._checked_name(data, name)
        if _content(self._folder / name) != data:
            write_durably(self._folder / name, data)
        return name

    def hold(self, data: bytes, name: str | None = None) -> str:
        """Keeps `data` until newer loose bytes need its room. Durable when it returns. Names and errors as in `put`."""
        name = self._checked_name(data, name)
        if _content(self._folder / name) == data:
            return name
        write_durably(self._loose_folder / name, data)
        with self._lock:
            self._loose.pop(name, None)
            self._loose[name] = _room(len(data))
            self._make_room()
        return name

    def keep_named(self, field: str, name: str) -> None:
        """Keeps for good the blob that a record's field names. Called before the commit. Raises BlobMissing."""
        target = self._path(name)
        with self._lock:
            self._loose.pop(name, None)
            try:
                (self._loose_folder / name).replace(target)
            except FileNotFoundError as error:
                if not target.exists():
                    raise BlobMissing(field=field, name=name) from error
                return
        sync(self._folder)

    def get(self, name: str) -> bytes:
        """The bytes under a name. Raises BadBlobName or UnknownBlob.

        A file whose bytes do not match its name (a failing disk, a link) counts as lost and is never returned.
        """
        path = self._path(name)
        for candidate in (path, self._loose_folder / name):
            data = _content(candidate)
            if data is not None and is_named(data, name):
                return data
            if data is not None:
                log.error("blob file %s does not hold the bytes of its name; put them again", candidate)
        raise UnknownBlob(name=name)

    def has(self, name: str) -> bool:
        return self._path(name).exists() or (self._loose_folder / name).exists()

    def _checked_name(self, data: bytes, name: str | None) -> str:
        if len(data) > self.max_bytes:
            raise BlobTooLarge(size=len(data), limit=self.max_bytes)
        if name is None:
            return to_hex(keccak(data))
        self._path(name)
        if not is_named(data, name):
            raise BlobHashMismatch(named=name, actual=to_hex(keccak(data)))
        return name

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise BadBlobName(name=name)
        return self._folder / name

    def _make_room(self) -> None:
        """Deletes the oldest loose files. Another process may have kept or deleted them already."""
        total = sum(self._loose.values())
        while total > self._max_loose_bytes:
            oldest = next(iter(self._loose))
            total -= self._loose.pop(oldest)
            (self._loose_folder / oldest).unlink(missing_ok=True)


def _found_loose(folder: Path) -> dict[str, int]:
    """Name -> room of the loose files on disk, oldest first. Removes files that a crash left half-written."""
    found: list[tuple[float, str, int]] = []
    for entry in os.scandir(folder):
        about = entry.stat(follow_symlinks=False)
        if _NAME.fullmatch(entry.name) is not None:
            found.append((about.st_mtime, entry.name, _room(about.st_size)))
        elif time.time() - about.st_mtime > _ABANDONED_S:
            Path(entry.path).unlink(missing_ok=True)
    return {name: room for _, name, room in sorted(found)}


def _room(size: int) -> int:
    return max(size, _BLOCK_BYTES)


def _content(path: Path) -> bytes | None:
    """A file's bytes; None if it does not exist or is a link, which this store never makes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        log.error("blob file %s is a link and is not followed; put the bytes again", path)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
