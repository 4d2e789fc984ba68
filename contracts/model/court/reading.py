"""What a step may read: openings under the roots that a case knows, each proven before its values are believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.court.encoding import Malformed
from contracts.court.layout import Array, Home, Layout, Place
from contracts.court.numbers import BLOCK, Beyond, levels
from contracts.model.court.trees import Key, Texts, TreeOpening, root_of

WHOLE_ROW = 256
"""The widest row that is opened whole: a head."""


class Unproven(ValueError):
    """What was handed in proves nothing: an opening is missing, or leads to another root. It convicts nobody."""


@dataclass(frozen=True)
class ReadTerms:
    """What the order says of how tokens are chosen, and the workload of how answers end.

    Attributes:
        seed: of the order's draws, 32 bytes.
        limit: most new tokens.
        stops: tokens that end an answer.
    """

    temperature_milli: int = 0
    top_p_ppm: int = 1_000_000
    seed: bytes = bytes(32)
    limit: int = 1
    stops: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Claims:
    """What a case knows of one text of one commitment.

    Attributes:
        layout: its arrays.
        texts: which text of how many.
        terms: the order's.
        roots: of each home but units'; the node signed that of the trace, its commitment binds what is logged.
        shown: the root of a unit at a place, as the node's side showed it; None before it did.
    """

    layout: Layout
    texts: Texts
    terms: ReadTerms
    roots: Mapping[Home, bytes]
    shown: Callable[[str, Place], bytes | None]

    def root(self, array: Array, place: Place) -> bytes | None:
        """The root that an array's openings must lead to."""
        return self.shown(array.unit, place) if array.home is Home.UNIT else self.roots[array.home]


class TraceReader(Protocol):
    """Where openings come from: a proof that was handed in, or whoever holds the whole trace."""

    def opening(self, key: Key) -> TreeOpening:
        """The opening. Raises Unproven if there is none."""


class Handed:
    """The openings of a proof. `used` are those that a step read."""

    def __init__(self, openings: Mapping[Key, TreeOpening]) -> None:
        self._openings, self.used = openings, set[Key]()

    def opening(self, key: Key) -> TreeOpening:
        """See `TraceReader`."""
        if key not in self._openings:
            raise Unproven(f"{key} was not opened")
        self.used.add(key)
        return self._openings[key]


class Reader:
    """Values of one text for one step; each opening is proven when it is first read."""

    def __init__(self, claims: Claims, source: TraceReader) -> None:
        self.claims, self.layout, self.text = claims, claims.layout, claims.layout.text
        self.config, self.terms = self.text.config, claims.terms
        self._source = source
        self._known: dict[Key, list[int]] = {}

    def at(self, name: str, place: Place, row: int, column: int) -> int:
        """One value, by its block."""
        size = self.layout.arrays[name].block
        if not 0 <= column < self.width(name, place):
            raise Beyond(f"{name} at {place} has no value {column}")
        return self._values(Key(name, place, row, column // size))[column % size]

    def one(self, name: str, place: Place) -> int:
        """The only value of a sheet."""
        return self.at(name, place, 0, 0)

    def block(self, name: str, place: Place, row: int, block: int) -> list[int]:
        """Up to 64 values of a row, those from 64 * block on."""
        return self._values(Key(name, place, row, block))

    def row(self, name: str, place: Place, row: int) -> list[int]:
        """A whole row of at most 256 values."""
        if self.width(name, place) <= BLOCK:
            return self._values(Key(name, place, row, 0))
        return self._values(Key(name, place, row, None))

    def total(self, name: str, place: Place, row: int, most: int) -> int:
        """The last of the levels of partial sums that `most` terms have."""
        return self.at(f"{name}.{levels(most) - 1}", place, row, 0)

    def width(self, name: str, place: Place) -> int:
        """How many values a row of the sheet has. Raises Beyond for a place that it has not."""
        array = self.layout.arrays[name]
        try:
            array.sheet(place)
        except IndexError as error:
            raise Beyond(str(error)) from error
        return array.shape(place)[1]

    def _values(self, key: Key) -> list[int]:
        if key not in self._known:
            self._known[key] = self._proven(key)
        return self._known[key]

    def _proven(self, key: Key) -> list[int]:
        array = self.layout.arrays[key.array]
        count = self._count(array, key)
        opening = self._source.opening(key)
        root = self.claims.root(array, key.place)
        if root is None or root_of(self.layout, array, key, opening, self.claims.texts) != root:
            raise Unproven(f"the opening of {key} does not lead to its root")
        try:
            return array.kind.decode(opening.data, count)
        except Malformed as error:
            if array.home in (Home.MODEL, Home.PROMPT):
                raise Unproven(f"{key} is malformed, and the node did not write it: {error}") from error
            raise

    def _count(self, array: Array, key: Key) -> int:
        width, (rows, _) = self.width(array.name, key.place), array.shape(key.place)
        if not 0 <= key.row < rows or not 0 <= (key.block or 0) < array.blocks(key.place):
            raise Beyond(f"{key} lies outside {rows} rows of {width} values")
        if key.block is None and width > WHOLE_ROW:
            raise ValueError(f"a row of {width} values is not opened whole")
        return width if key.block is None else array.length(key.place, key.block)
