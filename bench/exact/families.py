"""Families of Llamas beside Hugging Face transformers: the same weights, and the same config.json, in both arithmetics.

Weights are random integers of 8 bits times a scale of few bits for each row, so that quantising loses nothing, and what
differs is arithmetic. Rows of the output matrix have scales of their own, so that some tokens are likelier, as in a
trained model; without that the two largest of 150,000 logits lie closer than any two arithmetics agree.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from node_agent.execution.exact import kernels
from node_agent.execution.exact.build import build_from
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.port import Reading
from node_agent.execution.exact.ways import KernelWay
from node_agent.execution.model_files import Fp32

Fields = Mapping[str, Any]
State = dict[str, Fp32]

TEXTS, LENGTH = 4, 500
"""2,000 positions."""

_PLAIN: Fields = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 512, "intermediate_size": 1_408,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}  # fmt: skip


def _rotary(theta: float, kind: str, **more: float) -> Fields:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


_LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128}

CASES: Mapping[str, Fields] = {
    "Llama 2": {"num_key_value_heads": 8},
    "Llama 3.1": {"vocab_size": 128_256, "head_dim": 128, **_rotary(5e5, "llama3", **_LLAMA3)},
    "Llama, linear scaling": _rotary(1e4, "linear", factor=4.0),
    "SmolLM2": {"vocab_size": 49_152, "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
                "tie_word_embeddings": True, **_rotary(1e5, "default")},
    "Mistral": {"model_type": "mistral", "head_dim": 128, "sliding_window": 64},
    "Mistral, width 80": {"model_type": "mistral", "hidden_size": 640, "head_dim": 80, "sliding_window": 100},
    "Qwen2.5": {"model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 448, "num_attention_heads": 7,
                "num_key_value_heads": 1, "tie_word_embeddings": True, "rms_norm_eps": 1e-6, **_rotary(1e6, "default")},
    "Qwen2.5, YaRN": {"model_type": "qwen2", "rms_norm_eps": 1e-6,
                      **_rotary(1e6, "yarn", factor=4.0, original_max_position_embeddings=128)},
    "Qwen3": {"model_type": "qwen3", "vocab_size": 151_936, "head_dim": 128, "num_key_value_heads": 4,
              "rms_norm_eps": 1e-6, **_rotary(1e6, "default")},
}  # fmt: skip
"""What each family's config.json says beside `_PLAIN`: vocabularies and head widths that people run."""


def fields_of(name: str, **changes: object) -> dict[str, Any]:
    """config.json of a case."""
    return {**_PLAIN, **CASES[name], **changes}


SMALL: Fields = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 32,
}  # fmt: skip


def small(name: str, changes: Mapping[str, Any] = SMALL) -> dict[str, Any]:
    """A case in small sizes."""
    return fields_of(name, **SMALL) | {"tie_word_embeddings": fields_of(name)["tie_word_embeddings"]} | dict(changes)


def random_state(fields: Fields, seed: int = 1) -> State:
    """Tensors by their names on Hugging Face: matrices on the int8 grid; norms and biases."""
    c, rng = fields, np.random.Generator(np.random.PCG64(seed))
    width, inner, d = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    queries, shared = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    state: State = {"model.embed_tokens.weight": _on_grid(rng, c["vocab_size"], width, 1.0)}
    if not c["tie_word_embeddings"]:
        state["lm_head.weight"] = _on_grid(rng, c["vocab_size"], width, width**-0.5)
    state["model.norm.weight"] = _norm(rng, width)
    for index in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{index}."
        for part, rows, columns in (
            ("self_attn.q_proj", queries, width), ("self_attn.k_proj", shared, width),
            ("self_attn.v_proj", shared, width), ("self_attn.o_proj", width, queries),
            ("mlp.gate_proj", inner, width), ("mlp.up_proj", inner, width), ("mlp.down_proj", width, inner),
        ):  # fmt: skip
            state[f"{prefix}{part}.weight"] = _on_grid(rng, rows, columns, columns**-0.5, spread=0.0)
            if c["model_type"] == "qwen2" and part[-6:-5] in "qkv":
                state[f"{prefix}{part}.bias"] = rng.normal(0, 1, rows).astype(np.float32)
        for part in ("input_layernorm", "post_attention_layernorm"):
            state[f"{prefix}{part}.weight"] = _norm(rng, width)
        if c["model_type"] == "qwen3":
            state |= {f"{prefix}self_attn.{part}_norm.weight": _norm(rng, d) for part in "qk"}
    return state


