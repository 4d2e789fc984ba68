"""The operations of the specifications in plain Python integers: slow, to be read beside SPEC.md.

Python's integers do not overflow, so this file also checks the bounds: `fits` fails where the specification would leave
63 bits. A vector is a list of integers. Each operation reports what it computed to a listener (`Hear`), under the names
of `contracts.court.arrays`.
"""

from collections.abc import Callable
from math import isqrt

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Integers, Matrix

Vector = list[int]
Shortened = tuple[Vector, int]
"""A vector's integers, and the exponent of the power of two that they were divided by."""

Hear = Callable[[str, tuple[int, ...], Vector], None]
"""Receives an array's name, the place of a sheet in it, and values."""
Tell = Callable[[str, Vector], None]
"""Reports the values of one part of an operation."""


def unheard(name: str, place: tuple[int, ...], values: Vector) -> None:
    """Ignores what it receives."""


def untold(part: str, values: Vector) -> None:
    """Reports nothing."""


def telling(hear: Hear, unit: str, *place: int) -> Tell:
    """Reports parts of one unit at one place to a listener."""
    return lambda part, values: hear(f"{unit}.{part}", place, values)


def round_shift(value: int, bits: int) -> int:
    """value / 2^bits, halves up. `bits` within 0..61."""
    if not 0 <= bits <= 61:
        raise ArithmeticError(f"a shift by {bits} bits is outside 0..61")
    return fits(fits(value) + ((1 << bits) >> 1)) >> bits


def shorten(values: Vector, bits: int) -> tuple[Vector, int]:
    """The values as integers of `bits` bits with sign, divided by the least power of two; and its exponent."""
    most = (1 << (bits - 1)) - 1
    exponent = max(0, max(abs(value) for value in values).bit_length() - (bits - 1))
    return [min(max(round_shift(value, exponent), -most), most) for value in values], exponent


def tell_shortened(tell: Tell, part: str, bits: int, heads: list[Vector]) -> list[Shortened]:
    """Each head shortened, and reported."""
    short = [shorten(head, bits) for head in heads]
    tell(part, joined_up([values for values, _ in short]))
    tell(f"{part}_exponent", [exponent for _, exponent in short])
    return short


def linear(matrix: Matrix, values: Vector, fraction: int, out_fraction: int, tell: Tell = untold) -> Vector:
    """The matrix times values with `fraction` fraction bits, as values with `out_fraction`, plus its bias."""
    short, exponent = shorten(values, a.ACTIVATION_MAX.bit_length() + 1)
    tell("short", short)
    tell("short_exponent", [exponent])
    shift = matrix.exponent + fraction - out_fraction - exponent
    out = []
    for row, multiplier in zip(matrix.weight.tolist(), matrix.multiplier.tolist(), strict=True):
        total = sum(weight * value for weight, value in zip(row, short, strict=True))
        out.append(round_shift(total * multiplier, shift))
    return (
        out if matrix.bias is None else [fits(one + bias) for one, bias in zip(out, matrix.bias.tolist(), strict=True)]
    )


def norm(x: Vector, epsilon: int, gain: Vector, tell: Tell = untold) -> Vector:
    """RMSNorm, with 40 fraction bits."""
    normed = _scaled(x, epsilon, gain, tell)
    tell("normed", normed)
    return normed


def head_norm(head: Vector, epsilon: int, gain: Vector, tell: Tell = untold) -> Vector:
    """RMSNorm of one head, with 16 fraction bits, saturated."""
    scaled = _scaled(head, epsilon, gain, tell)
    normed = saturate([round_shift(value, a.NORMED_FRACTION - a.HEAD_FRACTION) for value in scaled], a.HEAD_MAX)
    tell("normed", normed)
    return normed


def _scaled(x: Vector, epsilon: int, gain: Vector, tell: Tell) -> Vector:
    return [fits(value * g) for value, g in zip(unit(x, epsilon, a.NORM_FRACTION, tell), gain, strict=True)]


