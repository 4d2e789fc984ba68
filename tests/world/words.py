"""The words of tests: a token for each byte of a text, and for whole words where a test names them."""

import hashlib
import json
from collections.abc import Sequence

from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import packed_root
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.tokens import TextTokenizer
from node_agent.testing import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256

TOKENIZER = TextTokenizer(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256)

STOP = 2
"""<|im_end|>, with which a test's workload may let answers end."""


def with_words(*words: str) -> bytes:
    """tokenizer.json that spells these ASCII words too, by ids of their own, and still cuts every text into bytes."""
    tokenizer = json.loads(BYTE_TOKENIZER)
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({word: len(vocabulary) + place for place, word in enumerate(words)})
    return json.dumps(tokenizer).encode()


def read(tokenizer_json: bytes) -> TextTokenizer:
    """The tokenizer of a file."""
    return TextTokenizer(tokenizer_json, hashlib.sha256(tokenizer_json).hexdigest())


def prompts_of(manifest: Manifest, texts: Sequence[str], tokenizer: TextTokenizer = TOKENIZER) -> bytes:
    """The packed prompts of texts."""
    return pack_prompts(manifest, tokenizer, texts)


def root_of(packed: bytes) -> str:
    """What packed words are named by."""
    return to_hex(packed_root(packed))
