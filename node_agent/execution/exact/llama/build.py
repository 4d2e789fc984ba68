"""From a Llama in fp32 to its model file (SPEC.md), the same bytes on every host."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.llama.families import read_published
from node_agent.execution.exact.llama.model_file import ExactConfig
from node_agent.execution.exact.quantise import TensorMaker, fixed_point, gain, quantise, query_factor
from node_agent.execution.model_files import Fp32
from node_agent.execution.published import unsupported

_INVERSE_FREQUENCIES = "self_attn.rotary_emb.inv_freq"
"""A buffer of older files, which follows from config.json."""

MOST_BALANCED = 8
"""Multipliers of rows have 24 bits: with more, rows of small weights would lose some that count."""

Shape = tuple[int, ...]


def read_config(fields: Mapping[str, Any], source_sha256: str, positions: int | None = None) -> ExactConfig:
    """The model file's configuration from a config.json. Raises UnsupportedModel where SPEC.md does not cover it."""
    c = read_published(fields)
    query_bits, key_bits = a.query_key_bits(c.head_dim)
    longest = min(c.max_position_embeddings, a.MAX_POSITIONS)
    built = longest if positions is None else min(positions, longest)
    head_epsilon = round(c.rms_norm_eps * c.head_dim * 2**a.HEAD_EPSILON_FRACTION)
    if c.family.head_norms and not head_epsilon:
        raise unsupported(f"rms_norm_eps is {fields['rms_norm_eps']}, too small for heads.", "rms_norm_eps", 0)
    return ExactConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        intermediate_size=c.intermediate_size,
        num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads,
        num_key_value_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        positions=built,
        tied=c.tied,
        epsilon=round(c.rms_norm_eps * c.hidden_size * 2**a.EPSILON_FRACTION),
        query_bits=query_bits,
        key_bits=key_bits,
        source_sha256=source_sha256,
        window=c.window if c.window is not None and c.window < built else 0,
        head_epsilon=head_epsilon if c.family.head_norms else 0,
        qkv_bias=c.family.qkv_bias,
    )


