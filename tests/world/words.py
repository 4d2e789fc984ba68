"""The words of tests: texts as one tokenizer cuts them that has a token a byte."""

from collections.abc import Sequence

from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import packed_root
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.tokens import TextTokenizer
from node_agent.testing import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256

TOKENIZER = TextTokenizer(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256)


def prompts_of(manifest: Manifest, texts: Sequence[str]) -> bytes:
    """The packed prompts of texts."""
    return pack_prompts(manifest, TOKENIZER, texts)


def root_of(packed: bytes) -> str:
    """What packed words are named by."""
    return to_hex(packed_root(packed))
