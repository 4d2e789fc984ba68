"""The contents of an encoder's model file (SPEC_ENCODER.md, "The model file"), and their ranges.

Shapes: C width, F inner width, V vocabulary, P positions.
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


@dataclass(frozen=True)
class EncoderConfig(ModelConfig):
    """See `ModelConfig`. `epsilon`: round(layer_norm_eps * hidden_size^3 * 2^40)."""

    format: ClassVar[str] = "assay/exact-encoder/1"
    ranges: ClassVar[dict[str, tuple[int, int]]] = MATRIX_RANGES | {
        "position": (-a.BIAS_MAX, a.BIAS_MAX),
        "gain": (-a.GAIN_MAX, a.GAIN_MAX),
        "exp2": (0, 2**a.EXP2_FRACTION),
        "normal": (0, 2**a.NORMAL_FRACTION),
    }
    limits: ClassVar[Mapping[str, int]] = {**ModelConfig.limits, "num_attention_heads": a.MAX_WIDTH}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_attention_heads or self.head_dim > a.MAX_HEAD_DIM or self.head_dim % 2:
            refuse(f"heads do not divide the width, are wider than {a.MAX_HEAD_DIM} or odd", "config", asdict(self))

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.hidden_size // self.num_attention_heads

    def shapes(self) -> Shapes:
        """See `ModelConfig`."""
        c, f = self.hidden_size, self.intermediate_size
        shapes: Shapes = {
            "table.exp2": ((1 << a.EXP2_INDEX_BITS,), "int32"),
            "table.normal": ((1 << a.NORMAL_INDEX_BITS,), "int32"),
            "position": ((self.positions, c), "int32"),
            **matrix_shapes("embedding", (self.vocab_size, c)),
        }
        norms = ["embedding_norm"]
        for index in range(self.num_hidden_layers):
            prefix = f"layers.{index}."
            shapes |= matrix_shapes(prefix + "qkv", (3 * c, c), bias=True)
            shapes |= matrix_shapes(prefix + "attention_out", (c, c), bias=True)
            shapes |= matrix_shapes(prefix + "up", (f, c), bias=True)
            shapes |= matrix_shapes(prefix + "down", (c, f), bias=True)
            norms += [prefix + "attention_norm", prefix + "out_norm"]
        return shapes | {f"{norm}.{part}": ((c,), "int32") for norm in norms for part in ("gain", "bias")}


@dataclass(frozen=True)
class Norm:
    """Layer normalisation.

    Attributes:
        gain: (C,) int32, weights times sqrt(C), with 16 fraction bits.
        bias: (C,) int32 with 20 fraction bits.
    """

    gain: Integers
    bias: Integers


@dataclass(frozen=True)
class EncoderLayer:
    """One block. `qkv` has the rows of queries, keys and values in this order."""

    qkv: Matrix  # (3C, C)
    attention_out: Matrix  # (C, C)
    attention_norm: Norm
    up: Matrix  # (F, C)
    down: Matrix  # (C, F)
    out_norm: Norm


@dataclass(frozen=True)
class EncoderParameters:
    """The whole model file."""

    config: EncoderConfig
    embedding: Matrix  # (V, C)
    position: Integers  # (P, C) with 20 fraction bits, the embedding of the text's type added
    embedding_norm: Norm
    layers: tuple[EncoderLayer, ...]
    exp2: Integers  # (4096,)
    normal: Integers  # (32768,)

    @classmethod
    def assemble(cls, config: EncoderConfig, tensor: Callable[[str], Integers]) -> Self:
        """Take the tensors by name, each checked. Raises UnsupportedModel."""
        take = Tensors(config, tensor)

        def norm(name: str) -> Norm:
            return Norm(take(name + ".gain"), take(name + ".bias"))

        def layer(prefix: str) -> EncoderLayer:
            return EncoderLayer(
                qkv=take.matrix(prefix + "qkv"),
                attention_out=take.matrix(prefix + "attention_out"),
                attention_norm=norm(prefix + "attention_norm"),
                up=take.matrix(prefix + "up"),
                down=take.matrix(prefix + "down"),
                out_norm=norm(prefix + "out_norm"),
            )

        return cls(
            config=config,
            embedding=take.matrix("embedding"),
            position=take("position"),
            embedding_norm=norm("embedding_norm"),
            layers=tuple(layer(f"layers.{index}.") for index in range(config.num_hidden_layers)),
            exp2=take.exp2(),
            normal=take("table.normal"),
        )


def read_encoder(path: Path) -> EncoderParameters:
    """Read an encoder's model file. Errors as of `container.opened`."""
    with opened(path, EncoderConfig) as (config, tensor):
        return EncoderParameters.assemble(config, tensor)
