"""One encoding per value: width, sign, byte order and range, so that no two byte strings encode the same values."""

from dataclasses import dataclass
from typing import Literal


class Malformed(ValueError):
    """Bytes under a node's root that encode no values. They convict as wrong values do."""


@dataclass(frozen=True)
class ValueKind:
    """Two's complement of `width` bytes, within low..high.

    Big-endian, as the chain reads words. Only the numbers under the trace hash are int32 little-endian.
    """

    width: int
    low: int
    high: int
    little: bool = False

    def encode(self, values: list[int]) -> bytes:
        """The bytes of values. Raises OverflowError for a value beyond the width."""
        order, signed = self._written
        return b"".join(value.to_bytes(self.width, order, signed=signed) for value in values)

    def decode(self, data: bytes, count: int) -> list[int]:
        """The `count` values in the bytes. Raises Malformed for another length or a value out of range."""
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


def signed(width: int, most: int) -> ValueKind:
    """Values within -most..most."""
    return ValueKind(width, -most, most)


def unsigned(width: int, most: int) -> ValueKind:
    """Values within 0..most."""
    return ValueKind(width, 0, most)


ANY32 = ValueKind(4, -(2**31), 2**31 - 1)
LOGGED = ValueKind(4, -(2**31) + 1, 2**31 - 1, little=True)
"""The numbers under the trace hash. SPEC saturates logits to +-(2^31 - 1), so all of them fit."""
COUNT32 = unsigned(4, 2**32 - 1)
EXPONENT = unsigned(1, 61)
WIDE = signed(8, 2**62)
