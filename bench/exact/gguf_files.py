"""GGUF files as llama.cpp writes them, and what its C reads in each type of tensor: of any model, for comparison."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from safetensors.numpy import load_file

from bench.exact.families import SMALL, State, random_state, small
from node_agent.execution.gguf_convert import convert
from node_agent.execution.model_files import Fp32

_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip

More = Callable[[gguf.GGUFWriter], object]


def interleave(rows: Fp32, heads: int) -> Fp32:
    """llama.cpp's order of rotary rows, row by row: pair i of a head lies at 2i and 2i + 1."""
    width = rows.shape[0] // heads
    result = np.empty_like(rows)
    for head in range(heads):
        for pair in range(width // 2):
            result[head * width + 2 * pair] = rows[head * width + pair]
            result[head * width + 2 * pair + 1] = rows[head * width + width // 2 + pair]
    return result


def write(path: Path, fields: dict[str, Any], state: State, more: More = lambda writer: None) -> None:
    """A model as llama.cpp's converter would write it. `more`: adds to it."""
    c, architecture = fields, {"mistral": "llama"}.get(fields["model_type"], fields["model_type"])
    writer = gguf.GGUFWriter(path, architecture)
    rotary = c["rope_parameters"]
    for add, value in (
        (writer.add_block_count, c["num_hidden_layers"]), (writer.add_context_length, c["max_position_embeddings"]),
        (writer.add_embedding_length, c["hidden_size"]), (writer.add_feed_forward_length, c["intermediate_size"]),
        (writer.add_head_count, c["num_attention_heads"]), (writer.add_head_count_kv, c["num_key_value_heads"]),
        (writer.add_layer_norm_rms_eps, c["rms_norm_eps"]), (writer.add_rope_freq_base, rotary["rope_theta"]),
        (writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2), (writer.add_tokenizer_model, "gpt2"),
        (writer.add_tokenizer_pre, "smollm"), (writer.add_token_list, [f"t{i}" for i in range(c["vocab_size"])]),
        (writer.add_token_types, [1] * c["vocab_size"]), (writer.add_token_merges, ["a b"]),
    ):  # fmt: skip
        add(value)
    if architecture == "llama":
        writer.add_rope_dimension_count(c["head_dim"])
    if c["head_dim"] * c["num_attention_heads"] != c["hidden_size"]:
        writer.add_key_length(c["head_dim"])
    if "sliding_window" in c:
        writer.add_sliding_window(c["sliding_window"])
    if rotary["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rotary["rope_type"]))
        writer.add_rope_scaling_factor(rotary["factor"])
    if rotary["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rotary["original_max_position_embeddings"])
    if rotary["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(rotary, c["head_dim"]))
    for name, values in state.items():
        for part, heads in (("q_proj", c["num_attention_heads"]), ("k_proj", c["num_key_value_heads"])):
            if architecture == "llama" and part in name:
                values = interleave(values, heads)
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, values)
    more(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _llama3_factors(c: dict[str, Any], head_dim: int) -> Fp32:
    """As llama.cpp's converter has them (`convert_hf_to_gguf.py`)."""
    waves = 2 * np.pi * c["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
    context, factor = c["original_max_position_embeddings"], c["factor"]
    smooth = (context / waves - c["low_freq_factor"]) / (c["high_freq_factor"] - c["low_freq_factor"])
    between = 1 / ((1 - smooth) / factor + smooth)
    slow, fast = context / c["low_freq_factor"], context / c["high_freq_factor"]
    return np.where(waves < fast, 1, np.where(waves > slow, factor, between)).astype(np.float32)


# The types of GGUF, block by block, as ggml's C reads them (ggml-quants.c); scales and minima are fp16.


def _half(block: bytes, at: int) -> np.float32:
    return np.float32(np.frombuffer(block[at : at + 2], "<f2")[0])


def _fours(data: bytes) -> list[int]:
    return [byte & 15 for byte in data] + [byte >> 4 for byte in data]


def _fives(low: bytes, high: bytes) -> list[int]:
    bits = int.from_bytes(high, "little")
    return [value | (bits >> index & 1) << 4 for index, value in enumerate(_fours(low))]


def _k_scales(packed: bytes) -> list[tuple[int, int]]:
    """`get_scale_min_k4`: eight scales and minima of six bits."""
    found = []
    for j in range(8):
        if j < 4:
            found.append((packed[j] & 63, packed[j + 4] & 63))
        else:
            low, high = packed[j + 4] & 15, packed[j + 4] >> 4
            found.append((low | packed[j - 4] >> 6 << 4, high | packed[j] >> 6 << 4))
    return found


def _of_k(block: bytes, values: Callable[[int, int], int]) -> list[np.float32]:
    """Q4_K and Q5_K: `values(pair of 32s, index)` gives a number of one of four pairs."""
    d, least = _half(block, 0), _half(block, 2)
    scales = _k_scales(block[4:16])
    return [d * np.float32(scales[j][0]) * np.float32(values(j, i)) - least * np.float32(scales[j][1])
            for j in range(8) for i in range(32)]  # fmt: skip


def _q4_k(block: bytes) -> list[np.float32]:
    return _of_k(block, lambda j, i: block[16 + 32 * (j // 2) + i] >> 4 * (j % 2) & 15)


def _q5_k(block: bytes) -> list[np.float32]:
    return _of_k(
        block, lambda j, i: (block[48 + 32 * (j // 2) + i] >> 4 * (j % 2) & 15) | (block[16 + i] >> j & 1) << 4
    )


def _q6_k(block: bytes) -> list[np.float32]:
    low, high, scales, d = block[:128], block[128:192], np.frombuffer(block[192:208], np.int8), _half(block, 208)
    found = []
    for index in range(256):
        part, rest = divmod(index, 128)
        quarter, i = divmod(rest, 32)
        nibble = low[64 * part + 32 * (quarter % 2) + i] >> 4 * (quarter // 2) & 15
        value = (nibble | (high[32 * part + i] >> 2 * quarter & 3) << 4) - 32
        found.append(d * np.float32(scales[8 * part + 2 * quarter + i // 16]) * np.float32(value))
    return found


TYPES: dict[str, tuple[int, Callable[[bytes], list[np.float32]]]] = {
    "F32": (4, lambda b: [np.frombuffer(b, "<f4")[0]]),
    "F16": (2, lambda b: [_half(b, 0)]),
    "BF16": (2, lambda b: [np.frombuffer(b"\0\0" + b, "<f4")[0]]),
    "Q8_0": (34, lambda b: [_half(b, 0) * np.float32(value) for value in np.frombuffer(b[2:], np.int8)]),
    "Q4_0": (18, lambda b: [_half(b, 0) * np.float32(value - 8) for value in _fours(b[2:])]),
    "Q4_1": (20, lambda b: [_half(b, 0) * np.float32(value) + _half(b, 2) for value in _fours(b[4:])]),
    "Q5_0": (22, lambda b: [_half(b, 0) * np.float32(value - 16) for value in _fives(b[6:], b[2:6])]),
    "Q5_1": (24, lambda b: [_half(b, 0) * np.float32(value) + _half(b, 2) for value in _fives(b[8:], b[4:8])]),
    "Q4_K": (144, _q4_k),
    "Q5_K": (176, _q5_k),
    "Q6_K": (210, _q6_k),
}
"""By type: bytes of a block, and its numbers."""

_HALVES = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q4_1": (0, 2), "Q5_1": (0, 2), "F32": (2,)}
"""Where blocks have their fp16; at their beginning if not given."""


def type_as_read(kind: str, folder: Path) -> tuple[Fp32, Fp32]:
    """A matrix of any bytes in blocks of a type: as it is converted, and as ggml reads it."""
    size, numbers = TYPES[kind]
    sizes = {"hidden_size": 256, "num_attention_heads": 32, "num_hidden_layers": 1}
    fields = small("Llama 2", SMALL | sizes)
    state, rng = random_state(fields), np.random.Generator(np.random.PCG64(3))
    name = "model.layers.0.mlp.up_proj.weight"
    rows, columns = state.pop(name).shape
    blocks = rng.integers(0, 256, (rows * columns // len(numbers(bytes(size))), size), np.uint8)
    for at in _HALVES.get(kind, (0,)):  # finite and of ordinary size, of either sign
        blocks[:, at + 1] = 0x30 | blocks[:, at + 1] & 0x8B
    raw = blocks.reshape(rows, -1)

    def more(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("blk.0.ffn_up.weight", raw, raw_dtype=GGMLQuantizationType[kind])

    write(folder / "m.gguf", fields, state, more)
    convert(folder / "m.gguf", folder)
    expected = np.array([value for block in blocks for value in numbers(block.tobytes())], np.float32)
    return load_file(folder / "model.safetensors")[name], expected.reshape(rows, columns)
