"""Tokenizes the same way for every party: same tokenizer file, same settings, no model.

Each text is tokenized alone, so its ids and count are its own; `Manifest.prompt` puts the template around them. A text
that spells a control token stays text.
"""

import hashlib

from tokenizers import Tokenizer

from contracts.protocol.errors import WrongTokenizer

_EVERY_KIND = "Letters, accents (\u00e9), CJK (\u6f22), emoji (\U0001f642),\n  spaces and 2026 digits."
"""What a tokenizer gives back that neither adds, drops nor replaces bytes."""


class TextTokenizer:
    """The `tokenizers` library with a workload's tokenizer.json. Never truncates, pads or adds anything."""

    def __init__(self, tokenizer_json: bytes, sha256: str) -> None:
        """Raises WrongTokenizer unless the file hashes to `sha256` and is a tokenizer."""
        found = hashlib.sha256(tokenizer_json).hexdigest()
        if found != sha256:
            raise WrongTokenizer(f"hashes to {found}, the manifest names {sha256}")
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
        except Exception as error:  # the library raises bare Exception for what it cannot read
            raise WrongTokenizer(f"cannot be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def count(self, text: str) -> int:
        """How many tokens a text alone has."""
        return len(self.encode(text))

    def decode(self, ids: list[int]) -> str:
        """The text of ids without control tokens; bytes that are not UTF-8 become U+FFFD."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    @property
    def family(self) -> str:
        """Its `manifest.TokenizerFamily`; where it is of none, what it is made of, in words."""
        model, decoder, normalizer = self._tokenizer.model, self._tokenizer.decoder, self._tokenizer.normalizer
        kinds = type(model).__name__, type(decoder).__name__
        if kinds == ("BPE", "ByteLevel") and self.decode(self.encode(_EVERY_KIND)) == _EVERY_KIND:
            return "byte_bpe"
        if kinds == ("WordPiece", "WordPiece") and getattr(normalizer, "lowercase", False):
            return "wordpiece"
        return f"another kind: {kinds[0]} with the decoder {kinds[1]}"

    def id_of(self, token: str) -> int | None:
        """The id of a control token by its spelling, or None."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found