class LlamaMaker(TensorMaker):
    """See `TensorMaker`."""

    def __init__(self, config: ExactConfig, fields: Mapping[str, Any], tensor: Callable[[str], Fp32]) -> None:
        published = read_published(fields)
        cos, sin = tables.rotary_tables(config.head_dim, config.positions, published.theta, published.scaling)
        curves = {"exp2": tables.exp2_table(), "sigmoid": tables.sigmoid_table()}
        super().__init__(tensor, {**curves, "cos": cos, "sin": sin})
        self._config, self._sources = config, _sources(config)
        self._queries = float(tables.query_scale(config.head_dim) * tables.rotary_factor(published.scaling) ** 2)

    def vector(self, name: str) -> Integers:
        """See `TensorMaker`."""
        weight, (prefix, _, part) = self._part(name).astype(np.float64), name.rpartition(".")
        if part in ("query_norm", "key_norm"):
            query, key = (self._part(f"{prefix}.{each}_norm").astype(np.float64)[None] for each in ("query", "key"))
            larger = 2.0 ** np.tile(balance(query, key)[0], 2)  # (D,)
            weight = weight * larger * self._queries if part == "query_norm" else weight / larger
        return gain(weight)

    def matrix(self, name: str) -> Matrix:
        """See `TensorMaker`."""
        weight = self._part(name)
        if not name.endswith("qkv"):
            return quantise(weight)
        c = self._config
        of_queries = 1.0 if c.head_epsilon else self._queries
        factor = query_factor(len(weight), c.num_attention_heads * c.head_dim, of_queries)
        if not c.qkv_bias:
            return quantise(weight, factor)
        bias = self._part(name, "bias").astype(np.float64)
        factor *= self._balanced(weight, bias, self._part(name.replace("qkv", "attention_norm")))
        return replace(quantise(weight, factor), bias=fixed_point(bias * factor, a.HEAD_FRACTION, a.HEAD_MAX))

    def _balanced(self, weight: Fp32, bias: Integers, norm: Fp32) -> Integers:
        """(rows,) powers of two for the rows of queries and keys; see `balance`. Sizes are those of biases and of about
        four standard deviations of what weights add; maxima are the same on every host, sums of floats are not."""
        c = self._config
        heads, kv_heads, d = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        added = np.abs(weight.astype(np.float64) * norm).max(1) * isqrt(c.hidden_size)
        sizes = (np.abs(bias) + added)[: (heads + kv_heads) * d].reshape(-1, d)
        exponents = balance(sizes[:heads], sizes[heads:])  # (K, D / 2)
        keys = np.concatenate([exponents, exponents], axis=1)  # (K, D)
        queries = np.repeat(keys, heads // kv_heads, axis=0)  # (H, D)
        return 2.0 ** np.concatenate([queries.ravel(), -keys.ravel(), np.zeros(kv_heads * d)])

    def _part(self, name: str, kind: str = "weight") -> Fp32:
        """The rows of a tensor of the model file, from those that it is made from. Raises UnsupportedModel."""
        prefix, _, part = name.rpartition(".")
        found = []
        for source, shape in self._sources[part].items():
            full = f"model.{prefix}.{source}.{kind}" if prefix else f"{source}.{kind}"
            values, wanted = self.tensor(full), shape if kind == "weight" else shape[:1]
            if values.shape != wanted:
                raise unsupported(f"{full} is {values.shape}, config.json makes it {wanted}.", full, values.shape)
            found.append(values)
        return np.concatenate(found)


def balance(queries: Integers, keys: Integers) -> Integers:
    """Exponents e by which rotary pairs are balanced: queries times 2^e, keys over it, which changes no score.

    Keys with biases or gains of hundreds in a few dimensions, as Qwen's have, would leave few of their bits to the
    others. Half of what keys are larger by goes to the queries (as SmoothQuant's migration, arXiv:2211.10438).

    Args:
        queries: (H, D) about how large each dimension becomes.
        keys: (K, D).

    Returns:
        (K, D / 2) integers, 0 for a typical pair.
    """
    count, d = keys.shape
    of_keys = keys.reshape(count, 2, d // 2).max(1)
    of_queries = queries.reshape(count, -1, d // 2).max(1)
    half: Integers = (np.frexp(of_keys)[1] - np.frexp(of_queries)[1]) // 2
    typical = np.sort(half, axis=1)[:, d // 4, None]
    exponents: Integers = np.clip(half - typical, -MOST_BALANCED, MOST_BALANCED)
    return exponents


def _sources(c: ExactConfig) -> dict[str, dict[str, Shape]]:
    """Names and shapes on Hugging Face of what each tensor of a model file, or of its layers, is made from."""
    width, inner, d = c.hidden_size, c.intermediate_size, c.head_dim
    queries, shared = c.num_attention_heads * d, c.num_key_value_heads * d
    return {
        "embedding": {"model.embed_tokens": (c.vocab_size, width)},
        "head": {"lm_head": (c.vocab_size, width)},
        "final_norm": {"model.norm": (width,)},
        "qkv": {
            "self_attn.q_proj": (queries, width),
            "self_attn.k_proj": (shared, width),
            "self_attn.v_proj": (shared, width),
        },
        "attention_out": {"self_attn.o_proj": (width, queries)},
        "gate_up": {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width)},
        "down": {"mlp.down_proj": (width, inner)},
        "attention_norm": {"input_layernorm": (width,)},
        "mlp_norm": {"post_attention_layernorm": (width,)},
        "query_norm": {"self_attn.q_norm": (d,)},
        "key_norm": {"self_attn.k_norm": (d,)},
    }


def follows(fields: Mapping[str, Any], name: str, tensor: Callable[[str], Fp32]) -> bool:
    """Whether a tensor that is not computed with says what the others and config.json say: the output matrix beside a
    tied embedding that it equals, and inverse frequencies that are those of theta."""
    if name == "lm_head.weight":
        return np.array_equal(tensor(name), tensor("model.embed_tokens.weight"))
    if not name.endswith(_INVERSE_FREQUENCIES):
        return False
    c, found = read_published(fields), tensor(name)
    wanted = float(c.theta) ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=0.01, atol=0))  # bf16 has 8 bits
