"""Converts an order's texts to the token ids that it binds, and an answer's ids to what people read.

Both need only a manifest and its tokenizer file, so requester, backend and auditor get the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, unpack, unpack_signed

if TYPE_CHECKING:
    from contracts.protocol.tokens import TextTokenizer


def pack_prompts(manifest: Manifest, tokenizer: TextTokenizer, texts: Sequence[str]) -> bytes:
    """The packed prompts of texts, each within the template. Raises BadTexts beyond the limits."""
    prompts = [manifest.prompt(tokenizer.encode(text)) for text in texts]
    manifest.input.require_tokens([len(ids) for ids in prompts])
    return pack(prompts)


def read_answer(manifest: Manifest, tokenizer: TextTokenizer, packed: bytes) -> list[Any]:
    """Packed output in readable form, one item per text. Raises NotPacked.

    Generated tokens: {"finish_reason": "stop" | "length", "text": ..., "token_ids": [...]}; the stop token is the last
    id and not in the text. Other work: a list of numbers.
    """
    if manifest.meter != "new_tokens":
        return list(unpack_signed(packed))
    return [_spelt(manifest, tokenizer, ids) for ids in unpack(packed)]


def _spelt(manifest: Manifest, tokenizer: TextTokenizer, ids: list[int]) -> dict[str, Any]:
    stopped = bool(ids) and ids[-1] in manifest.stops
    text = tokenizer.decode(ids[:-1] if stopped else ids)
    return {"finish_reason": "stop" if stopped else "length", "text": text, "token_ids": ids}
