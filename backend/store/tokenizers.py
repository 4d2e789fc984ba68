"""The tokenizers of the workloads on offer, as files named by their sha256."""

import threading
from pathlib import Path

from backend.errors import Misconfigured
from backend.store.space import write_durably
from contracts.protocol.tokens import TextTokenizer


class TokenizerStore:
    """A folder of tokenizer.json files. Names come from manifests, which allow hex digests only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, TextTokenizer] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, sha256: str, data: bytes) -> None:
        """Keeps a tokenizer. Durable when it returns. Raises WrongTokenizer for another one, StorageFull."""
        TextTokenizer(data, sha256)
        write_durably(self._path(sha256), data)

    def read(self, sha256: str) -> bytes:
        """A tokenizer's file. Raises Misconfigured if it is missing."""
        path = self._path(sha256)
        if not path.exists():
            raise Misconfigured(
                f"the tokenizer {sha256} of an offered workload is not in {self._folder}; offer the workload "
                "again with `assay workloads offer --tokenizer FILE`"
            )
        return path.read_bytes()

    def get(self, sha256: str) -> TextTokenizer:
        """A tokenizer, loaded once. Raises Misconfigured if it is missing, WrongTokenizer if it was changed."""
        with self._lock:
            if sha256 not in self._loaded:
                self._loaded[sha256] = TextTokenizer(self.read(sha256), sha256)
            return self._loaded[sha256]

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"
