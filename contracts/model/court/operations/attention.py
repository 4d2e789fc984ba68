"""Attention, the same for both families: what is cached, scores, shares, and what they mix."""

from collections.abc import Callable

from contracts.court import numbers as n
from contracts.court.layout import Layout, Place
from contracts.model.court.operations.base import Operation, Spot, element, largest, sums
from contracts.model.court.operations.linear import linear, shortened
from contracts.model.court.operations.normalise import Normaliser
from contracts.model.court.reading import Reader


def raw(r: Reader, at: Spot) -> int:
    """Queries, keys and values of a position, head by head."""
    output = at.row * r.config.head_dim + at.column
    return n.saturated(linear(r, "qkv", at.place, output), n.HEAD_MAX)


def turned(r: Reader, at: Spot) -> int:
    """Queries and keys, turned by their position."""
    half, (_, position) = r.config.head_dim // 2, at.place
    normed = r.config.head_epsilon
    head = r.row("head_norm.normed", (*at.place, at.row), 0) if normed else r.row("heads.raw", at.place, at.row)
    pair = at.column % half
    cos, sin = (r.at(name, (0,), position, pair) for name in ("cos", "sin"))
    first, second = head[pair], head[pair + half]
    return n.halved(first * cos - second * sin if at.column < half else second * cos + first * sin, n.ROTARY_FRACTION)


def exp2(r: Reader, distance: int) -> int:
    """2^-distance by the table, from 12 fraction bits to 24. Raises Beyond for a negative distance."""
    if distance < 0:
        raise n.Beyond(f"a distance of {distance} from the largest")
    distance = min(distance, n.DISTANCE_MAX)
    return r.at("exp2", (0,), 0, distance & ((1 << n.EXP2_INDEX_BITS) - 1)) >> (distance >> n.EXP2_INDEX_BITS)


def operations(layout: Layout) -> list[Operation]:
    """Everything from the product with `qkv` to the mixtures of all heads, shortened."""
    c = layout.text.config
    rotary = [] if c.encoder else [element("heads.turned", turned)]
    width = c.heads * c.head_dim
    return [
        element("heads.raw", raw),
        *(_head_norms(layout) if c.head_epsilon else ()),
        *rotary,
        *_cached(layout),
        *_weighed(layout),
        *_mixed(layout),
        *shortened("joined", lambda r, at: _mixture(r, at.place, at.other), width),
    ]


def _head_norms(layout: Layout) -> list[Operation]:
    """The norms of queries and keys, each head's by itself."""
    c = layout.text.config

    def value(r: Reader, place: Place, index: int) -> int:
        return r.at("heads.raw", place[:2], place[2], index)

    norm = Normaliser("head_norm", c.head_dim, c.head_epsilon, value)

    def normed(r: Reader, at: Spot) -> int:
        gain = r.at("query_norm.gain" if at.place[2] < c.heads else "key_norm.gain", at.place[:1], 0, at.column)
        scaled = n.fits(norm.unit_element(r, at.place, at.column, n.NORM_FRACTION) * gain)
        return n.saturated(n.halved(scaled, n.NORMED_FRACTION - n.HEAD_FRACTION), n.HEAD_MAX)

    return [*norm.operations(), element("head_norm.normed", normed)]


def _turned(r: Reader, place: Place, head: int, index: int) -> int:
    return r.at("heads.raw" if r.config.encoder else "heads.turned", place, head, index)


def _value(r: Reader, place: Place, head: int, index: int) -> int:
    return r.at("heads.raw", place, r.config.heads + r.config.kv_heads + head, index)


def _cached(layout: Layout) -> list[Operation]:
    """Shortened queries, keys and values with their exponents; keys and values are bound by head, then position."""
    c = layout.text.config

    def query(r: Reader, at: Spot) -> int:
        exponent = r.at("heads.query_exponent", at.place, 0, at.row)
        return n.shortened(_turned(r, at.place, at.row, at.column), c.query_bits, exponent)

    def key(r: Reader, place: Place, head: int, index: int) -> int:
        return _turned(r, place, c.heads + head, index)

    return [
        *largest(
            "heads.query_exponent",
            lambda r, at: n.excess(_turned(r, at.place, at.column, at.other), c.query_bits),
            lambda layout, at: c.head_dim,
        ),
        element("heads.query", query),
        *_bound("key", c.key_bits, c.head_dim, key),
        *_bound("value", n.VALUE_BITS, c.head_dim, _value),
    ]


