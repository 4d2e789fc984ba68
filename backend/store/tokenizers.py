"""The tokenizers of the workloads on offer, as files named by their sha256.

A model's publisher writes its tokenizer, so it cuts texts in a confined process; our own code reads what ids spell.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Misconfigured
from backend.store.space import write_durably
from contracts.protocol.errors import BadTexts, WrongTokenizer
from contracts.protocol.manifest import Manifest, TokenizerFamily
from contracts.protocol.spelling import Spelling
from node_agent.execution.errors import ExecutionError, ExecutorFailed, SandboxUnavailable
from node_agent.execution.sandbox import Executor


@dataclass(frozen=True)
class ConfinedTokenizer:
    """A tokenizer in a confined process."""

    executor: Executor
    path: Path
    sha256: str

    def encode(self, text: str) -> list[int]:
        """Ids of a text alone.

        Raises BadTexts if the process cannot tokenize it in time, WrongTokenizer if the file is no tokenizer,
        Misconfigured if this host cannot confine a process.
        """
        try:
            return self.executor.cut(self.path, self.sha256, text)
        except SandboxUnavailable as error:
            raise Misconfigured(error.message, way_out=error.way_out) from error
        except ExecutorFailed as error:
            raise BadTexts(f"cannot be cut into tokens: {error.message}", way_out="send another text") from error
        except ExecutionError as error:
            raise WrongTokenizer(error.message) from error


class TokenizerStore:
    """A folder of tokenizer.json files. Names come from manifests, which allow hex digests only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._executor = Executor(folder)
        self._spellings: dict[tuple[str, TokenizerFamily], Spelling] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, manifest: Manifest, data: bytes) -> None:
        """Keeps a workload's tokenizer. Durable when it returns. Raises WrongTokenizer for another one, StorageFull."""
        Spelling(data, manifest.tokenizer_sha256, manifest.tokenizer)
        write_durably(self._path(manifest.tokenizer_sha256), data)

    def read(self, sha256: str) -> bytes:
        """A tokenizer's file. Raises Misconfigured if it is missing."""
        path = self._path(sha256)
        if not path.exists():
            raise Misconfigured(
                f"the tokenizer {sha256} of an offered workload is not in {self._folder}; offer the workload "
                "again with `assay workloads offer --tokenizer FILE`"
            )
        return path.read_bytes()

    def get(self, manifest: Manifest) -> ConfinedTokenizer:
        """Tokenizes texts for a workload. Raises as `spelling` does."""
        self.spelling(manifest)
        return ConfinedTokenizer(self._executor, self._path(manifest.tokenizer_sha256), manifest.tokenizer_sha256)

    def spelling(self, manifest: Manifest) -> Spelling:
        """Spells a workload's ids; its tokenizer is read once. Raises Misconfigured if it is missing, WrongTokenizer if
        it was changed."""
        named = manifest.tokenizer_sha256, manifest.tokenizer
        with self._lock:
            if named not in self._spellings:
                self._spellings[named] = Spelling(self.read(manifest.tokenizer_sha256), *named)
            return self._spellings[named]

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"
