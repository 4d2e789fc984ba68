"""The position of every value of a text's computation: arrays with a name, home, shape and kind (COURT.md, section 2).

An array is a list of sheets, a sheet a list of rows, a row a list of blocks of 64 values. `axes` number its sheets,
outermost first. The trace root binds arrays at once. Values inside an operation belong to a unit: each array of a unit
has one sheet per place of the unit, and is bound when the unit is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from math import prod

from contracts.court.encoding import ValueKind
from contracts.court.numbers import BLOCK
from contracts.protocol.hashing import keccak

Place = tuple[int, ...]
Shape = tuple[int, int]
"""Rows, and values in a row."""


class Home(StrEnum):
    """The root under which an array is."""

    TRACE = "trace"
    UNIT = "unit"
    MODEL = "model"
    LOGGED = "logged"  # the trace hash that the commitment binds
    PROMPT = "prompt"
    OUTPUT = "output"


@dataclass(frozen=True)
class CourtConfig:
    """The part of a model's configuration that determines the arithmetic.

    Attributes:
        encoder: 1 for SPEC_ENCODER.md, 0 for SPEC.md.
        tied: 1 if the output matrix is the embedding.
        window: how many positions a position sees; 0 if all before it.
        head_epsilon: of the norms of heads; 0 without.
    """

    encoder: int
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    positions: int
    tied: int
    epsilon: int
    query_bits: int
    key_bits: int
    window: int = 0
    head_epsilon: int = 0

    def packed(self) -> bytes:
        """Each field in order, as 32 bytes big-endian; the last two only where one of them is not 0."""
        words = [int(getattr(self, field.name)).to_bytes(32, "big") for field in fields(self)]
        return b"".join(words if self.window or self.head_epsilon else words[:-2])

    def leaf(self) -> bytes:
        """The digest of `packed`: the first leaf under the model root."""
        return keccak(b"\0" + self.packed())


@dataclass(frozen=True)
class Array:
    """A named array.

    Attributes:
        axes: number of sheets along each axis; in a unit the unit's places.
        shape: rows, and values per row, of the sheet at a place.
        unit: the unit's name, for the home UNIT.
        block: values per block.
    """

    name: str
    home: Home
    kind: ValueKind
    axes: tuple[int, ...]
    shape: Callable[[Place], Shape]
    unit: str = ""
    block: int = BLOCK

    def sheet(self, place: Place) -> int:
        """The index of the sheet at a place. Raises IndexError outside the axes."""
        if len(place) != len(self.axes) or any(not 0 <= at < size for at, size in zip(place, self.axes, strict=True)):
            raise IndexError(f"{self.name} has no sheet {place} in {self.axes}")
        index = 0
        for at, size in zip(place, self.axes, strict=True):
            index = index * size + at
        return index

    @property
    def sheets(self) -> int:
        """The number of sheets."""
        return prod(self.axes)

    def blocks(self, place: Place) -> int:
        """The number of blocks in a row of the sheet."""
        return -(-self.shape(place)[1] // self.block)

    def length(self, place: Place, block: int) -> int:
        """The number of values in a block of the sheet's rows: `self.block`, or the rest in the last."""
        return min(self.block, self.shape(place)[1] - block * self.block)


@dataclass(frozen=True)
class Text:
    """One text of a job, with its sizes by the order and the commitment."""

    config: CourtConfig
    prompt: int
    output: int

    @property
    def positions(self) -> int:
        """The number of tokens that the model reads: of a generated answer all but the last."""
        return self.prompt if self.config.encoder else self.prompt + self.output - 1

    @property
    def first_logits(self) -> int:
        """The position with the logits of the first chosen token."""
        return self.prompt - 1


@dataclass(frozen=True)
class Layout:
    """All arrays of a text, in the order of the roots."""

    text: Text
    all: tuple[Array, ...]

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """By name."""
        return {array.name: array for array in self.all}

    def at_home(self, home: Home, unit: str = "") -> list[Array]:
        """The arrays under one root, in order."""
        return self._homes[home, unit]

    def index(self, array: Array) -> int:
        """The array's index among those at its home."""
        return self._indices[array.name]

    @cached_property
    def _homes(self) -> dict[tuple[Home, str], list[Array]]:
        found: dict[tuple[Home, str], list[Array]] = {}
        for array in self.all:
            found.setdefault((array.home, array.unit), []).append(array)
        return found

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {array.name: index for home in self._homes.values() for index, array in enumerate(home)}