def _bound(name: str, bits: int, width: int, raw: Callable[[Reader, Place, int, int], int]) -> list[Operation]:
    """Keys, which lie by position, or values, by dimension; their witnesses are shown with the position's heads.

    `raw` gives what is shortened, by (layer, position), head and index.
    """

    def short(r: Reader, at: Spot) -> int:
        layer, head = at.place
        index, position = (at.row, at.column) if name == "value" else (at.column, at.row)
        exponent = r.at(f"{name}_exponent", at.place, 0, position)
        return n.shortened(raw(r, (layer, position), head, index), bits, exponent)

    exponents = largest(
        f"{name}_exponent",
        lambda r, at: n.excess(raw(r, (at.place[0], at.column), at.place[1], at.other), bits),
        lambda layout, at: width,
        lambda r, at: r.at(f"heads.{name}_exponent_at", (at.place[0], at.column), 0, at.place[1]),
    )
    return [*exponents, element(name, short)]


def _past(r: Reader, place: Place) -> Place:
    """The sheet of keys and values that a query head reads."""
    return place[0], place[2] // (r.config.heads // r.config.kv_heads)


def _score(r: Reader, at: Spot) -> int:
    layer, position, head = at.place
    if r.config.window and at.column <= position - r.config.window:
        return n.HIDDEN_SCORE
    past = _past(r, at.place)
    query = r.row("heads.query", (layer, position), head)
    key = r.row("key", past, at.column)
    product = sum(one * other for one, other in zip(query, key, strict=True))
    exponent = r.at("heads.query_exponent", (layer, position), 0, head) + r.at("key_exponent", past, 0, at.column)
    return n.halved(n.lifted(product, exponent), 2 * n.HEAD_FRACTION - n.SCORE_FRACTION)


def _weighed(layout: Layout) -> list[Operation]:
    """Scores, the largest, powers of two, their two sums, and shares."""
    positions = layout.text.positions

    def seen(layout: Layout, at: Spot) -> int:
        return layout.arrays["mix.score"].shape(at.place)[1]

    def score(r: Reader, at: Spot) -> int:
        return r.at("mix.score", at.place, 0, at.other)

    def power(r: Reader, at: Spot) -> int:
        return exp2(r, r.one("mix.largest", at.place) - r.at("mix.score", at.place, 0, at.column))

    def weights(r: Reader, at: Spot) -> list[int]:
        exponents = r.block("value_exponent", _past(r, at.place), 0, at.column)  # of positions not yet seen, too
        powers = r.block("mix.exp", at.place, 0, at.column)
        return [n.lifted(power, exponent) for power, exponent in zip(powers, exponents, strict=False)]

    def share(r: Reader, at: Spot) -> int:
        short, drop = _short_sum(r, at.place)
        exponent = r.at("value_exponent", _past(r, at.place), 0, at.column)
        weight = n.lifted(r.at("mix.exp", at.place, 0, at.column), exponent)
        return n.fits((weight >> drop) * n.over(2**61, short)) >> n.SHARE_SHIFT

    return [
        element("mix.score", _score),
        *largest("mix.largest", score, seen),
        element("mix.exp", power),
        *sums("mix.exp_sum", positions, lambda r, at: r.block("mix.exp", at.place, 0, at.column)),
        *sums("mix.weight_sum", positions, weights),
        element("mix.share", share),
        *sums("mix.share_sum", positions, lambda r, at: r.block("mix.share", at.place, 0, at.column)),
    ]


def _short_sum(r: Reader, place: Place) -> tuple[int, int]:
    """The sum of weights in at most 31 bits, and how many bits were dropped."""
    total = r.total("mix.weight_sum", place, 0, r.text.positions)
    drop = max(0, total.bit_length() - n.WEIGHT_SUM_BITS)
    return total >> drop, drop


def _mixed(layout: Layout) -> list[Operation]:
    """Sums of shares times values, dimension by dimension, and a head's output."""

    def terms(r: Reader, at: Spot) -> list[int]:
        shares = r.block("mix.share", at.place, 0, at.column)
        values = r.block("value", _past(r, at.place), at.row, at.column)
        return [share * value for share, value in zip(shares, values, strict=False)]

    def out(r: Reader, at: Spot) -> int:
        place, most = (*at.place, at.row), r.text.positions
        short, drop = _short_sum(r, place)
        ratio = n.fits(short * n.over(2**54, r.total("mix.exp_sum", place, 0, most))) >> 8
        scale = n.over(ratio, max(1, r.total("mix.share_sum", place, 0, most)))
        return n.halved(n.fits(r.total("mix.total", place, at.column, most) * scale), 42 - drop)

    return [*sums("mix.total", layout.text.positions, terms), element("joined.out", out)]


def _mixture(r: Reader, place: Place, index: int) -> int:
    return r.at("joined.out", place, index // r.config.head_dim, index % r.config.head_dim)
