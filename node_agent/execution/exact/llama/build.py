"""From a Llama in fp32 to its model file (SPEC.md), the same bytes on every host."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.llama.model_file import ExactConfig
from node_agent.execution.exact.quantise import TensorMaker, gain, quantise, query_factor
from node_agent.execution.model_files import Fp32
from node_agent.execution.published import PLAIN_LLAMA, require_fixed

_LAYER_PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
    "attention_norm": ("input_layernorm",),
    "mlp_norm": ("post_attention_layernorm",),
}
_TOP_PARTS = {"embedding": "model.embed_tokens", "head": "lm_head", "final_norm": "model.norm"}


def read_config(fields: Mapping[str, Any], source_sha256: str, positions: int | None = None) -> ExactConfig:
    """The model file's configuration from a config.json. Raises UnsupportedModel where SPEC.md does not cover it."""
    require_fixed(fields, {**PLAIN_LLAMA, "partial_rotary_factor": 1.0})
    width, heads = fields["hidden_size"], fields["num_attention_heads"]
    head_dim = fields.get("head_dim") or width // heads
    query_bits, key_bits = a.query_key_bits(head_dim)
    longest = fields["max_position_embeddings"]
    return ExactConfig(
        vocab_size=fields["vocab_size"],
        hidden_size=width,
        intermediate_size=fields["intermediate_size"],
        num_hidden_layers=fields["num_hidden_layers"],
        num_attention_heads=heads,
        num_key_value_heads=fields.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        positions=min(longest if positions is None else positions, longest, a.MAX_POSITIONS),
        tied=bool(fields.get("tie_word_embeddings", False)),
        epsilon=round(tables.rational(fields["rms_norm_eps"]) * width * 2**a.EPSILON_FRACTION),
        query_bits=query_bits,
        key_bits=key_bits,
        source_sha256=source_sha256,
    )


class LlamaMaker(TensorMaker):
    """See `TensorMaker`."""

    def __init__(self, config: ExactConfig, fields: Mapping[str, Any], tensor: Callable[[str], Fp32]) -> None:
        cos, sin = tables.rotary_tables(config.head_dim, config.positions, *_rotary(fields))
        curves = {"exp2": tables.exp2_table(), "sigmoid": tables.sigmoid_table()}
        super().__init__(tensor, {**curves, "cos": cos, "sin": sin})
        self._config = config

    def vector(self, name: str) -> Integers:
        """See `TensorMaker`."""
        return gain(self._part(name))

    def matrix(self, name: str) -> Matrix:
        """See `TensorMaker`."""
        c, weight = self._config, self._part(name)
        queries = c.num_attention_heads * c.head_dim
        return quantise(weight, query_factor(len(weight), queries, c.head_dim) if name.endswith("qkv") else None)

    def _part(self, name: str) -> Fp32:
        if name in _TOP_PARTS:
            return self.tensor(f"{_TOP_PARTS[name]}.weight")
        prefix, _, part = name.rpartition(".")
        return np.concatenate([self.tensor(f"model.{prefix}.{each}.weight") for each in _LAYER_PARTS[part]])


def _rotary(fields: Mapping[str, Any]) -> tuple[Fraction, Mapping[str, Any] | None]:
    """theta and scaling, from either of the two places where config.json may have them. Raises UnsupportedModel."""
    scaling = fields.get("rope_parameters") or fields.get("rope_scaling")
    theta = fields.get("rope_theta") or (scaling or {}).get("rope_theta")
    if theta is None:
        raise UnsupportedModel(
            "config.json names no rope_theta.",
            way_out="Use the model's own configuration, complete.",
            rope_theta=None,
        )
    return tables.rational(theta), scaling
