"""Tokenizes the same way for every party: same tokenizer file, same settings, no model.

It runs what the file says, regular expressions too, so a stranger's file is used in a confined process only.

Each text is tokenized alone, so its ids and count are its own; `Manifest.prompt` puts the template around them. A text
that spells a control token stays text.
"""

from tokenizers import Tokenizer

from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.spelling import require_named


class TextTokenizer:
    """The `tokenizers` library with a workload's tokenizer.json. Never truncates, pads or adds anything."""

    def __init__(self, tokenizer_json: bytes, sha256: str) -> None:
        """Raises WrongTokenizer unless the file hashes to `sha256` and is a tokenizer."""
        require_named(tokenizer_json, sha256)
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

    def decode(self, ids: list[int]) -> str:
        """The text of ids without control tokens; bytes that are not UTF-8 become U+FFFD."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text
