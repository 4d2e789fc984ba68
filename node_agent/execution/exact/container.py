"""The exact engine's model file: safetensors whose sha256 names everything that decides the arithmetic.

The header carries the configuration as JSON; all tensors are integers (SPEC.md, "The model file"). Opening a file
checks every range that the specification's bounds rest on, so that no file can make the arithmetic overflow. Each
family of models defines its tensors: `llama/model_file.py`, `encoder/model_file.py`.

Shapes: O and I outputs and inputs of a matrix.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.model_files import CONFIG_KEY, require_safetensors, write_safetensors

Integers = NDArray[Any]
Shapes = dict[str, tuple[tuple[int, ...], str]]
"""Shape and type of each tensor of a file, by name."""

MATRIX_RANGES: dict[str, tuple[int, int]] = {
    "weight": (-a.WEIGHT_MAX, a.WEIGHT_MAX),
    "multiplier": (0, 2**a.MULTIPLIER_BITS - 1),
    "exponent": (a.MIN_EXPONENT, a.MAX_EXPONENT),
    "bias": (-a.BIAS_MAX, a.BIAS_MAX),
}
"""Least and largest number in the tensors of a matrix, by the last part of their names."""

_LINE_BYTES = 64


@dataclass(frozen=True)
class ModelConfig(ABC):
    """Sizes of a model and what else its arithmetic depends on; a family's fields are the keys of its JSON.

    Attributes:
        format: what the file calls its layout.
        ranges: least and largest number of each tensor, by the last part of its name.
        limits: the largest value of each field that counts something; the least is 1.
        epsilon: what norms add to sums of squares, with 40 fraction bits.
        query_bits, key_bits: with sign; `arithmetic.query_key_bits` of the heads' width.
        source_sha256: of the weights that the file was built from.
    """

    format: ClassVar[str]
    ranges: ClassVar[Mapping[str, tuple[int, int]]]
    limits: ClassVar[Mapping[str, int]] = {
        "vocab_size": 2**31 - 1,
        "num_hidden_layers": 2**16,
        "hidden_size": a.MAX_WIDTH,
        "intermediate_size": a.MAX_INNER,
        "positions": a.MAX_POSITIONS,
        "epsilon": a.EPSILON_MAX,
    }

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    positions: int
    epsilon: int
    query_bits: int
    key_bits: int
    source_sha256: str

    @abstractmethod
    def shapes(self) -> Shapes:
        """Shape and type of every tensor, by name."""

    @classmethod
    def read(cls, text: str) -> Self:
        """From the header of a model file. Raises UnsupportedModel."""
        try:
            found = from_json(text)
        except ValueError:
            found = None
        kinds = {"int": int, "bool": bool, "str": str}
        known = {field.name: kinds[getattr(field.type, "__name__", "")] for field in fields(cls)}
        wanted = {field.name for field in fields(cls) if field.default is MISSING}
        if (
            not isinstance(found, dict)
            or not wanted <= set(found)
            or any(name not in known or type(value) is not known[name] for name, value in found.items())
        ):
            refuse(f"its configuration is not made of {sorted(known)}", "config", text[:500])
        return cls(**found)

    def described(self) -> str:
        """The JSON text that `read` takes. A field that has its default is left out."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {field.name: said[field.name] for field in fields(self) if said[field.name] != field.default}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    def __post_init__(self) -> None:
        for name, most in self.limits.items():
            value = getattr(self, name)
            if not 0 < value <= most:
                refuse(f"{name} is {value}, this engine computes 1 to {most}", name, value)
        if (self.query_bits, self.key_bits) != a.query_key_bits(getattr(self, "head_dim")):  # noqa: B009  # a family's
            refuse("bit widths of queries and keys do not fit the heads' width", "config", asdict(self))


@dataclass(frozen=True)
class Matrix:
    """An (O, I) matrix: real weight = weight * multiplier * 2^-exponent.

    Attributes:
        weight: (O, I) int8 in -127..127.
        multiplier: (O,) int32 in 0..2^24 - 1.
        exponent: 24..37.
        bias: (O,) int32 in +-(2^30 - 1), with as many fraction bits as the product; a Llama has none.
    """

    weight: Integers
    multiplier: Integers
    exponent: int
    bias: Integers | None = None


C = TypeVar("C", bound=ModelConfig)


