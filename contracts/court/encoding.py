"""One encoding a value: a width, a sign, a byte order and a range, so that no two blocks of bytes mean the same."""

from dataclasses import dataclass
from typing import Literal


class Malformed(ValueError):
    """Bytes under a node's root that encode no values: spare bits convict as wrong values do."""


@dataclass(frozen=True)
class Kind:
    """How values are written: two's complement of `width` bytes, within low..high.

    Big-endian as the chain reads words, but for the numbers of the trace hash, which are int32 little-endian.
    """

    width: int
    low: int
    high: int
    little: bool = False

    def encode(self, values: list[int]) -> bytes:
        """The bytes of values. Raises OverflowError where one needs more than the width."""
        order, signed = self._written
        return b"".join(value.to_bytes(self.width, order, signed=signed) for value in values)

    def decode(self, data: bytes, count: int) -> list[int]:
        """The `count` values that the bytes encode. Raises Malformed for another length, or a value out of range."""
        if len(data) != self.width * count:
            raise Malformed(f"{len(data)} bytes are not {count} values of {self.width}")
        order, signed = self._written
        starts = range(0, len(data), self.width)
        values = [int.from_bytes(data[start : start + self.width], order, signed=signed) for start in starts]
        if values and not self.low <= min(values) <= max(values) <= self.high:
            raise Malformed(f"values from {min(values)} to {max(values)} are not within {self.low}..{self.high}")
        return values

    @property
    def _written(self) -> tuple[Literal["little", "big"], bool]:
        return "little" if self.little else "big", self.low < 0


def signed(width: int, most: int) -> Kind:
    """Values within -most..most."""
    return Kind(width, -most, most)


def unsigned(width: int, most: int) -> Kind:
    """Values within 0..most."""
    return Kind(width, 0, most)


ANY32 = Kind(4, -(2**31), 2**31 - 1)
LOGGED = Kind(4, -(2**31) + 1, 2**31 - 1, little=True)
"""The numbers under the trace hash. SPEC saturates logits to +-(2^31 - 1), so all of them fit."""
COUNT32 = unsigned(4, 2**32 - 1)
EXPONENT = unsigned(1, 61)
WIDE = signed(8, 2**62)
