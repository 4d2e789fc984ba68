"""The fused parts of a layer, one Triton kernel each; `llama.py` starts them in order.

A kernel that reads a matrix reads rows that `shorten_rows` has normed and shortened: both look at a whole row, and a
program has a few outputs of all rows. Doing them again in each program would save two starts a half layer and cost more
arithmetic in int64 than the matrix does in int8.

Names: T rows (new positions of all texts), C width, F inner width, H, K heads, D head width. ROWS, OUTPUTS, BLOCK and
the like are the sizes of a program's tiles, powers of two. `past` is (T, 7) int64, one line for each row:

    place | addresses of its text's keys, values, their powers of two | positions from layer to layer, from head to head

Keys and values are int16 (L, K, positions, D) of each text, powers of two int64 (L, K, positions).
"""

import triton
import triton.language as tl

from node_agent.execution.exact.fused.integers import (
    bits,
    linear,
    normed,
    product,
    rsh,
    sat,
    short_product,
    shorten,
    square_root,
)


@triton.jit
def embed(tokens, weight, multiplier, shift, x, width, WIDTH: tl.constexpr):
    """(T,) tokens to (T, C) with 20 fraction bits. Programs: T."""
    row, i = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)
    token = tl.load(tokens + row)
    value = tl.load(weight + token * width + i, mask=i < width, other=0) * tl.load(multiplier + token)
    tl.store(x + row * width + i, rsh(value, token * 0 + shift), mask=i < width)


@triton.jit
def shorten_rows(x, gain, epsilon, planes, exponents, rows, width, NORM: tl.constexpr, WIDTH: tl.constexpr):
    """(T, width) rows, normed first if NORM, to int8 halves (2, T, width) and (T,) exponents. Programs: T."""
    row, i = tl.program_id(0).to(tl.int64), tl.arange(0, WIDTH)[None, :]
    value = tl.load(x + row * width + i, mask=i < width, other=0)
    if NORM:
        value = normed(value, tl.load(gain + i, mask=i < width, other=0), epsilon)
    short, exponent = shorten(value, 15)
    tl.store(planes + row * width + i, short >> 7, mask=i < width)
    tl.store(planes + (rows + row) * width + i, short & 127, mask=i < width)
    tl.store(exponents + row + i * 0, exponent + i * 0, mask=i == 0)