def matrix_shapes(name: str, shape: tuple[int, int], *, bias: bool = False) -> Shapes:
    """The tensors of an (O, I) matrix."""
    shapes: Shapes = {
        name + ".weight": (shape, "int8"),
        name + ".multiplier": (shape[:1], "int32"),
        name + ".exponent": ((1,), "int32"),
    }
    return shapes | {name + ".bias": (shape[:1], "int32")} if bias else shapes


class Tensors:
    """A file's tensors by name, each checked for shape, type and range as it is taken."""

    def __init__(self, config: ModelConfig, tensor: Callable[[str], Integers]) -> None:
        self._shapes, self._ranges, self._tensor = config.shapes(), config.ranges, tensor

    def __call__(self, name: str) -> Integers:
        """One tensor. Raises UnsupportedModel."""
        values, (shape, kind) = self._tensor(name), self._shapes[name]
        if values.shape != shape or values.dtype.name != kind:
            refuse(f"{name} is {values.shape} {values.dtype}, not {shape} {kind}", name, str(values.dtype))
        least, most = self._ranges[name.rpartition(".")[2]]
        found = int(values.min()), int(values.max())
        if found[0] < least or found[1] > most:
            refuse(f"{name} holds {found[0]} to {found[1]}, allowed are {least} to {most}", name, found)
        return values

    def matrix(self, name: str) -> Matrix:
        """A matrix, with its bias where the family has one. Raises UnsupportedModel."""
        exponent = int(self(name + ".exponent")[0])
        bias = self(name + ".bias") if name + ".bias" in self._shapes else None
        return Matrix(self(name + ".weight"), self(name + ".multiplier"), exponent, bias)

    def exp2(self) -> Integers:
        """The table of powers of two, which begins with one: otherwise sums of weights would break their bounds."""
        table = self("table.exp2")
        if table[0] != 2**a.EXP2_FRACTION:
            refuse(f"table.exp2 begins with {table[0]}, not {2**a.EXP2_FRACTION}", "table.exp2", int(table[0]))
        return table


def write_model(path: Path, config: ModelConfig, tensor: Callable[[str], Integers]) -> None:
    """Write a model file, and its configuration as config.json beside it. The same model gives the same bytes.

    Args:
        path: the file to write.
        config: goes into the header.
        tensor: returns the tensor of a name in `config.shapes()`, in that shape and type.
    """
    shapes = config.shapes()
    described = config.described()
    (path.parent / "config.json").write_text(described)
    bound = {"config": described, CONFIG_KEY: sha256(described.encode()).hexdigest(), "format": config.format}
    kinds = {name: kind for name, (_, kind) in shapes.items()}
    write_safetensors(path, {name: shape for name, (shape, _) in shapes.items()}, tensor, bound, kinds)


@contextmanager
def opened(path: Path, family: type[C]) -> Iterator[tuple[C, Callable[[str], Integers]]]:
    """A model file's configuration, and a function from names to its tensors, unchecked. The store checks its digest.

    Raises:
        UnsafeModelFormat: it is not safetensors.
        UnsupportedModel: it is of another family, or a number in it breaks a bound of the specification.
    """
    require_safetensors(path)
    with safe_open(path, framework="np") as file:
        said: Mapping[str, str] = file.metadata() or {}
        found = said.get("format")
        if found != family.format:
            refuse(f"{path.name} is {found!r}, this model is read from {family.format!r}", "format", found)
        config = family.read(said.get("config", ""))
        if set(file.keys()) != set(config.shapes()):
            refuse("tensors are missing or strange", "tensors", sorted(set(file.keys()) ^ set(config.shapes())))
        yield config, _side_by_side(file.get_tensor, path.stat().st_size + _LINE_BYTES * (1 + len(config.shapes())))


def _side_by_side(tensor: Callable[[str], Integers], size: int) -> Callable[[str], Integers]:
    """The same tensors in one piece of memory: large, so that Linux gives it huge pages, in which a CPU finds its way
    faster; each begins at a cache line."""
    room = np.empty(size, np.uint8)
    used = -room.__array_interface__["data"][0] % _LINE_BYTES

    def placed(name: str) -> Integers:
        nonlocal used
        values = tensor(name)
        place = room[used : used + values.nbytes].view(values.dtype).reshape(values.shape)
        place[...] = values
        used += -(-values.nbytes // _LINE_BYTES) * _LINE_BYTES
        return place

    return placed


def refuse(message: str, name: str, value: object) -> NoReturn:
    """Raises UnsupportedModel."""
    raise UnsupportedModel(
        f"Not a model that the exact engine computes: {message}.",
        way_out="Build the file again with this release, from a model within the limits of its specification.",
        **{name: value},
    )
