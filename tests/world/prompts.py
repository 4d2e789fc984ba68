"""What is asked of engines in tests: texts as packed prompts, by the tiny models' tokenizer or by a model's own."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache

from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, packed_root, unpack
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.model_files import Wording
from node_agent.models import ModelStore
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256
from tests.world.wording import bert, chat_ml, id_of

BYTES = TextTokenizer(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256)
CHAT = chat_ml(BYTES)
"""ChatML by the tokenizer with one token a byte: 97 tokens around a text."""

STOP = 2
"""<|im_end|>, with which a test's workload may let answers end."""

SMOLLM2, MINILM = "smollm2-135m", "minilm-l6-v2"
"""Models of the store; those of the exact engine have the same tokenizers."""


def asked(texts: Sequence[str], tokenizer: TextTokenizer = BYTES, wording: Wording = CHAT) -> bytes:
    """The packed prompts of texts, as they are: no limit is looked at."""
    return pack([[*wording.before, *tokenizer.encode(text), *wording.after] for text in texts])


def bare(*texts: str) -> bytes:
    """Packed prompts of a workload that puts nothing around its texts, with one token a byte."""
    return asked(texts, BYTES, Wording("byte_bpe", (), ()))


def said(packed: bytes) -> str:
    """All that packed prompts of one token a byte spell."""
    return " ".join(BYTES.decode(ids) for ids in unpack(packed))


def asked_of(model: str, texts: Sequence[str]) -> bytes:
    """Texts in the words of a real model, by its name in the store: a chat, or [CLS] and [SEP] around each."""
    tokenizer = tokenizer_of(model)
    wording = chat_ml(tokenizer) if id_of(tokenizer, "[CLS]") is None else bert(tokenizer)
    return asked(texts, tokenizer, wording)


@cache
def tokenizer_of(model: str) -> TextTokenizer:
    """A model's tokenizer, read once; the model is pulled if it is not there."""
    files = ModelStore().pull(model)
    return TextTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)


def answered(output: bytes) -> list[list[int]]:
    """The token ids that answer each text."""
    return unpack(output)


def with_words(*words: str) -> bytes:
    """tokenizer.json that spells these ASCII words too, by ids of their own, and still cuts every text into bytes."""
    tokenizer = json.loads(BYTE_TOKENIZER)
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({word: len(vocabulary) + place for place, word in enumerate(words)})
    return json.dumps(tokenizer).encode()


def read(tokenizer_json: bytes) -> TextTokenizer:
    """The tokenizer of a file."""
    return TextTokenizer(tokenizer_json, hashlib.sha256(tokenizer_json).hexdigest())


def prompts_of(manifest: Manifest, texts: Sequence[str], tokenizer: TextTokenizer = BYTES) -> bytes:
    """The packed prompts of texts."""
    return pack_prompts(manifest, tokenizer, texts)


def name_of(data: bytes) -> str:
    """What bytes are named by among the blobs: packed words by their root, others by their keccak256."""
    try:
        return root_of(data)
    except NotPacked:
        return to_hex(keccak(data))


def root_of(packed: bytes) -> str:
    """What packed words are named by."""
    return to_hex(packed_root(packed))
