"""A published tokenizer.json as the store keeps it: byte for byte, but for one rule.

Qwen's composes characters (NFC) before it cuts a byte-level BPE. The ids of an `e` and a combining accent would then
spell another text than the requester's, whose client refuses them. Without NFC such a text keeps its own bytes; texts
that are composed already, as nearly all are, have the same ids as before.
"""

import json

from pydantic_core import from_json


def kept(tokenizer_json: bytes) -> bytes:
    """What the store keeps."""
    found = from_json(tokenizer_json)
    if not isinstance(found, dict) or found.get("normalizer") != {"type": "NFC"}:
        return tokenizer_json
    return json.dumps(found | {"normalizer": None}, ensure_ascii=False, separators=(",", ":")).encode()
