"""Dividing a vector by the root of the sum of its squares: exponent, partial sums, integer root, elements."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.court import numbers as n
from contracts.court.layout import Place
from contracts.model.court.operations.base import Operation, Spot, largest, sums
from contracts.model.court.reading import Reader

Element = Callable[[Reader, Place, int], int]
"""A vector's element by the unit's place and its index."""


@dataclass(frozen=True)
class Normaliser:
    """The steps 1 to 3 of `norm` in one unit.

    Attributes:
        unit: which shows exponent, sums and root.
        width: elements of the vector.
        epsilon: what is added to the sum, before it is shortened.
        value: the vector's elements.
    """

    unit: str
    width: int
    epsilon: int
    value: Element

    def operations(self) -> list[Operation]:
        """Exponent with its witness, partial sums of squares, and the root."""
        exponent = largest(
            f"{self.unit}.exponent",
            lambda r, at: max(0, abs(self.value(r, at.place, at.other)).bit_length() - n.NORM_BITS),
            lambda layout, at: self.width,
        )
        root = f"{self.unit}.root"
        squares = sums(f"{self.unit}.squares", self.width, self._squares)
        return [*exponent, *squares, Operation(root, root, self._is_root)]

    def unit_element(self, r: Reader, place: Place, index: int, fraction: int) -> int:
        """The vector's element over its root, with `fraction` fraction bits."""
        exponent, root = r.one(f"{self.unit}.exponent", place), r.one(f"{self.unit}.root", place)
        _, lift = self._sum(r, place)
        short = n.halved(self.value(r, place, index), exponent)
        return n.halved(n.fits(short * n.over(2**61, root)), 61 - fraction - lift)

    def _squares(self, r: Reader, at: Spot) -> list[int]:
        exponent = r.one(f"{self.unit}.exponent", at.place)
        first = n.BLOCK * at.column
        indices = range(first, min(first + n.BLOCK, self.width))
        return [n.halved(self.value(r, at.place, index), exponent) ** 2 for index in indices]

    def _sum(self, r: Reader, place: Place) -> tuple[int, int]:
        """The sum of squares and epsilon, at least 1, and by how many pairs of bits it is lifted."""
        exponent = r.one(f"{self.unit}.exponent", place)
        total = n.fits(r.total(f"{self.unit}.squares", place, 0, self.width) + (self.epsilon >> 2 * exponent))
        square = max(1, total)
        return square, (62 - square.bit_length()) >> 1

    def _is_root(self, r: Reader, at: Spot) -> bool:
        square, lift = self._sum(r, at.place)
        return n.is_root(r.one(f"{self.unit}.root", at.place), square << 2 * lift)