def unit(x: Vector, epsilon: int, fraction: int, tell: Tell = untold) -> Vector:
    """x over the root of the sum of its squares and epsilon, with `fraction` fraction bits."""
    exponent = max(0, max(abs(value) for value in x).bit_length() - a.NORM_BITS)
    short = [round_shift(value, exponent) for value in x]
    square_sum = max(1, fits(sum(value * value for value in short) + (epsilon >> 2 * exponent)))
    lift = (62 - square_sum.bit_length()) >> 1
    root = isqrt(square_sum << 2 * lift)
    tell("exponent", [exponent])
    tell("root", [root])
    reciprocal = 2**61 // root
    return [round_shift(value * reciprocal, 61 - fraction - lift) for value in short]


def mix(
    query: Shortened,
    keys: list[Shortened],
    values: list[Shortened],
    exp2: Integers,
    tell: Tell = untold,
    first: int = 0,
) -> Vector:
    """Attention of one query over one head's values from position `first` on, with 20 fraction bits."""
    scores = [a.HIDDEN_SCORE] * first
    for key, exponent in keys[first:]:
        product = _fits_product(sum(q * k for q, k in zip(query[0], key, strict=True)))
        scores.append(round_shift(product << (query[1] + exponent), 2 * a.HEAD_FRACTION - a.SCORE_FRACTION))
    largest = max(scores)
    exps = [exp2_of(largest - score, exp2) for score in scores]
    weights = [e << exponent for e, (_, exponent) in zip(exps, values, strict=True)]
    exp_sum, weight_sum = fits(sum(exps)), fits(sum(weights))
    drop = max(0, weight_sum.bit_length() - a.WEIGHT_SUM_BITS)
    short_sum = weight_sum >> drop
    reciprocal = 2**61 // short_sum
    shares = [fits((w >> drop) * reciprocal) >> (61 - a.PROBABILITY_BITS) for w in weights]
    ratio = fits(short_sum * (2**54 // exp_sum)) >> 8
    scale = ratio // max(1, sum(shares))
    tell("score", scores)
    tell("largest", [largest])
    tell("exp", exps)
    tell("share", shares)
    shift = 46 - drop + a.HEAD_FRACTION - a.MIXED_FRACTION
    columns = zip(*(value for value, _ in values), strict=True)
    sums = [_fits_product(sum(p * v for p, v in zip(shares, column, strict=True))) for column in columns]
    return [round_shift(total * scale, shift) for total in sums]


def exp2_of(distance: int, table: Integers) -> int:
    """2^-distance with 24 fraction bits; the distance has 12."""
    distance = min(distance, a.SCORE_DISTANCE_MAX)
    return int(table[distance & ((1 << a.SCORE_FRACTION) - 1)]) >> (distance >> a.SCORE_FRACTION)


def looked_up(x: int, table: Integers, step_bits: int) -> int:
    """The table's entry nearest to x, which has 16 fraction bits; entries lie 2^-step_bits apart, 0 in the middle."""
    half = len(table) // 2
    return int(table[min(max(round_shift(x, a.HEAD_FRACTION - step_bits), -half), half - 1) + half])


def joined_up(heads: list[Vector]) -> Vector:
    """Heads side by side."""
    return [value for head in heads for value in head]


def add(x: Vector, update: Vector) -> Vector:
    """The residual stream after an update, saturated."""
    return saturate([fits(one + other) for one, other in zip(x, update, strict=True)], a.RESIDUAL_MAX)


def saturate(values: Vector, most: int) -> Vector:
    """Each value within -most..most."""
    return [min(max(value, -most), most) for value in values]


def fits(value: int) -> int:
    """Returns the value. Raises ArithmeticError where it needs more than 63 bits."""
    if abs(value) > 2**62:
        raise ArithmeticError(f"{value} needs more than the 63 bits that SPEC.md allows")
    return value


def _fits_product(value: int) -> int:
    if abs(value) > 2**a.PRODUCT_BITS:
        raise ArithmeticError(f"{value} needs more than the {a.PRODUCT_BITS} bits that attention's products allow")
    return value