@triton.jit
def heads(planes, exponents, weight, multiplier, bias, shift, query_gain, key_gain, epsilon, cos, sin, past, query,
          query_powers, layer, rows, inputs, count, kv_count, width, query_bits, key_bits, BIAS: tl.constexpr,
          NORM: tl.constexpr, ROWS: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The matrix of queries, keys and values, norms of heads, rotation, shortening; keys and values go to the past,
    queries to (T, H, D) and (T, H). Programs: heads of all kinds, rows / ROWS.

    The columns of a tile alternate between a head's two halves, which turn against each other.
    """
    head, first = tl.program_id(0), tl.program_id(1) * ROWS
    column, row = tl.arange(0, 2 * HALF), first + tl.arange(0, ROWS)
    at, known, live = column // 2 + column % 2 * (width // 2), column // 2 < width // 2, row < rows
    output = head * width + at
    value = linear(
        planes, exponents, weight, multiplier, shift, first, rows, output, known, inputs, ROWS, 2 * HALF, BLOCK
    )
    if BIAS:
        value += tl.load(bias + output, mask=known, other=0)[None, :]
    value = sat(value, (1 << 25) - 1)
    turns = head < count + kv_count
    if NORM:
        gain = tl.load(query_gain + at, mask=known & (head < count), other=0)
        gain += tl.load(key_gain + at, mask=known & (head >= count), other=0)
        value = tl.where(turns, sat(rsh(normed(value, gain[None, :], epsilon), 24), (1 << 25) - 1), value)
    place = tl.load(past + row * 7, mask=live, other=0)
    i = tl.arange(0, HALF)[None, :]
    angle, turned = place[:, None] * (width // 2) + i, turns & live[:, None] & (i < width // 2)
    cosine = tl.load(cos + angle, mask=turned, other=1 << 14).to(tl.int64)  # a value turns by no angle
    sine = tl.load(sin + angle, mask=turned, other=0).to(tl.int64)
    one, two = tl.split(tl.reshape(value, (ROWS, HALF, 2)))
    both = tl.join(rsh(one * cosine - two * sine, 14), rsh(two * cosine + one * sine, 14))
    width_bits = tl.where(head < count, query_bits, tl.where(turns, key_bits, 9))
    short, exponent = shorten(tl.reshape(both, (ROWS, 2 * HALF)), width_bits)
    power = (exponent * 0 + 1) << exponent  # (ROWS, 1)
    shown, alone = live[:, None] & known[None, :], live[:, None]
    spot = (row.to(tl.int64) * count + head)[:, None]
    tl.store(query + spot * width + at[None, :], short, mask=shown & (head < count))
    tl.store(query_powers + spot, power, mask=alone & (head < count))
    kind = tl.where(turns, 1, 2)
    kept = past + row * 7
    numbers = tl.load(kept + kind, mask=live, other=0).to(tl.pointer_type(tl.int16))[:, None]
    powers = tl.load(kept + kind + 2, mask=live, other=0).to(tl.pointer_type(tl.int64))[:, None]
    kv = tl.where(turns, head - count, head - count - kv_count)
    strides = layer * tl.load(kept + 5, mask=live, other=0) + kv * tl.load(kept + 6, mask=live, other=0)
    spot = (strides + place)[:, None]
    tl.store(numbers + spot * width + at[None, :], short, mask=shown & (head >= count))
    tl.store(powers + spot, power, mask=alone & (head >= count))


@triton.jit
def scores(query, power, place, keys, powers, start, stop, window, width,
           QUERIES: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """(QUERIES, BLOCK) scores of positions from `start` on, -2^61 where a query does not see one."""
    j, i = start + tl.arange(0, BLOCK)[None, :], tl.arange(0, WIDTH)[:, None]
    key = tl.load(keys + j * width + i, mask=(j < stop) & (i < width), other=0)  # (WIDTH, BLOCK)
    scale = power * tl.load(powers + j, mask=j < stop, other=0)
    seen = (j <= place) & (j > place - window)
    return tl.where(seen, rsh(short_product(query, key, QUERIES, WIDTH, BLOCK) * scale, 20), -(1 << 61))


@triton.jit
def exps(distance, exp2):
    """2^-distance with 24 fraction bits."""
    z = tl.minimum(distance, (1 << 17) - 1)
    return tl.load(exp2 + (z & 4095)) >> (z >> 12)


@triton.jit
def attend(query, query_powers, past, blocks, exp2, mixed, layer, count, width, window,
           GROUP: tl.constexpr, QUERIES: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Scores, weights, shares and mixtures: (T, H D) with 20 fraction bits. Programs: K, blocks of rows.

    A block is (first row, rows) of one text, its queries of one key/value head at most QUERIES. Shares need the sum of
    all weights, and weights the largest score, so keys are read three times, and values once.
    """
    kv, block = tl.program_id(0), tl.program_id(1)
    first, taken = tl.load(blocks + 2 * block), tl.load(blocks + 2 * block + 1)
    m, i = tl.arange(0, QUERIES), tl.arange(0, WIDTH)[None, :]
    row, live = first + m // GROUP, m < taken * GROUP
    spot = (row * count + kv * GROUP + m % GROUP)[:, None]
    shown = live[:, None] & (i < width)
    q = tl.load(query + spot * width + i, mask=shown, other=0)
    power = tl.load(query_powers + spot, mask=live[:, None], other=0)
    place = tl.load(past + row * 7, mask=live, other=-1).to(tl.int32)
    stop = tl.max(place, 0) + 1
    begin = tl.maximum(tl.min(tl.where(live, place, stop), 0) - window + 1, 0)
    place = place[:, None]
    kept = past + first * 7
    spots = layer * tl.load(kept + 5) + kv * tl.load(kept + 6)
    keys = tl.load(kept + 1).to(tl.pointer_type(tl.int16)) + spots * width
    values = tl.load(kept + 2).to(tl.pointer_type(tl.int16)) + spots * width
    key_powers = tl.load(kept + 3).to(tl.pointer_type(tl.int64)) + spots
    value_powers = tl.load(kept + 4).to(tl.pointer_type(tl.int64)) + spots
    best = tl.full((QUERIES, 1), -(1 << 61), tl.int64)
    for start in range(begin, stop, BLOCK):
        score = scores(q, power, place, keys, key_powers, start, stop, window, width, QUERIES, WIDTH, BLOCK)
        best = tl.maximum(best, tl.max(score, 1, keep_dims=True))
    exp_sum, weight_sum = tl.zeros((QUERIES, 1), tl.int64), tl.zeros((QUERIES, 1), tl.int64)
    for start in range(begin, stop, BLOCK):
        score = scores(q, power, place, keys, key_powers, start, stop, window, width, QUERIES, WIDTH, BLOCK)
        j = start + tl.arange(0, BLOCK)[None, :]
        exp = exps(best - score, exp2)
        exp_sum += tl.sum(exp, 1, keep_dims=True)
        weight_sum += tl.sum(exp * tl.load(value_powers + j, mask=j < stop, other=1), 1, keep_dims=True)
    drop = tl.maximum(bits(weight_sum) - 31, 0)
    short_sum = weight_sum >> drop
    reciprocal = (1 << 61) // short_sum
    share_sum, sums = tl.zeros((QUERIES, 1), tl.int64), tl.zeros((QUERIES, WIDTH), tl.int64)
    for start in range(begin, stop, BLOCK):
        score = scores(q, power, place, keys, key_powers, start, stop, window, width, QUERIES, WIDTH, BLOCK)
        j = start + tl.arange(0, BLOCK)
        weight = exps(best - score, exp2) * tl.load(value_powers + j, mask=j < stop, other=1)[None, :]
        share = ((weight >> drop) * reciprocal) >> 45
        share_sum += tl.sum(share, 1, keep_dims=True)
        value = tl.load(values + j[:, None] * width + i, mask=(j < stop)[:, None] & (i < width), other=0)
        sums += short_product(share >> 14, value, QUERIES, BLOCK, WIDTH) << 14
        sums += short_product(share & 16383, value, QUERIES, BLOCK, WIDTH)
    # `exp_sum` is 2^24 or more; dividing by it alone breaks an analysis of Triton 3.7.1's compiler
    ratio = (short_sum * ((1 << 54) // tl.maximum(exp_sum, 1))) >> 8
    scale = ratio // tl.maximum(share_sum, 1)
    tl.store(mixed + spot * width + i, rsh(sums * scale, 42 - drop), mask=shown)


@triton.jit
def gates(planes, exponents, weight, multiplier, shift, sigmoid, gated, rows, inputs, inner,
          ROWS: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The matrix of gates and ups, and gates times ups: (T, F) with 40 fraction bits. Programs: F / PAIRS, rows / ROWS.

    The columns of a tile alternate between gates and their ups.
    """
    first, column = tl.program_id(1) * ROWS, tl.arange(0, 2 * PAIRS)
    at = tl.program_id(0) * PAIRS + column // 2
    value = linear(
        planes, exponents, weight, multiplier, shift, first, rows, at + column % 2 * inner, at < inner, inputs,
        ROWS, 2 * PAIRS, BLOCK,
    )  # fmt: skip
    gate, up = tl.split(tl.reshape(sat(value, (1 << 25) - 1), (ROWS, PAIRS, 2)))
    curve = tl.load(sigmoid + tl.minimum(tl.maximum(rsh(gate, 6), -16384), 16383) + 16384)
    i = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)[None, :]
    row = first + tl.arange(0, ROWS)[:, None]
    tl.store(gated + row.to(tl.int64) * inner + i, rsh(gate * curve, 16) * up, mask=(row < rows) & (i < inner))


@triton.jit
def add(planes, exponents, weight, multiplier, shift, x, rows, inputs, outputs,
        ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """A matrix whose results are added to (T, C) residuals in place. Programs: C / OUTPUTS, rows / ROWS."""
    first, output = tl.program_id(1) * ROWS, tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    value = linear(
        planes, exponents, weight, multiplier, shift, first, rows, output, output < outputs, inputs,
        ROWS, OUTPUTS, BLOCK,
    )  # fmt: skip
    row = first + tl.arange(0, ROWS)[:, None]
    known = (row < rows) & (output < outputs)[None, :]
    at = x + row.to(tl.int64) * outputs + output[None, :]
    tl.store(at, sat(tl.load(at, mask=known, other=0) + value, (1 << 35) - 1), mask=known)


@triton.jit
def head(planes, exponents, weight, multiplier, shift, logits, rows, inputs, outputs,
         ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The output matrix: (T, V) int32 logits with 16 fraction bits. Programs: V / OUTPUTS, rows / ROWS."""
    first, output = tl.program_id(1) * ROWS, tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    value = linear(
        planes, exponents, weight, multiplier, shift, first, rows, output, output < outputs, inputs,
        ROWS, OUTPUTS, BLOCK,
    )  # fmt: skip
    row = first + tl.arange(0, ROWS)[:, None]
    known = (row < rows) & (output < outputs)[None, :]
    tl.store(logits + row.to(tl.int64) * outputs + output[None, :], sat(value, (1 << 31) - 1), mask=known)


@triton.jit
def products(planes, weight, sums, rows, inputs, outputs,
             ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """A matrix's sums alone: (T, O) int64. Programs: O / OUTPUTS, rows / ROWS."""
    first, output = tl.program_id(1) * ROWS, tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    value = product(planes, weight, first, rows, output, output < outputs, inputs, ROWS, OUTPUTS, BLOCK)
    row = first + tl.arange(0, ROWS)[:, None]
    at = row.to(tl.int64) * outputs + output[None, :]
    tl.store(sums + at, value, mask=(row < rows) & (output < outputs)[None, :])


@triton.jit
def square_roots(squares, roots, count, SIZE: tl.constexpr):
    """Integer square roots of (count,) int64, for the self-test. Programs: count / SIZE."""
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    tl.store(roots + i, square_root(tl.load(squares + i, mask=i < count, other=1 << 60)), mask=i < count)
