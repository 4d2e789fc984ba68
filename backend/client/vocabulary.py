"""Spells a workload's token ids: its tokenizer is fetched once and named by its sha256, so no backend can pass
another. A client runs no tokenizer: the backend cuts, and the client sees that the ids spell the texts."""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from backend.client.errors import Refused, Untrue
from backend.client.http import BackendHttp
from contracts.protocol.errors import BadTexts
from contracts.protocol.manifest import Manifest, TokenizerFamily
from contracts.protocol.packed import pack
from contracts.protocol.spelling import Spelling
from contracts.protocol.wire import Tokenize


class Vocabularies:
    """Spellings by their tokenizer's sha256. `folder`: where files are kept for the next time; None: nowhere."""

    def __init__(self, backend: BackendHttp, folder: Path | None = None) -> None:
        self._backend, self._folder = backend, folder
        self._loaded: dict[tuple[str, TokenizerFamily], Spelling] = {}

    def of(self, manifest: Manifest) -> Spelling:
        """The spelling of a workload. Raises Untrue for another one, WrongTokenizer for what is none."""
        sha256 = manifest.tokenizer_sha256
        named = sha256, manifest.tokenizer
        if named not in self._loaded:
            self._loaded[named] = Spelling(self._kept(sha256) or self._fetched(manifest), *named)
        return self._loaded[named]

    def prompts(self, manifest: Manifest, texts: Sequence[str]) -> bytes:
        """The packed prompts of texts, cut by the backend. Raises BadTexts; Untrue for ids that do not spell them."""
        try:
            cut = self._backend.tokenize(Tokenize(workload_id=manifest.workload_id(), texts=list(texts))).prompts
        except Refused as error:
            if error.code != "input_refused":
                raise
            raise BadTexts(error.detail.removeprefix("the input ")) from error
        spelling, before, after = self.of(manifest), manifest.template.before, manifest.template.after
        own = [ids[len(before) : len(ids) - len(after)] for ids in cut]
        if cut != [manifest.prompt(ids) for ids in own] or len(own) != len(texts):
            raise Untrue("prompts", said=cut, found="not of the workload's template")
        for ids, text in zip(own, texts, strict=True):
            if not spelling.spells(ids, text):
                raise Untrue("token ids", said=f"they are those of {text[:80]!r}", found=repr(spelling.spell(ids)[:80]))
        manifest.input.require_tokens([len(ids) for ids in cut])
        return pack(cut)

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
