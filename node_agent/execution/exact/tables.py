"""The tables of SPEC.md by big-integer arithmetic, without floats or libraries of the host.

Each entry is the integer nearest to a real number. Numbers are carried with 160 fraction bits and errors stay below
2^-120, so the nearest integer is certain unless the number lies that close to a half, which `_nearest` checks.

Sources: Machin's formula for pi; Taylor series of exp, sin, cos and the normal distribution; ln by atanh; RoPE,
arXiv:2104.09864; scaling of its frequencies as in Hugging Face `modeling_rope_utils.py`; YaRN, arXiv:2309.00071.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache, wraps
from math import ceil, floor, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a

BITS = 160
ONE = 1 << BITS
_DOUBT_BITS = 120


def _made_once(make: Callable[[], NDArray[np.int32]]) -> Callable[[], NDArray[np.int32]]:
    """Copies of a table that is made once a process."""
    made = cache(make)

    @wraps(make)
    def copied() -> NDArray[np.int32]:
        return made().copy()

    return copied


@_made_once
def exp2_table() -> NDArray[np.int32]:
    """(4096,) 2^24 * 2^(-i / 4096)."""
    roots = [ONE >> 1]  # 2^(-1/2^k), by square roots of the one before
    for _ in range(a.EXP2_INDEX_BITS):
        roots.append(isqrt(roots[-1] << BITS))
    entries = []
    for index in range(1 << a.EXP2_INDEX_BITS):
        value = ONE
        for k in range(1, a.EXP2_INDEX_BITS + 1):
            if index >> (a.EXP2_INDEX_BITS - k) & 1:
                value = value * roots[k] >> BITS
        entries.append(_nearest(value, a.EXP2_FRACTION))
    return np.array(entries, np.int32)


@_made_once
def sigmoid_table() -> NDArray[np.int32]:
    """(32768,) 2^24 / (1 + exp(-x)) for x = (i - 16384) / 1024."""
    half = 1 << (a.SIGMOID_INDEX_BITS - 1)
    step = exp(-ONE >> a.SIGMOID_STEP_BITS)
    entries, power = [0] * (2 * half), ONE  # power = exp(-x)
    for offset in range(half + 1):
        value = ONE * ONE // (ONE + power)
        if offset < half:
            entries[half + offset] = _nearest(value, a.SIGMOID_FRACTION)
        if offset:
            entries[half - offset] = _nearest(ONE - value, a.SIGMOID_FRACTION)
        power = power * step >> BITS
    return np.array(entries, np.int32)


@_made_once
def normal_table() -> NDArray[np.int32]:
    """(32768,) 2^24 * Phi(x) for x = (i - 16384) / 2048, Phi the standard normal distribution's function.

    Taylor series lead from entry to entry, from 0 on. With the step h and t_n = phi^(n)(x) h^n / n!, the density
    at x + h is the sum of all t_n, Phi grows by the sum of h t_n / (n + 1), and phi' = -x phi gives
    t_(n+1) = -(x h t_n + h^2 t_(n-1)) / (n + 1).
    """
    half, step = 1 << (a.NORMAL_INDEX_BITS - 1), a.NORMAL_STEP_BITS
    entries, value = [0] * (2 * half), ONE >> 1
    density = ONE * ONE // isqrt(2 * pi() << BITS)
    for offset in range(half + 1):  # x = offset * 2^-step
        if offset < half:
            entries[half + offset] = _nearest(value, a.NORMAL_FRACTION)
        entries[half - offset] = _nearest(ONE - value, a.NORMAL_FRACTION)
        before, term, n, density = 0, density, 0, 0
        while term or before:
            density += term
            value += _divide(term, (n + 1) << step)
            before, term, n = term, _divide(-(offset * term + before), (n + 1) << 2 * step), n + 1
    return np.array(entries, np.int32)


def rotary_tables(
    head_dim: int, positions: int, theta: Fraction, scaling: Mapping[str, Any] | None
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """cos and sin, (positions, head_dim / 2) each: 2^14 * cos(p f_i), with f_i = theta^(-2i / head_dim) after scaling.

    Raises:
        UnsupportedModel: scaling whose numbers make no sense.
    """
    shape = (positions, head_dim // 2)
    cosines, sines = np.empty(shape, np.int16), np.empty(shape, np.int16)
    for index in range(head_dim // 2):
        step_cos, step_sin = cos_sin(_frequency(index, head_dim, theta, scaling))
        c, s = ONE, 0  # turned by one step a position: the error grows by about 2^-158 each
        for position in range(positions):
            cosines[position, index] = _nearest(c, a.ROTARY_FRACTION)
            sines[position, index] = _nearest(s, a.ROTARY_FRACTION)
            c, s = (c * step_cos - s * step_sin) >> BITS, (s * step_cos + c * step_sin) >> BITS
    return cosines, sines


def query_scale(head_dim: int) -> Fraction:
    """log2(e) / sqrt(head_dim), which turns scores into exponents of two; part of the queries' multipliers."""
    return Fraction(ONE, ln(Fraction(2))) * Fraction(ONE, isqrt(head_dim << 2 * BITS))


