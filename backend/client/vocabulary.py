"""Tokenizers of workloads, fetched once and identified by their sha256, so that no backend can pass off another."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from backend.client.errors import Untrue
from backend.client.http import BackendHttp
from contracts.protocol.manifest import Manifest

if TYPE_CHECKING:
    from contracts.protocol.tokens import TextTokenizer


class Vocabularies:
    """Tokenizers by their sha256. `folder`: keeps them for the next run, if given."""

    def __init__(self, backend: BackendHttp, folder: Path | None = None) -> None:
        self._backend, self._folder = backend, folder
        self._loaded: dict[str, TextTokenizer] = {}

    def of(self, manifest: Manifest) -> TextTokenizer:
        """A workload's tokenizer. Raises Untrue for another one, WrongTokenizer for a malformed one."""
        from contracts.protocol.tokens import TextTokenizer

        name = manifest.tokenizer_sha256
        if name not in self._loaded:
            self._loaded[name] = TextTokenizer(self._kept(name) or self._fetched(manifest), name)
        return self._loaded[name]

    def _kept(self, name: str) -> bytes | None:
        path = None if self._folder is None else self._folder / f"{name}.json"
        if path is None or not path.is_file():
            return None
        data = path.read_bytes()
        return data if hashlib.sha256(data).hexdigest() == name else None

    def _fetched(self, manifest: Manifest) -> bytes:
        data, name = self._backend.tokenizer(manifest.workload_id()), manifest.tokenizer_sha256
        found = hashlib.sha256(data).hexdigest()
        if found != name:
            raise Untrue("tokenizer of " + manifest.model, said=name, found=found)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f".{name}.{secrets.token_hex(4)}"
            temporary.write_bytes(data)
            temporary.replace(self._folder / f"{name}.json")
        return data
