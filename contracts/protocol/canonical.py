"""Canonical JSON: each value has one spelling, so that a hash names it.

Sorted keys, no white space, UTF-8, integers only. Floats are refused: they have several spellings.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.protocol.errors import NotCanonical
from contracts.protocol.hashing import keccak


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of objects, arrays, strings, integers, booleans and null.

    Raises NotCanonical for floats, non-string keys and lone surrogates, naming the path.
    """
    _check(value, "$")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical(path="$", value=repr(error.object[error.start : error.end]), why="is not UTF-8") from error


def hash_json(value: Any) -> bytes:
    """keccak256 of the canonical bytes."""
    return keccak(canonical_json(value))


def _check(value: Any, path: str) -> None:
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotCanonical(path=path, value=repr(key), why="is a key that is not a string")
            _check(item, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    else:
        raise NotCanonical(path=path, value=repr(value), why=f"is a {type(value).__name__}, use an integer or a string")
