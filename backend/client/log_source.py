"""The published log as whoever contests or answers reads it: a folder, or a base URL (SPEC, The published log)."""

from collections.abc import Callable
from pathlib import Path

import httpx

from backend.client.errors import LogUnavailable
from contracts.protocol.hashing import keccak, to_hex

_TIMEOUT_S = 30.0


class LogSource:
    """Nothing of it is trusted: lines are held against the chain by who reads them, blobs against their hash here."""

    def __init__(self, url_or_folder: str) -> None:
        self._name = url_or_folder.rstrip("/")
        is_url = url_or_folder.startswith(("http://", "https://"))
        self._read: Callable[[str], bytes] = self._fetch if is_url else self._open

    def lines(self, epoch_id: int) -> list[bytes]:
        """The lines of an epoch's file. Raises LogUnavailable."""
        return self._read(f"epochs/{epoch_id}.jsonl").splitlines()

    def blob(self, name: str) -> bytes:
        """The bytes with this keccak256 (0x hex). Raises LogUnavailable, also for other bytes."""
        data = self._read(f"blobs/{name}")
        if to_hex(keccak(data)) != name:
            raise LogUnavailable(what=f"blobs/{name}", source=self._name, why="other bytes lie there")
        return data

    def _fetch(self, path: str) -> bytes:
        try:
            answer = httpx.get(f"{self._name}/{path}", timeout=_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise LogUnavailable(what=path, source=self._name, why=str(error) or type(error).__name__) from error
        if answer.status_code != 200:
            raise LogUnavailable(what=path, source=self._name, why=f"status {answer.status_code}")
        return answer.content

    def _open(self, path: str) -> bytes:
        try:
            return (Path(self._name) / path).read_bytes()
        except OSError as error:
            raise LogUnavailable(what=path, source=self._name, why=error.strerror or str(error)) from error
