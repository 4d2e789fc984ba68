"""From a Llama in GGUF to safetensors (fp32), tokenizer.json and config.json, the same bytes on every host.

Dequantising multiplies and adds in fp32, one rounding each. Assay writes the files itself, so that a library's new
version cannot change a digest. References: the GGUF specification (ggml/docs/gguf.md); llama.cpp's converter, which
reorders the rows of the query and key projections from the half-split rotary layout of Hugging Face to an interleaved
one (undone here).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize

from node_agent.execution.chat import gguf_chat
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.gguf_header import require_counts
from node_agent.execution.gguf_tokenizer import tokenizer_fields, tokenizer_json
from node_agent.execution.model_files import CHAT, CONFIG, CONFIG_KEY, TOKENIZER, WEIGHTS, Fp32, write_safetensors

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FIELDS = frozenset(
    f"llama.{name}"
    for name in (
        *("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"),
        *("attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
        *("rope.dimension_count", "rope.freq_base"),
    )
)
"""All that is read of how the model computes: one with more to say is another model."""

_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def convert(gguf: Path, folder: Path) -> None:
    """Write the files of a model into an existing folder, chat.json among them where it has a chat template.

    Args:
        gguf: a Llama with a byte-level BPE tokenizer.
        folder: where to write.

    Raises:
        UnsafeModelFormat: its header counts more than it holds.
        UnsupportedModel: another architecture, tokenizer or pre-tokenizer.
    """
    require_counts(gguf)
    reader = GGUFReader(gguf)
    settings = _config(reader)
    _require_all_read(reader, settings)
    config = _json(settings)
    (folder / CONFIG).write_bytes(config)
    words = tokenizer_fields(reader)
    (folder / TOKENIZER).write_bytes(_json(tokenizer_json(words)))
    if (chat := gguf_chat(words)) is not None:
        (folder / CHAT).write_text(chat.model_dump_json())
    tensors = {_hugging_face_name(tensor.name): tensor for tensor in reader.tensors}
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    heads = _number(reader, "llama.attention.head_count"), _number(reader, "llama.attention.head_count_kv")
    write_safetensors(
        folder / WEIGHTS,
        shapes,
        lambda name: _fp32(name, tensors[name], heads),
        {CONFIG_KEY: hashlib.sha256(config).hexdigest()},
    )


def _require_all_read(reader: GGUFReader, settings: dict[str, Any]) -> None:
    """Raises UnsupportedModel where a field or a tensor would be left out, or is missing."""
    for name in sorted(set(reader.fields) - _FIELDS):
        if name.startswith("llama."):
            raise _unsupported(name, _field(reader, name))
    for name, only in (("rope.dimension_count", settings["head_dim"]), ("vocab_size", settings["vocab_size"])):
        if f"llama.{name}" in reader.fields and _number(reader, f"llama.{name}") != only:
            raise _unsupported(f"llama.{name}", _number(reader, f"llama.{name}"))
    layers = (f"blk.{layer}.{part}" for layer in range(settings["num_hidden_layers"]) for part in _LAYER_NAMES)
    top = set(_TOP_NAMES) - ({"output"} if settings["tie_word_embeddings"] else set())
    wanted, found = {f"{name}.weight" for name in (*top, *layers)}, {tensor.name for tensor in reader.tensors}
    if wanted != found:
        raise _unsupported(
            "its tensors",
            f"not those of its {settings['num_hidden_layers']} layers: {', '.join(sorted(wanted ^ found)[:5])}",
        )


def _fp32(name: str, tensor: ReaderTensor, heads: tuple[int, int]) -> Fp32:
    values: Fp32 = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
    if name.endswith("q_proj.weight"):
        return _half_split(values, heads[0])
    if name.endswith("k_proj.weight"):
        return _half_split(values, heads[1])
    return values


def _half_split(rows: Fp32, heads: int) -> Fp32:
    """(heads D, C) rows: rotary pairs go from side by side to half a head apart."""
    out, width = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def _hugging_face_name(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in _LAYER_NAMES:
        return f"model.layers.{int(parts[1])}.{_LAYER_NAMES[parts[2]]}.weight"
    if len(parts) == 1 and parts[0] in _TOP_NAMES:
        return f"{_TOP_NAMES[parts[0]]}.weight"
    raise _unsupported("tensor", name)


def _config(reader: GGUFReader) -> dict[str, Any]:
    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise _unsupported("general.architecture", architecture)
    width, heads = _number(reader, "llama.embedding_length"), _number(reader, "llama.attention.head_count")
    names = {tensor.name for tensor in reader.tensors}
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": _number(reader, "tokenizer.ggml.bos_token_id"),
        "dtype": "float32",
        "eos_token_id": _number(reader, "tokenizer.ggml.eos_token_id"),
        "head_dim": width // heads,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": _number(reader, "llama.feed_forward_length"),
        "max_position_embeddings": _number(reader, "llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": _number(reader, "llama.block_count"),
        "num_key_value_heads": _number(reader, "llama.attention.head_count_kv"),
        "rms_norm_eps": _shortest(_field(reader, "llama.attention.layer_norm_rms_epsilon")),
        "rope_scaling": None,
        "rope_theta": _shortest(_field(reader, "llama.rope.freq_base")),
        "tie_word_embeddings": "output.weight" not in names,
        "vocab_size": len(_field(reader, "tokenizer.ggml.tokens")),
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _shortest(value: object) -> float:
    """The shortest decimal of an fp32 value: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))  # type: ignore[arg-type]


def _number(reader: GGUFReader, name: str) -> int:
    return int(_field(reader, name))


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise _unsupported(name, "absent")
    return field.contents()


def _unsupported(name: str, value: object) -> UnsupportedModel:
    return UnsupportedModel(
        f"This GGUF file cannot be converted: {name} is {value}.",
        way_out="Use a Llama-architecture GGUF whose tokenizer is byte-level BPE.",
        name=name,
        value=value,
    )
