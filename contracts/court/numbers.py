"""The arithmetic of the exact engine's SPEC as the court computes it, with numbers of at most 63 bits.

A second implementation of the specification, independent of the engine's, so that each checks the other.
"""

BLOCK = 64
"""Values per leaf of the court's trees, and terms per partial sum."""

ACTIVATION_BITS, VALUE_BITS = 15, 9
NORM_BITS, NORM_FRACTION, VECTOR_FRACTION = 23, 24, 20
RESIDUAL_FRACTION, HEAD_FRACTION, LOGIT_FRACTION, SCORE_FRACTION = 20, 16, 16, 12
NORMED_FRACTION, GATED_FRACTION, MIXED_FRACTION, ROTARY_FRACTION = 40, 40, 20, 14
RESIDUAL_MAX, HEAD_MAX, LOGIT_MAX, STATE_MAX = 2**35 - 1, 2**25 - 1, 2**31 - 1, 2**31 - 1
HIDDEN_SCORE = -(2**61)
WEIGHT_SUM_BITS, SHARE_SHIFT, DISTANCE_MAX = 31, 45, 2**17 - 1
EXP2_INDEX_BITS, TABLE_HALF = 12, 2**14
SIGMOID_STEP_BITS, NORMAL_STEP_BITS = 10, 11
LOG2_E_32, DRAW_BITS, WHOLE_PPM = 6_196_328_019, 128, 1_000_000


class Beyond(ArithmeticError):
    """A number beyond the specification's bounds. No right trace leads to one."""


def fits(value: int) -> int:
    """The value. Raises Beyond if it needs more than 63 bits."""
    if abs(value) > 2**62:
        raise Beyond(f"{value} needs more than 63 bits")
    return value


def halved(value: int, bits: int) -> int:
    """rsh(v, n): value / 2^bits, halves up. Raises Beyond for a shift outside 0..61."""
    if not 0 <= bits <= 61:
        raise Beyond(f"a shift by {bits} bits is outside 0..61")
    return fits(fits(value) + ((1 << bits) >> 1)) >> bits


def lifted(value: int, bits: int) -> int:
    """value * 2^bits. Raises Beyond for a shift outside 0..61, or a result of more than 63 bits."""
    if not 0 <= bits <= 61:
        raise Beyond(f"a shift by {bits} bits is outside 0..61")
    return fits(value << bits)


def over(value: int, divisor: int) -> int:
    """value // divisor. Raises Beyond for a divisor that is not positive."""
    if divisor <= 0:
        raise Beyond(f"a division by {divisor}")
    return value // divisor


def saturated(value: int, most: int) -> int:
    """sat(v, m): the value within -most..most."""
    return min(max(value, -most), most)


def excess(value: int, bits: int) -> int:
    """By how many bits a value exceeds `bits` with its sign: the exponent that `shorten` needs for it."""
    return max(0, abs(value).bit_length() - (bits - 1))


def shortened(value: int, bits: int, exponent: int) -> int:
    """The value within `shorten(v, bits)` at this exponent."""
    return saturated(halved(value, exponent), (1 << (bits - 1)) - 1)


def levels(count: int) -> int:
    """The number of levels of partial sums over `count` terms, 64 at a time, with the total."""
    depth = 1
    while count > BLOCK:
        count, depth = parts(count), depth + 1
    return depth


def parts(count: int) -> int:
    """The number of blocks of 64 for `count` values."""
    return -(-count // BLOCK)


def width_at(count: int, level: int) -> int:
    """The number of partial sums on a level over `count` terms."""
    for _ in range(level + 1):
        count = parts(count)
    return count


def is_root(root: int, square: int) -> bool:
    """Whether `root` is the integer square root of `square`. Only multiplies."""
    return root >= 0 and root * root <= square < (root + 1) * (root + 1)
