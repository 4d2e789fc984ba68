"""From a model in GGUF to safetensors (fp32), tokenizer.json and config.json, the same bytes on every host.

`gguf_families.py` reads how it computes. Assay writes the files itself, so that a library's new version cannot change a
digest. References: the GGUF specification (ggml/docs/gguf.md); byte-level BPE as in GPT-2.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from gguf import GGUFReader

from node_agent.execution.gguf_families import GgufModel, unsupported
from node_agent.execution.gguf_header import require_counts
from node_agent.execution.model_files import CONFIG, CONFIG_KEY, TOKENIZER, WEIGHTS, write_safetensors

_NORMAL_TOKEN = 1  # GGUF token type: an ordinary vocabulary entry

# What llama.cpp calls a pre-tokenizer: how text is cut before byte pairs are merged.
_PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}


def convert(gguf: Path, folder: Path) -> None:
    """Write the three files of a model into an existing folder.

    Args:
        gguf: a Llama, Mistral, Qwen2 or Qwen3 with a byte-level BPE tokenizer.
        folder: where to write.

    Raises:
        UnsafeModelFormat: its header counts more than it holds.
        UnsupportedModel: another architecture, tokenizer or pre-tokenizer; a field or tensor that is not read.
    """
    require_counts(gguf)
    reader = GGUFReader(gguf)
    model = GgufModel(reader)
    config = _json(model.config)
    (folder / CONFIG).write_bytes(config)
    (folder / TOKENIZER).write_bytes(_json(_tokenizer(reader)))
    bound = {CONFIG_KEY: hashlib.sha256(config).hexdigest()}
    write_safetensors(folder / WEIGHTS, model.shapes, model.tensor, bound)


def _tokenizer(reader: GGUFReader) -> dict[str, Any]:
    """tokenizer.json of the `tokenizers` library, from the vocabulary and merges that GGUF carries."""
    model, cut = _field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre")
    if model != "gpt2" or cut not in _PRE_TOKENIZERS:
        raise unsupported("tokenizer", f"{model}/{cut}")
    tokens, types = _field(reader, "tokenizer.ggml.tokens"), _field(reader, "tokenizer.ggml.token_type")
    special = [index for index, kind in enumerate(types) if kind != _NORMAL_TOKEN]
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": tokens[index], **flags} for index in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[cut]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in _field(reader, "tokenizer.ggml.merges")],
        },
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise unsupported(name, "absent")
    return field.contents()
