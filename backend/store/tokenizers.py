"""The tokenizers of the workloads on offer: files named by their sha256, so that intake cuts texts as requesters do."""

import os
import secrets
import threading
from pathlib import Path

from backend.errors import Misconfigured
from contracts.protocol.tokens import TextTokenizer


class TokenizerStore:
    """A folder of tokenizer.json files. Names come from manifests, which allow hex digests only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, TextTokenizer] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, sha256: str, data: bytes) -> None:
        """Keeps a tokenizer. Durable when it returns. Raises WrongTokenizer unless it is that one."""
        TextTokenizer(data, sha256)
        temporary = self._folder / f".{sha256}.{secrets.token_hex(8)}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path(sha256))

    def read(self, sha256: str) -> bytes:
        """A tokenizer's file. Raises Misconfigured where it is missing."""
        path = self._path(sha256)
        if not path.exists():
            raise Misconfigured(
                f"the tokenizer {sha256} of an offered workload is not in {self._folder}; offer the workload "
                "again with `assay workloads offer --tokenizer FILE`"
            )
        return path.read_bytes()

    def get(self, sha256: str) -> TextTokenizer:
        """A tokenizer, loaded once. Raises Misconfigured where it is missing, WrongTokenizer where it was changed."""
        with self._lock:
            if sha256 not in self._loaded:
                self._loaded[sha256] = TextTokenizer(self.read(sha256), sha256)
            return self._loaded[sha256]

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"
