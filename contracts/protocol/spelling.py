"""What token ids spell, by the tokenizer.json that a manifest names: read by these lines alone, no regex of the file's.

So a requester sees that no other ids pass for its texts, and reads answers, without running a stranger's tokenizer.
Cutting texts into ids takes the `tokenizers` library (`tokens`). Byte-level characters: GPT-2's `bytes_to_unicode`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ValidationError

from contracts.protocol.errors import WrongTokenizer, first_fault
from contracts.protocol.manifest import TokenizerFamily
from contracts.protocol.records import Uint32
from contracts.protocol.wordpiece import cut

MAX_TOKENIZER_BYTES = 32 << 20
"""Above those of vocabularies with a quarter of a million entries."""


SAMPLES: Mapping[TokenizerFamily, str] = {
    "byte_bpe": "Letters, accents (\u00e9, e\u0301), CJK (\u6f22), emoji (\U0001f642),\n  spaces and 2026 digits.",
    "wordpiece": "Letters, accents (\u00e9) and 2026 digits.",
}
"""Texts that only a tokenizer of the family cuts into ids that spell them by its rule."""


class _Added(BaseModel):
    id: Uint32
    content: str
    special: bool


class _Model(BaseModel):
    vocab: dict[str, Uint32]
    unk_token: str | None = None


class _TokenizerFile(BaseModel):
    model: _Model
    added_tokens: list[_Added] = []


def _byte_characters() -> dict[str, int]:
    """The character of each byte: printable ones as they are, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES: Mapping[str, int] = _byte_characters()


class Spelling:
    """What the ids of one tokenizer spell."""

    def __init__(self, tokenizer_json: bytes, sha256: str, family: TokenizerFamily) -> None:
        """Raises WrongTokenizer unless the file hashes to `sha256` and has a vocabulary."""
        require_named(tokenizer_json, sha256)
        try:
            file = _TokenizerFile.model_validate_json(tokenizer_json)
        except ValidationError as error:
            raise WrongTokenizer(f"has no vocabulary: {first_fault(error)}") from error
        self._is_bytes, self._vocabulary = family == "byte_bpe", file.model.vocab
        self._pieces = {number: self._piece(text) for text, number in file.model.vocab.items()}
        self._pieces |= {each.id: each.content.encode() for each in file.added_tokens}
        self._unknown = file.model.vocab.get(file.model.unk_token or "")
        self._special = {each.id for each in file.added_tokens if each.special}

    def spell(self, ids: Sequence[int]) -> str:
        """The text of ids without control tokens; bytes that are not UTF-8 become U+FFFD."""
        return self._join(each for each in ids if each not in self._special).decode(errors="replace")

    def spells(self, ids: Sequence[int], text: str) -> bool:
        """Whether the ids are those of a text: byte for byte, or, of a wordpiece family, as uncased BERT cuts it."""
        if not self._is_bytes:
            return list(ids) == cut(text, self._vocabulary, self._unknown)
        if any(each in self._special or each not in self._pieces for each in ids):
            return False
        return self._join(ids) == text.encode()

    def _join(self, ids: Iterable[int]) -> bytes:
        return b"".join(self._pieces.get(each, b"") for each in ids)

    def _piece(self, text: str) -> bytes:
        if not self._is_bytes:
            return text.removeprefix("##").encode()
        if all(character in _BYTES for character in text):
            return bytes(_BYTES[character] for character in text)
        return text.encode(errors="replace")


def require_named(tokenizer_json: bytes, sha256: str) -> None:
    """Raises WrongTokenizer unless the file hashes to `sha256` and is no longer than a tokenizer may be."""
    if len(tokenizer_json) > MAX_TOKENIZER_BYTES:
        raise WrongTokenizer(f"has {len(tokenizer_json)} bytes, {MAX_TOKENIZER_BYTES} are the most")
    found = hashlib.sha256(tokenizer_json).hexdigest()
    if found != sha256:
        raise WrongTokenizer(f"hashes to {found}, the manifest names {sha256}")
