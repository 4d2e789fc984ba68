"""From the vocabulary and merges of a GGUF file to tokenizer.json of the `tokenizers` library: byte-level BPE.

GGUF names how text is cut before byte pairs are merged (`tokenizer.ggml.pre`); the rule itself is that of the family's
published tokenizer.json, without Qwen's NFC (`published_tokenizer`).
"""

from collections.abc import Mapping
from typing import Any

from gguf import GGUFReader

from node_agent.execution.errors import UnsupportedModel

_NORMAL, _USER_DEFINED = 1, 4
"""Types of tokens: pieces of text, and whole words that are text too; any other is a control token."""

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2 = _BYTE_LEVEL | {"use_regex": True}


_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_WORDS}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_REST}"
_QWEN2 = rf"{_WORDS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_REST}"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
)


def _split(pattern: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, _BYTE_LEVEL]


_PRE_TOKENIZERS: Mapping[str, list[dict[str, Any]]] = {
    "deepseek-r1-qwen": _split(_QWEN2),
    "gpt-2": [_GPT2],
    "llama-bpe": _split(_LLAMA3),
    "qwen2": _split(_QWEN2),
    "smollm": [{"type": "Digits", "individual_digits": True}, _GPT2],
    "tekken": _split(_TEKKEN),
}
_WHOLE_WORDS_FIRST = frozenset({"llama-bpe", "tekken"})
"""A piece that is an entry of the vocabulary is taken whole, without its merges."""


def tokenizer_fields(reader: GGUFReader) -> dict[str, Any]:
    """The fields of a GGUF file about its tokenizer, by their names after "tokenizer."."""
    return {
        name.removeprefix("tokenizer."): field.contents()
        for name, field in reader.fields.items()
        if name.startswith("tokenizer.")
    }


def tokenizer_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer.json from the `tokenizer_fields` of a file. Raises UnsupportedModel."""
    model, cut = (_needed(fields, f"ggml.{name}") for name in ("model", "pre"))
    if model != "gpt2" or cut not in _PRE_TOKENIZERS:
        raise _unsupported("ggml.model and ggml.pre", f"{model} and {cut}")
    tokens, types, merges = (_needed(fields, f"ggml.{name}") for name in ("tokens", "token_type", "merges"))
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": tokens[index], **flags, "special": kind != _USER_DEFINED}
            for index, kind in enumerate(types)
            if kind != _NORMAL
        ],
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
            "ignore_merges": cut in _WHOLE_WORDS_FIRST,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in merges],
        },
    }


def _needed(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise _unsupported(name, "absent")
    return fields[name]


def _unsupported(name: str, value: object) -> UnsupportedModel:
    return UnsupportedModel(
        f"The tokenizer of this GGUF file cannot be converted: {name} is {value}.",
        way_out=f"Use a file whose tokenizer is byte-level BPE (gpt2), cut as by {', '.join(_PRE_TOKENIZERS)}.",
        name=name,
        value=value,
    )
