"""What an operation is to the court, and the shapes that recur: an element, a sum of partial sums, a largest value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from contracts.court import numbers as n
from contracts.court.layout import Layout, Place
from contracts.model.court.reading import Reader


@dataclass(frozen=True)
class Spot:
    """Which element of an operation's array a step is about.

    Attributes:
        other: the index that a larger value is claimed at, or that a rule over all of a list is looked up at.
    """

    place: Place
    row: int = 0
    column: int = 0
    other: int = 0


Rule = Callable[[Reader, Spot], int]
Holds = Callable[[Reader, Spot], bool]
Count = Callable[[Layout, Spot], int]


@dataclass(frozen=True)
class Operation:
    """One kind of step.

    Attributes:
        name: of the step; it begins with the name of the array whose elements it is about.
        array: that array.
        holds: reads what it needs, and says whether the element is right. Raises Beyond where the trace leads to
            numbers that the specification rules out.
        others: how many values `Spot.other` has, for a rule that must hold beside each of a list.
    """

    name: str
    array: str
    holds: Holds
    others: Count = lambda layout, spot: 1

    def has(self, layout: Layout, spot: Spot) -> bool:
        """Whether a text has this step."""
        array = layout.arrays[self.array]
        if len(spot.place) != len(array.axes) or not all(map(_within, spot.place, array.axes)):
            return False
        rows, width = array.shape(spot.place)
        inside = _within(spot.row, rows) and _within(spot.column, width)
        return inside and _within(spot.other, self.others(layout, spot))

    def spots(self, layout: Layout) -> Iterator[Spot]:
        """Every step of this kind that a text has."""
        array = layout.arrays[self.array]
        for place in product(*map(range, array.axes)):
            rows, width = array.shape(place)
            for row, column in product(range(rows), range(width)):
                for other in range(self.others(layout, Spot(place, row, column))):
                    yield Spot(place, row, column, other)


def _within(index: int, size: int) -> bool:
    return 0 <= index < size


def element(name: str, rule: Rule) -> Operation:
    """An array whose every element is a function of others."""

    def holds(r: Reader, at: Spot) -> bool:
        return r.at(name, at.place, at.row, at.column) == rule(r, at)

    return Operation(name, name, holds)


def sums(name: str, most: int, terms: Callable[[Reader, Spot], list[int]]) -> list[Operation]:
    """Partial sums of 64 terms, of 64 of those, and so on, up to the total. `terms` gives the block `at.column`."""

    def below(level: int) -> Rule:
        return lambda r, at: sum(r.block(f"{name}.{level - 1}", at.place, at.row, at.column))

    first = element(f"{name}.0", lambda r, at: n.fits(sum(terms(r, at))))
    return [first, *(element(f"{name}.{level}", below(level)) for level in range(1, n.levels(most)))]


def largest(name: str, candidate: Rule, count: Count, witness: Rule | None = None) -> list[Operation]:
    """A claimed largest value with its witness: the first index that has it.

    Two kinds of step: the value at the witness is the one claimed; and no other is larger, nor an earlier one equal.
    `candidate` is the value at `at.other`; `witness` is where the index is kept, beside the value if not given.
    """

    def claimed(r: Reader, at: Spot) -> int:
        return r.at(name, at.place, at.row, at.column)

    def index(r: Reader, at: Spot) -> int:
        return witness(r, at) if witness else r.at(f"{name}_at", at.place, at.row, at.column)

    def shown(r: Reader, at: Spot) -> bool:
        first = index(r, at)
        return first < count(r.layout, at) and claimed(r, at) == candidate(r, replace(at, other=first))

    def bound(r: Reader, at: Spot) -> bool:
        here = candidate(r, at)
        return here < claimed(r, at) if at.other < index(r, at) else here <= claimed(r, at)

    return [Operation(name, name, shown), Operation(f"{name}:first", name, bound, count)]
