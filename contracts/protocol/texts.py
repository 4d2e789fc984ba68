"""An order's input: a canonical JSON array of texts. One prompt is a list of one, a batch is a list of many.

Each list has one spelling, so that a hash names it: no white space between items, UTF-8, nothing escaped needlessly.
`JSON.stringify` of an array of well-formed strings gives the same bytes. Every text has a visible character.
"""

from collections.abc import Sequence

from pydantic_core import from_json

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import BadTexts, NotCanonical

_SHOWN = 60


def encode_texts(texts: Sequence[str]) -> bytes:
    """The canonical bytes of a list of texts. Raises BadTexts for an empty list, a blank text or a lone surrogate."""
    if isinstance(texts, str):
        raise TypeError("a single text goes into a list: encode_texts([text])")
    _check(list(texts))
    try:
        return canonical_json(list(texts))
    except NotCanonical as error:
        raise BadTexts(f"cannot be written as UTF-8: {error}") from error


def decode_texts(data: bytes) -> list[str]:
    """The texts in canonical bytes. Raises BadTexts for bytes that `encode_texts` does not write."""
    try:
        value = from_json(data.decode("utf-8"))  # not `json`, whose recursion over nested input can end the process
    except UnicodeDecodeError as error:
        raise BadTexts(f"is not UTF-8: {error.reason} at byte {error.start} of {len(data)}") from error
    except ValueError as error:
        raise BadTexts(f"is not a JSON array of texts: {_start(data)}, {error}") from error
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadTexts(f"is not a JSON array of texts: {_start(data)}")
    canonical = encode_texts(value)
    if canonical != data:
        raise BadTexts(f"is not canonical JSON: it is {_start(data)}, and must be {_start(canonical)}")
    return value


def _check(texts: list[str]) -> None:
    if not texts:
        raise BadTexts("holds no text")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadTexts(f"holds {text!r} as text {index}, which is no string")
        if not text.strip():
            raise BadTexts(f"holds no visible character in text {index}")


def _start(data: bytes) -> str:
    return repr(data[:_SHOWN]) + (".." if len(data) > _SHOWN else "")
