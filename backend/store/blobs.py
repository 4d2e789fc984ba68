"""Inputs and outputs as files named by the keccak256 of their bytes. No path ever comes from a user."""

import os
import re
import secrets
from pathlib import Path

from backend.errors import BadBlobName, BlobTooLarge, UnknownBlob
from contracts.protocol.hashing import keccak, to_hex

_NAME = re.compile(r"0x[0-9a-f]{64}")


class BlobStore:
    """A folder of immutable files. `max_bytes` bounds each; what is there is whole and durable."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self.max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Keeps `data` and returns its name, 0x keccak256. Durable when it returns; the same bytes are kept once."""
        if len(data) > self.max_bytes:
            raise BlobTooLarge(size=len(data), limit=self.max_bytes)
        name = to_hex(keccak(data))
        target = self._folder / name
        if target.exists():
            return name
        temporary = self._folder / f".{name}.{secrets.token_hex(8)}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        self._sync_folder()
        return name

    def get(self, name: str) -> bytes:
        """The bytes under a name. Raises BadBlobName or UnknownBlob."""
        path = self._path(name)
        if not path.exists():
            raise UnknownBlob(name=name)
        return path.read_bytes()

    def has(self, name: str) -> bool:
        """Whether there are bytes under a name."""
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise BadBlobName(name=name)
        return self._folder / name

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