def exp(x: int) -> int:
    """exp of a number with BITS fraction bits, |x| < 64: halvings, Taylor series, squarings."""
    halvings = 16
    total, term, n = ONE, ONE, 0
    while term:
        n += 1
        term = _divide(term * x >> halvings, ONE * n)
        total += term
    for _ in range(halvings):
        total = total * total >> BITS
    return total


@cache
def ln(x: Fraction) -> int:
    """ln of a positive rational: 2 atanh((x - 1) / (x + 1)) after taking out powers of two."""
    powers = 0
    while x > Fraction(4, 3):
        x, powers = x / 2, powers + 1
    while x < Fraction(2, 3):
        x, powers = x * 2, powers - 1
    ratio = (x - 1) / (x + 1)
    total = 2 * _atanh(ratio)
    return total + (powers * 2 * _atanh(Fraction(1, 3)) if powers else 0)


@cache
def pi() -> int:
    """Machin: pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    return 16 * _arctan_inverse(5) - 4 * _arctan_inverse(239)


def cos_sin(angle: int) -> tuple[int, int]:
    """cos and sin of an angle with BITS fraction bits, by Taylor series after reduction to +-pi."""
    turn = 2 * pi()
    angle = (angle + turn // 2) % turn - turn // 2
    sums, term, n = [ONE, 0, 0, 0], ONE, 0
    while term:
        n += 1
        term = _divide(term * angle, ONE * n)
        sums[n % 4] += term
    return sums[0] - sums[2], sums[1] - sums[3]


def rotary_factor(scaling: Mapping[str, Any] | None) -> Fraction:
    """What scaling multiplies turned queries and keys by: its attention factor, which YaRN makes 0.1 ln(factor) + 1 if
    it is not given. Raises UnsupportedModel as `rational`."""
    given = (scaling or {}).get("attention_factor")
    if scaling is None or given is not None or scaling["rope_type"] != "yarn":
        return Fraction(1) if given is None else rational(given)
    return 1 + Fraction(max(0, ln(rational(scaling["factor"]))), 10 * ONE)


def _frequency(index: int, head_dim: int, theta: Fraction, scaling: Mapping[str, Any] | None) -> int:
    """f_i with BITS fraction bits. `scaling`: of a kind in `llama/families.py`, with what that kind must say."""
    frequency = exp(-ln(theta) * 2 * index // head_dim)
    if scaling is None:
        return frequency
    if scaling["rope_type"] == "longrope":
        return _divided(frequency, _long_factor(index, head_dim, scaling))
    slow = _divided(frequency, rational(scaling["factor"]))
    if scaling["rope_type"] == "linear":
        return slow
    if scaling["rope_type"] == "yarn":
        ramp = _yarn_ramp(index, head_dim, theta, scaling)
        return int(ramp * slow + (1 - ramp) * frequency)
    low, high = rational(scaling["low_freq_factor"]), rational(scaling["high_freq_factor"])
    if low >= high:
        raise _senseless(scaling)
    # turns within the original context: frequency * context / 2 pi
    turns = Fraction(frequency * rational(scaling["original_max_position_embeddings"]), 2 * pi())
    smooth = min(max((turns - low) / (high - low), Fraction(0)), Fraction(1))
    return int((1 - smooth) * slow + smooth * frequency)


def _long_factor(index: int, head_dim: int, scaling: Mapping[str, Any]) -> Fraction:
    """The factor of one frequency; short and long texts must have the same. Raises UnsupportedModel."""
    factors = scaling["short_factor"]
    if factors != scaling["long_factor"] or not isinstance(factors, list) or len(factors) != head_dim // 2:
        raise _senseless(scaling)
    return rational(factors[index])


def _yarn_ramp(index: int, head_dim: int, theta: Fraction, scaling: Mapping[str, Any]) -> Fraction:
    """From 0, where a frequency turns fast and stays, to 1, where it is slow and scaled."""

    def dimension(turns: object) -> Fraction:
        length = Fraction(rational(scaling["original_max_position_embeddings"]) * ONE, rational(turns) * 2 * pi())
        return Fraction(head_dim * ln(length), 2 * ln(theta))

    if theta <= 1:
        raise _senseless(scaling)
    low = max(floor(dimension(scaling.get("beta_fast", 32))), 0)
    high = min(ceil(dimension(scaling.get("beta_slow", 1))), head_dim - 1)
    width = high - low or Fraction(1, 1000)
    return min(max(Fraction(index - low) / width, Fraction(0)), Fraction(1))


def _divided(frequency: int, factor: Fraction) -> int:
    return frequency * factor.denominator // factor.numerator


def _senseless(scaling: Mapping[str, Any]) -> UnsupportedModel:
    return UnsupportedModel(
        f"This engine does not compute the rotary scaling {dict(scaling)}.",
        way_out="Use a model with another one.",
        rope_scaling=dict(scaling),
    )


def rational(value: object) -> Fraction:
    """A number of a JSON file as the decimal that stands there: 1e-05 is 1/100000, not the nearest double.

    Raises UnsupportedModel unless it lies from 10^-18 to 10^18: series converge, and take no longer than they must.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-18 <= value <= 1e18:
        raise UnsupportedModel(
            f"config.json has {value!r} where a positive number is expected.",
            way_out="Use the model's own configuration.",
            value=value,
        )
    return Fraction(str(value))


def _nearest(value: int, fraction: int) -> int:
    """The integer nearest to value * 2^fraction; exact halves and what lies too close to one are refused."""
    drop = BITS - fraction
    rest = (value + (1 << (drop - 1))) & ((1 << drop) - 1)
    doubt = 1 << (BITS - _DOUBT_BITS)
    if not doubt <= rest < (1 << drop) - doubt:
        raise ArithmeticError(f"{value} / 2^{BITS} is too close to a half to round to {fraction} bits")
    return (value + (1 << (drop - 1))) >> drop


def _atanh(x: Fraction) -> int:
    total, power, n = 0, x.numerator * ONE // x.denominator, 1
    square = x * x
    while power:
        total += _divide(power, n)
        power = _divide(power * square.numerator, square.denominator)
        n += 2
    return total


def _arctan_inverse(x: int) -> int:
    total, power, n, sign = 0, ONE // x, 1, 1
    while power:
        total += sign * (power // n)
        power //= x * x
        n, sign = n + 2, -sign
    return total


def _divide(value: int, by: int) -> int:
    """Towards zero, so that series of negative terms end."""
    return value // by if value >= 0 else -(-value // by)
