"""One encoding a value: bytes that say nothing, or say it otherwise, are malformed."""

import pytest

from contracts.court.encoding import ANY32, COUNT32, EXPONENT, LOGGED, Kind, Malformed, signed, unsigned

RESIDUAL = signed(5, 2**35 - 1)


@pytest.mark.parametrize(("kind", "values", "data"), [
    (RESIDUAL, [1, -1], "0000000001ffffffffff"), (RESIDUAL, [2**35 - 1, 1 - 2**35], "07fffffffff800000001"),
    (EXPONENT, [61], "3d"), (COUNT32, [2**32 - 1], "ffffffff"), (ANY32, [-(2**31)], "80000000"),
    (LOGGED, [1, -2], "01000000feffffff"), (unsigned(3, 2**16), [2**16], "010000"),
])  # fmt: skip
def test_values_are_written_as_the_page_says(kind: Kind, values: list[int], data: str) -> None:
    """Two's complement, big-endian; little-endian under the trace hash alone."""
    assert kind.encode(values).hex() == data
    assert kind.decode(bytes.fromhex(data), len(values)) == values


@pytest.mark.parametrize(("kind", "data", "count"), [
    (RESIDUAL, "0800000000", 1), (RESIDUAL, "f800000000", 1), (EXPONENT, "3e", 1), (LOGGED, "00000080", 1),
    (unsigned(3, 2**16), "010001", 1), (COUNT32, "00000001", 2), (COUNT32, "0000000100", 1), (COUNT32, "", 1),
])  # fmt: skip
def test_spare_bits_and_other_lengths_are_malformed(kind: Kind, data: str, count: int) -> None:
    """A value out of its range, a block too long or too short; -2^31 is no logit."""
    with pytest.raises(Malformed):
        kind.decode(bytes.fromhex(data), count)
