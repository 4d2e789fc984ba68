"""From a BERT encoder in fp32 to its model file (SPEC_ENCODER.md), the same bytes on every host."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.container import Integers, Matrix, write_model
from node_agent.execution.exact.encoder.model_file import EncoderConfig
from node_agent.execution.exact.quantise import fixed_point, gain, quantise
from node_agent.execution.model_files import Fp32
from node_agent.execution.published import BertConfig

_MATRICES = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention_out": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "out_norm": "output.LayerNorm"}
_FRACTIONS = {"qkv": a.HEAD_FRACTION, "up": a.HEAD_FRACTION}
"""Fraction bits of what comes out of a matrix; RESIDUAL_FRACTION of the others."""


def build_from(
    fields: Mapping[str, Any],
    tensor: Callable[[str], Fp32],
    source_sha256: str,
    path: Path,
    positions: int | None = None,
) -> None:
    """Write a model file from a config.json's fields and a function from Hugging Face names to fp32 tensors.

    Raises:
        UnsupportedModel: not an encoder that this engine computes.
    """
    config = read_config(fields, source_sha256, positions)
    write_model(path, config, _EncoderSource(config, tensor))


def read_config(fields: Mapping[str, Any], source_sha256: str, positions: int | None = None) -> EncoderConfig:
    """The model file's configuration from a config.json. Raises UnsupportedModel for what the page does not cover."""
    c = BertConfig.from_json(fields)
    query_bits, key_bits = a.query_key_bits(c.hidden_size // c.num_attention_heads)
    longest = min(c.max_position_embeddings, a.MAX_POSITIONS)
    # the sums of squares that it is added to are those of C times a centred row
    epsilon = tables.rational(fields["layer_norm_eps"]) * c.hidden_size**3 * 2**a.EPSILON_FRACTION
    return EncoderConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        intermediate_size=c.intermediate_size,
        num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads,
        positions=longest if positions is None else min(positions, longest),
        epsilon=round(epsilon),
        query_bits=query_bits,
        key_bits=key_bits,
        source_sha256=source_sha256,
    )


class _EncoderSource:
    """Makes the tensors of the file by name, a matrix at a time."""

    def __init__(self, config: EncoderConfig, tensor: Callable[[str], Fp32]) -> None:
        self._config, self._tensor = config, tensor
        self._tables: dict[str, Integers] = {"exp2": tables.exp2_table(), "normal": tables.normal_table()}
        self._last: tuple[str, Matrix] | None = None

    def __call__(self, name: str) -> Integers:
        owner, _, field = name.rpartition(".")
        if owner == "table":
            return self._tables[field]
        if name == "position":
            return self._positions()
        if owner.endswith("norm"):
            return self._norm(owner, field)
        if self._last is None or self._last[0] != owner:  # a matrix's tensors are asked for in a row
            self._last = owner, self._matrix(owner)
        value = getattr(self._last[1], field)
        return np.array([value], np.int32) if field == "exponent" else np.asarray(value)

    def _positions(self) -> Integers:
        """There is one text, of type 0, so that its type's embedding is part of each position's."""
        places = self._tensor("embeddings.position_embeddings.weight")[: self._config.positions].astype(np.float64)
        kind = self._tensor("embeddings.token_type_embeddings.weight")[0].astype(np.float64)
        return fixed_point(places + kind, a.RESIDUAL_FRACTION, a.BIAS_MAX)

    def _norm(self, owner: str, field: str) -> Integers:
        prefix, _, part = owner.rpartition(".")
        name = f"{_layer(prefix)}{_NORMS[part]}" if prefix else "embeddings.LayerNorm"
        if field == "gain":
            return gain(self._tensor(f"{name}.weight"))
        return fixed_point(self._tensor(f"{name}.bias").astype(np.float64), a.RESIDUAL_FRACTION, a.BIAS_MAX)

    def _matrix(self, owner: str) -> Matrix:
        prefix, _, part = owner.rpartition(".")
        if not prefix:
            return quantise(self._tensor("embeddings.word_embeddings.weight"))
        names = [f"{_layer(prefix)}{name}" for name in _MATRICES[part]]
        weight, bias = (
            np.concatenate([self._tensor(f"{name}.{kind}") for name in names]) for kind in ("weight", "bias")
        )
        factor = self._query_factor() if part == "qkv" else np.ones(len(bias))
        short = fixed_point(bias.astype(np.float64) * factor, _FRACTIONS.get(part, a.RESIDUAL_FRACTION), a.BIAS_MAX)
        return replace(quantise(weight, factor), bias=short)

    def _query_factor(self) -> Integers:
        """What the queries' rows are multiplied by: log2(e) / sqrt(D) turns their scores into exponents of two."""
        width = self._config.hidden_size
        factor = np.ones(3 * width)
        factor[:width] = float(tables.query_scale(self._config.head_dim))
        return factor


def _layer(prefix: str) -> str:
    """layers.<i> as Hugging Face calls it, with the dot."""
    return f"encoder.layer.{prefix.rpartition('.')[2]}."
