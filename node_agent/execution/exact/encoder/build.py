"""From a BERT encoder in fp32 to its model file (SPEC_ENCODER.md), the same bytes on every host."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.encoder.model_file import EncoderConfig
from node_agent.execution.exact.quantise import TensorMaker, fixed_point, gain, quantise, query_factor
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
"""Fraction bits of these matrices' results; the other matrices have RESIDUAL_FRACTION."""


def read_config(fields: Mapping[str, Any], source_sha256: str, positions: int | None = None) -> EncoderConfig:
    """The model file's configuration from a config.json. Raises UnsupportedModel for what SPEC_ENCODER.md lacks."""
    c = BertConfig.from_json(fields)
    query_bits, key_bits = a.query_key_bits(c.hidden_size // c.num_attention_heads)
    longest = min(c.max_position_embeddings, a.MAX_POSITIONS)
    # epsilon is added to the sum of squares of C times a centred row
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


def follows(fields: Mapping[str, Any], name: str, tensor: Callable[[str], Fp32]) -> bool:
    """Whether an embedding does not need a tensor: BERT's pooler is for pairs of sentences, above the states."""
    return name in ("pooler.dense.weight", "pooler.dense.bias")


class EncoderMaker(TensorMaker):
    """See `TensorMaker`."""

    def __init__(self, config: EncoderConfig, fields: Mapping[str, Any], tensor: Callable[[str], Fp32]) -> None:
        super().__init__(tensor, {"exp2": tables.exp2_table(), "normal": tables.normal_table()})
        self._config = config

    def vector(self, name: str) -> Integers:
        """See `TensorMaker`."""
        owner, _, field = name.rpartition(".")
        return self._norm(owner, field) if owner else self._positions()

    def _positions(self) -> Integers:
        """A text has type 0 throughout, so each position's embedding includes the type's."""
        places = self.tensor("embeddings.position_embeddings.weight")[: self._config.positions].astype(np.float64)
        kind = self.tensor("embeddings.token_type_embeddings.weight")[0].astype(np.float64)
        return fixed_point(places + kind, a.RESIDUAL_FRACTION, a.BIAS_MAX)

    def _norm(self, owner: str, field: str) -> Integers:
        prefix, _, part = owner.rpartition(".")
        name = f"{_layer(prefix)}{_NORMS[part]}" if prefix else "embeddings.LayerNorm"
        if field == "gain":
            return gain(self.tensor(f"{name}.weight"))
        return fixed_point(self.tensor(f"{name}.bias").astype(np.float64), a.RESIDUAL_FRACTION, a.BIAS_MAX)

    def matrix(self, name: str) -> Matrix:
        """See `TensorMaker`."""
        prefix, _, part = name.rpartition(".")
        if not prefix:
            return quantise(self.tensor("embeddings.word_embeddings.weight"))
        names = [f"{_layer(prefix)}{name}" for name in _MATRICES[part]]
        weight, bias = (
            np.concatenate([self.tensor(f"{name}.{kind}") for name in names]) for kind in ("weight", "bias")
        )
        queries = self._config.hidden_size if part == "qkv" else 0
        factor = query_factor(len(bias), queries, float(tables.query_scale(self._config.head_dim)))
        short = fixed_point(bias.astype(np.float64) * factor, _FRACTIONS.get(part, a.RESIDUAL_FRACTION), a.BIAS_MAX)
        return replace(quantise(weight, factor), bias=short)


def _layer(prefix: str) -> str:
    """layers.<i> as Hugging Face calls it, with the dot."""
    return f"encoder.layer.{prefix.rpartition('.')[2]}."
