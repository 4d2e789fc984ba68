"""The model file of the exact engine: one safetensors file whose sha256 names everything that decides the arithmetic.

Its header carries the configuration as JSON; its tensors are integers only (SPEC.md, "The model file"). Opening it
checks every range that the bounds of SPEC.md rest on, so that no file can make the arithmetic overflow.

Shapes: C width, F inner width, H query heads, K key/value heads, D head width, V vocabulary, P positions,
O and I outputs and inputs of a matrix.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.model_files import CONFIG_KEY, require_digest, require_safetensors

FORMAT = "assay/exact/1"

Integers = NDArray[Any]
_TYPES = {"int8": "I8", "int16": "I16", "int32": "I32"}


@dataclass(frozen=True)
class ExactConfig:
    """Sizes, and the three numbers that differ between models of one size.

    Attributes:
        epsilon: round(rms_norm_eps * hidden_size * 2^40).
        query_bits, key_bits: with sign; `arithmetic.query_key_bits(head_dim)`.
        source_sha256: of the weights that the file was built from.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    positions: int
    tied: bool
    epsilon: int
    query_bits: int
    key_bits: int
    source_sha256: str

    @classmethod
    def read(cls, text: str) -> Self:
        """From the header of a model file. Raises UnsupportedModel."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        kinds = {"int": int, "bool": bool, "str": str}
        wanted = {field.name: kinds[getattr(field.type, "__name__", "")] for field in fields(cls)}
        if not isinstance(found, dict) or {name: type(value) for name, value in found.items()} != wanted:
            _refuse(f"its configuration is not made of {sorted(wanted)}", "config", text[:500])
        return cls(**found)

    def __post_init__(self) -> None:
        limits = {
            "vocab_size": 2**31 - 1,
            "num_hidden_layers": 2**16,
            "num_attention_heads": a.MAX_INNER,
            "num_key_value_heads": a.MAX_INNER,
            "hidden_size": a.MAX_WIDTH,
            "intermediate_size": a.MAX_INNER,
            "positions": a.MAX_POSITIONS,
            "head_dim": 256,
            "epsilon": 2**60,
        }
        for name, most in limits.items():
            if not 0 < getattr(self, name) <= most:
                _refuse(f"{name} is {getattr(self, name)}, this engine computes 1 to {most}", name, getattr(self, name))
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            _refuse("heads do not divide into groups, or their width is odd", "config", asdict(self))
        if self.num_attention_heads * self.head_dim > a.MAX_INNER:
            _refuse("the heads together are too wide", "config", asdict(self))
        if (self.query_bits, self.key_bits) != a.query_key_bits(self.head_dim):
            _refuse("bit widths of queries and keys do not fit the heads' width", "config", asdict(self))

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every tensor, by name."""
        c, f, d = self.hidden_size, self.intermediate_size, self.head_dim
        heads, kv_heads = self.num_attention_heads, self.num_key_value_heads
        matrices = {"embedding": (self.vocab_size, c)}
        gains = ["final_norm"]
        if not self.tied:
            matrices["head"] = (self.vocab_size, c)
        for index in range(self.num_hidden_layers):
            prefix = f"layers.{index}."
            matrices[prefix + "qkv"] = ((heads + 2 * kv_heads) * d, c)
            matrices[prefix + "attention_out"] = (c, heads * d)
            matrices[prefix + "gate_up"] = (2 * f, c)
            matrices[prefix + "down"] = (c, f)
            gains += [prefix + "attention_norm", prefix + "mlp_norm"]
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            "table.exp2": ((1 << a.EXP2_INDEX_BITS,), "int32"),
            "table.sigmoid": ((1 << a.SIGMOID_INDEX_BITS,), "int32"),
            "table.cos": ((self.positions, d // 2), "int16"),
            "table.sin": ((self.positions, d // 2), "int16"),
        }
        shapes |= {name: ((c,), "int32") for name in gains}
        for name, shape in matrices.items():
            shapes[name + ".weight"] = (shape, "int8")
            shapes[name + ".multiplier"] = (shape[:1], "int32")
            shapes[name + ".exponent"] = ((1,), "int32")
        return shapes


@dataclass(frozen=True)
class Matrix:
    """An (O, I) matrix: real weight = weight * multiplier * 2^-exponent.

    Attributes:
        weight: (O, I) int8 in -127..127.
        multiplier: (O,) int32 in 0..2^24 - 1.
        exponent: 24..37.
    """

    weight: Integers
    multiplier: Integers
    exponent: int


@dataclass(frozen=True)
class LayerParameters:
    """One block. `qkv` holds the rows of queries, keys and values in this order, `gate_up` gates before ups."""

    attention_norm: Integers  # (C,)
    qkv: Matrix  # ((H + 2K) D, C)
    attention_out: Matrix  # (C, H D)
    mlp_norm: Integers  # (C,)
    gate_up: Matrix  # (2F, C)
    down: Matrix  # (C, F)


@dataclass(frozen=True)
class Parameters:
    """All that a model file says. Where embeddings are tied, `head` is `embedding`."""

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
        shapes = config.shapes()

        def take(name: str) -> Integers:
            values, (shape, kind) = tensor(name), shapes[name]
            if values.shape != shape or values.dtype.name != kind:
                _refuse(f"{name} is {values.shape} {values.dtype}, not {shape} {kind}", name, str(values.dtype))
            _require_range(name, values)
            return values

        def matrix(name: str) -> Matrix:
            exponent = int(take(name + ".exponent")[0])
            return Matrix(take(name + ".weight"), take(name + ".multiplier"), exponent)

        def layer(index: int) -> LayerParameters:
            kinds = {field.name: field.type for field in fields(LayerParameters)}
            prefix = f"layers.{index}."
            return LayerParameters(
                **{name: (matrix if kind is Matrix else take)(prefix + name) for name, kind in kinds.items()}  # type: ignore[arg-type]
            )

        embedding = matrix("embedding")
        return cls(
            config=config,
            embedding=embedding,
            head=embedding if config.tied else matrix("head"),
            layers=tuple(layer(index) for index in range(config.num_hidden_layers)),
            final_norm=take("final_norm"),
            **{name: take("table." + name) for name in ("exp2", "sigmoid", "cos", "sin")},
        )


def write_model(path: Path, config: ExactConfig, tensor: Callable[[str], Integers]) -> None:
    """Write a model file, and its configuration as config.json beside it; what is the same gives the same bytes.

    Args:
        path: the file to write.
        config: goes into the header.
        tensor: returns the tensor of a name in `config.shapes()`, in that shape and type.
    """
    shapes = config.shapes()
    described = json.dumps(asdict(config), sort_keys=True, separators=(",", ":"))
    (path.parent / "config.json").write_text(described)
    bound = {"config": described, CONFIG_KEY: sha256(described.encode()).hexdigest(), "format": FORMAT}
    header: dict[str, object] = {"__metadata__": bound}
    offset = 0
    for name, (shape, kind) in sorted(shapes.items()):
        end = offset + prod(shape) * np.dtype(kind).itemsize
        header[name] = {"dtype": _TYPES[kind], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the reference implementation wants the data 8-byte aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.writelines(_little_endian(shapes, tensor))


def read_model(path: Path, sha256: str | None = None) -> Parameters:
    """Open a model file.

    Args:
        path: the file.
        sha256: what it must hash to, in hex; not looked at if not given (its store has).

    Raises:
        ModelDigestMismatch: it has another digest.
        UnsafeModelFormat: it is not safetensors.
        UnsupportedModel: it is no model file of this format, or a number in it breaks a bound of SPEC.md.
    """
    require_safetensors(path)
    if sha256 is not None:
        require_digest(path, sha256)
    with safe_open(path, framework="np") as file:
        said: Mapping[str, str] = file.metadata() or {}
        if said.get("format") != FORMAT:
            _refuse(
                f"{path.name} is {said.get('format')!r}, this engine reads {FORMAT!r}", "format", said.get("format")
            )
        config = ExactConfig.read(said.get("config", ""))
        if set(file.keys()) != set(config.shapes()):
            _refuse("tensors are missing or strange", "tensors", sorted(set(file.keys()) ^ set(config.shapes())))
        return Parameters.assemble(config, file.get_tensor)


_RANGES = {
    "weight": (-a.WEIGHT_MAX, a.WEIGHT_MAX),
    "multiplier": (0, 2**a.MULTIPLIER_BITS - 1),
    "exponent": (a.MIN_EXPONENT, a.MAX_EXPONENT),
    "attention_norm": (-a.GAIN_MAX, a.GAIN_MAX),
    "mlp_norm": (-a.GAIN_MAX, a.GAIN_MAX),
    "final_norm": (-a.GAIN_MAX, a.GAIN_MAX),
    "exp2": (0, 2**a.EXP2_FRACTION),
    "sigmoid": (0, 2**a.SIGMOID_FRACTION),
    "cos": (-(2**a.ROTARY_FRACTION), 2**a.ROTARY_FRACTION),
    "sin": (-(2**a.ROTARY_FRACTION), 2**a.ROTARY_FRACTION),
}


def _require_range(name: str, values: Integers) -> None:
    least, most = _RANGES[name.rpartition(".")[2]]
    found = int(values.min()), int(values.max())
    if found[0] < least or found[1] > most:
        _refuse(f"{name} holds {found[0]} to {found[1]}, allowed are {least} to {most}", name, found)


def _little_endian(
    shapes: Mapping[str, tuple[tuple[int, ...], str]], tensor: Callable[[str], Integers]
) -> Iterator[bytes]:
    for name, (shape, kind) in sorted(shapes.items()):
        values = tensor(name)
        if values.shape != shape or values.dtype.name != kind:
            raise ValueError(f"{name} is {values.shape} {values.dtype}, but {shape} {kind} was announced")
        yield np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def _refuse(message: str, name: str, value: object) -> NoReturn:
    raise UnsupportedModel(
        f"Not a model that the exact engine computes: {message}.",
        way_out="Build the file again with this release, from a Llama within the limits of SPEC.md.",
        **{name: value},
    )
