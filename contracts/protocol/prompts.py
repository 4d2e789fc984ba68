"""Converts an order's texts to the token ids that it binds, and an answer's ids to what people read.

Both need only a manifest and its tokenizer file, so requester, backend and auditor get the same result.
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
    """The packed prompts of texts, each within the template. Raises BadTexts beyond the limits."""
    prompts = [manifest.prompt(tokenizer.encode(text)) for text in texts]
    manifest.input.require_tokens([len(ids) for ids in prompts])
    return pack(prompts)


def read_answer(manifest: Manifest, spelling: Spelling, packed: bytes) -> list[Any]:
    """Packed output in readable form, one item per text. Raises NotPacked.

    Generated tokens: {"finish_reason": "stop" | "length", "text": ..., "token_ids": [...]}; the stop token is the last
    id and not in the text. Other work: a list of numbers.
    """
    if manifest.meter != "new_tokens":
        return list(unpack_signed(packed))
    return [_spelt(manifest, spelling, ids) for ids in unpack(packed)]


def _spelt(manifest: Manifest, spelling: Spelling, ids: list[int]) -> dict[str, Any]:
    stopped = bool(ids) and ids[-1] in manifest.stops
    text = spelling.spell(ids[:-1] if stopped else ids)
    return {"finish_reason": "stop" if stopped else "length", "text": text, "token_ids": ids}
