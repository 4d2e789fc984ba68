"""The contents of a Llama's model file (SPEC.md, "The model file"), and their ranges; `container.py` opens it.

Shapes: C width, F inner width, H query heads, K key/value heads, D head width, V vocabulary, P positions,
O and I outputs and inputs of a matrix.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import (
    MATRIX_RANGES,
    Integers,
    Matrix,
    ModelConfig,
    Shapes,
    Tensors,
    matrix_shapes,
    opened,
    refuse,
)

_GAIN = (-a.GAIN_MAX, a.GAIN_MAX)
_TURN = (-(2**a.ROTARY_FRACTION), 2**a.ROTARY_FRACTION)


@dataclass(frozen=True)
class ExactConfig(ModelConfig):
    """See `ModelConfig`. `epsilon`: round(rms_norm_eps * hidden_size * 2^40).

    Attributes:
        window: how many positions a position sees, itself included; 0 if all.
        head_epsilon: round(rms_norm_eps * head_dim * 2^32) where heads of queries and keys have norms; 0 without.
        qkv_bias: whether `qkv` has a bias.
    """

    format: ClassVar[str] = "assay/exact/1"
    ranges: ClassVar[dict[str, tuple[int, int]]] = MATRIX_RANGES | {
        "attention_norm": _GAIN,
        "mlp_norm": _GAIN,
        "final_norm": _GAIN,
        "query_norm": _GAIN,
        "key_norm": _GAIN,
        "exp2": (0, 2**a.EXP2_FRACTION),
        "sigmoid": (0, 2**a.SIGMOID_FRACTION),
        "cos": _TURN,
        "sin": _TURN,
    }
    limits: ClassVar[Mapping[str, int]] = {
        **ModelConfig.limits,
        "num_attention_heads": a.MAX_INNER,
        "num_key_value_heads": a.MAX_INNER,
        "head_dim": a.MAX_HEAD_DIM,
    }

    num_key_value_heads: int
    head_dim: int
    tied: bool
    window: int = 0
    head_epsilon: int = 0
    qkv_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            refuse("heads do not divide into groups, or their width is odd", "config", asdict(self))
        if self.num_attention_heads * self.head_dim > a.MAX_INNER:
            refuse("the heads together are too wide", "config", asdict(self))
        if not 0 <= self.window < self.positions:
            refuse(f"a window of {self.window} hides none of {self.positions} positions", "window", self.window)
        if not 0 <= self.head_epsilon <= a.EPSILON_MAX:
            refuse(f"head_epsilon is {self.head_epsilon}", "head_epsilon", self.head_epsilon)

    def shapes(self) -> Shapes:
        """See `ModelConfig`."""
        c, f, d = self.hidden_size, self.intermediate_size, self.head_dim
        heads, kv_heads = self.num_attention_heads, self.num_key_value_heads
        matrices = {"embedding": (self.vocab_size, c)}
        gains, head_gains = ["final_norm"], list[str]()
        if not self.tied:
            matrices["head"] = (self.vocab_size, c)
        for index in range(self.num_hidden_layers):
            prefix = f"layers.{index}."
            matrices[prefix + "qkv"] = ((heads + 2 * kv_heads) * d, c)
            matrices[prefix + "attention_out"] = (c, heads * d)
            matrices[prefix + "gate_up"] = (2 * f, c)
            matrices[prefix + "down"] = (c, f)
            gains += [prefix + "attention_norm", prefix + "mlp_norm"]
            if self.head_epsilon:
                head_gains += [prefix + "query_norm", prefix + "key_norm"]
        shapes: Shapes = {
            "table.exp2": ((1 << a.EXP2_INDEX_BITS,), "int32"),
            "table.sigmoid": ((1 << a.SIGMOID_INDEX_BITS,), "int32"),
            "table.cos": ((self.positions, d // 2), "int16"),
            "table.sin": ((self.positions, d // 2), "int16"),
        }
        shapes |= {name: ((c,), "int32") for name in gains} | {name: ((d,), "int32") for name in head_gains}
        for name, shape in matrices.items():
            shapes |= matrix_shapes(name, shape, bias=self.qkv_bias and name.endswith("qkv"))
        return shapes


@dataclass(frozen=True)
class LayerParameters:
    """One block. `qkv` has the rows of queries, keys and values in this order, `gate_up` gates before ups."""

    attention_norm: Integers  # (C,)
    qkv: Matrix  # ((H + 2K) D, C)
    attention_out: Matrix  # (C, H D)
    mlp_norm: Integers  # (C,)
    gate_up: Matrix  # (2F, C)
    down: Matrix  # (C, F)
    query_norm: Integers | None = None  # (D,)
    key_norm: Integers | None = None  # (D,)


@dataclass(frozen=True)
class Parameters:
    """The whole model file. Where embeddings are tied, `head` is `embedding`."""

    config: ExactConfig
    embedding: Matrix  # (V, C)
    head: Matrix  # (V, C)
    layers: tuple[LayerParameters, ...]
    final_norm: Integers  # (C,)
    exp2: Integers  # (4096,)
    sigmoid: Integers  # (32768,)
    cos: Integers  # (P, D / 2)
    sin: Integers  # (P, D / 2)

    @classmethod
    def assemble(cls, config: ExactConfig, tensor: Callable[[str], Integers]) -> Self:
        """Take the tensors by name, each checked. Raises UnsupportedModel."""
        take = Tensors(config, tensor)

        def layer(index: int) -> LayerParameters:
            prefix = f"layers.{index}."
            return LayerParameters(
                attention_norm=take(prefix + "attention_norm"),
                qkv=take.matrix(prefix + "qkv"),
                attention_out=take.matrix(prefix + "attention_out"),
                mlp_norm=take(prefix + "mlp_norm"),
                gate_up=take.matrix(prefix + "gate_up"),
                down=take.matrix(prefix + "down"),
                query_norm=take(prefix + "query_norm") if config.head_epsilon else None,
                key_norm=take(prefix + "key_norm") if config.head_epsilon else None,
            )

        embedding = take.matrix("embedding")
        return cls(
            config=config,
            embedding=embedding,
            head=embedding if config.tied else take.matrix("head"),
            layers=tuple(layer(index) for index in range(config.num_hidden_layers)),
            final_norm=take("final_norm"),
            exp2=take.exp2(),
            **{name: take("table." + name) for name in ("sigmoid", "cos", "sin")},
        )


def read_model(path: Path) -> Parameters:
    """Read a Llama's model file. Errors as of `container.opened`."""
    with opened(path, ExactConfig) as (config, tensor):
        return Parameters.assemble(config, tensor)
