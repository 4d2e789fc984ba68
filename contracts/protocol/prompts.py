"""From the texts of an order to the ids that it binds, and from the ids of an answer to what people read.

Both follow from a manifest and its tokenizer's file alone, so requester, backend and auditor come to the same.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, unpack, unpack_signed
from contracts.protocol.spelling import Spelling


class Tokenizer(Protocol):
    """What cuts texts: `tokens.TextTokenizer`, or one in a confined process."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text alone."""
        ...


def pack_prompts(manifest: Manifest, tokenizer: Tokenizer, texts: Sequence[str]) -> bytes:
    """The packed prompts of texts, the template around each. Raises BadTexts for what is beyond the limits."""
    prompts = [manifest.prompt(tokenizer.encode(text)) for text in texts]
    manifest.input.require_tokens([len(ids) for ids in prompts])
    return pack(prompts)


def read_answer(manifest: Manifest, spelling: Spelling, packed: bytes) -> list[Any]:
    """What people read of packed output, an item a text. Raises NotPacked.

    Where tokens are generated: {"finish_reason": "stop" | "length", "text": ..., "token_ids": [...]}, the stop token
    last in the ids and not in the text. Else a list of numbers.
    """
    if manifest.meter != "new_tokens":
        return list(unpack_signed(packed))
    return [_spelt(manifest, spelling, ids) for ids in unpack(packed)]


def _spelt(manifest: Manifest, spelling: Spelling, ids: list[int]) -> dict[str, Any]:
    stopped = bool(ids) and ids[-1] in manifest.stops
    text = spelling.spell(ids[:-1] if stopped else ids)
    return {"finish_reason": "stop" if stopped else "length", "text": text, "token_ids": ids}