def _norm(rng: np.random.Generator, width: int) -> Fp32:
    return rng.normal(1, 0.2, width).astype(np.float32)


def _on_grid(rng: np.random.Generator, rows: int, columns: int, size: float, spread: float = 0.5) -> Fp32:
    """(rows, columns) int8 times a scale of 10 bits a row: of this standard deviation, which varies by `spread`."""
    weight = rng.integers(-127, 128, (rows, columns), np.int16)
    weight[:, 0] = 127
    scale = size / 73 * np.exp(rng.normal(0, spread, (rows, 1)))  # 73: the integers' standard deviation
    step = 2.0 ** (np.floor(np.log2(scale)) - 9)
    return weight.astype(np.float32) * (np.rint(scale / step) * step).astype(np.float32)


def tokens_of(fields: Fields, texts: int = TEXTS, length: int = LENGTH) -> NDArray[np.int64]:
    """(texts, length) tokens."""
    return np.random.Generator(np.random.PCG64(9)).integers(0, fields["vocab_size"], (texts, length))


def built(fields: Fields, state: Mapping[str, Fp32]) -> Parameters:
    """The model file of the exact engine, read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        build_from(fields, state.__getitem__, "0" * 64, path)
        return read_model(path)


def exact_logits(parameters: Parameters, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """(texts, length, V) of the exact engine."""
    model = KernelWay(kernels.loaded(kernels.available()[0], kernels.usable_threads())).llama(parameters)
    rows = [model.read([Reading(text.tolist(), model.new_cache(len(text)), len(text))]) for text in tokens]
    return np.stack(rows).astype(np.float32) / 2**16


def float_logits(
    fields: Fields, state: Mapping[str, Fp32], tokens: NDArray[np.int64], dtype: torch.dtype = torch.float32
) -> NDArray[np.float32]:
    """(texts, length, V) of transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**{name: value for name, value in fields.items()}, attn_implementation="eager")
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_config(config).eval()
        missing, unexpected = model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
        assert not unexpected
        assert set(missing) <= ({"lm_head.weight"} if fields["tie_word_embeddings"] else set())
        model.to(dtype)
        return np.stack([model(torch.from_numpy(text[None])).logits[0].float().numpy() for text in tokens])


def agreement(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, float]:
    """Share of positions with the same greedy choice, and the correlation of all logits."""
    same = float((mine.argmax(-1) == theirs.argmax(-1)).mean())
    return {"positions": int(mine.shape[0] * mine.shape[1]), "same_choice": same,
            "correlation": float(np.corrcoef(mine.ravel(), theirs.ravel())[0, 1])}  # fmt: skip


def measure(name: str) -> dict[str, Any]:
    """One case."""
    fields = fields_of(name)
    state, tokens = random_state(fields), tokens_of(fields)
    mine = theirs = None
    parts = []
    parameters = built(fields, state)
    for text in tokens:  # one at a time: the logits of all would take gigabytes
        mine, theirs = exact_logits(parameters, text[None]), float_logits(fields, state, text[None])
        parts.append(agreement(mine, theirs))
    return {"family": name, **{key: fields[key] for key in ("model_type", "vocab_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "head_dim")},
            "positions": sum(part["positions"] for part in parts),
            "same_choice": float(np.mean([part["same_choice"] for part in parts])),
            "correlation": min(part["correlation"] for part in parts)}  # fmt: skip
