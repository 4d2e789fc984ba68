"""The operations of SPEC.md as Triton functions on int64 tensors; `kernels.py` fuses them.

No number is rounded: products are int8 x int8 summed in int32, everything else is int64, and the one float, a square
root, seeds an integer root that is then corrected. A sum of int32 cannot overflow, because a row has fewer than 2^16
inputs, and |half * weight| <= 128 * 127.

Triton has no 16-bit integer product. An activation of 15 bits with sign is two int8 halves, `q >> 7` and `q & 127`.
"""

import triton
import triton.language as tl


@triton.jit
def rsh(v, n):
    """`rsh` of SPEC.md: v / 2^n, halves up. `n` is a constant or an int64 tensor."""
    return (v + (((n * 0 + 1) << n) >> 1)) >> n


@triton.jit
def sat(v, most):
    """`sat` of SPEC.md: v within -most..most."""
    return tl.minimum(tl.maximum(v, -most), most)


@triton.jit
def bits(v):
    """`bl` of SPEC.md for (n, 1) integers >= 0: how many shifts, from none on, leave something of each."""
    return tl.sum(((v >> tl.arange(0, 64)[None, :]) > 0).to(tl.int64), 1, keep_dims=True)


@triton.jit
def square_root(v):
    """Integer square roots, rounded down, of 2^60..2^62 - 1; why one correction each way suffices: `eager/base.py`."""
    root = tl.sqrt(v.to(tl.float64)).to(tl.int64)
    root = tl.where(root * root > v, root - 1, root)
    return tl.where((root + 1) * (root + 1) <= v, root + 1, root)


@triton.jit
def shorten(v, width):
    """`shorten` of SPEC.md along the last axis: integers of `width` bits with sign, and an exponent a row."""
    exponent = tl.maximum(bits(tl.max(tl.abs(v), -1, keep_dims=True)) - (width - 1), 0)
    return sat(rsh(v, exponent), (1 << (width - 1)) - 1), exponent


@triton.jit
def normed(x, gain, epsilon):
    """`norm` of SPEC.md along the last axis, with 40 fraction bits where x has 20. Zeros may stand behind a row."""
    exponent = tl.maximum(bits(tl.max(tl.abs(x), -1, keep_dims=True)) - 23, 0)
    short = rsh(x, exponent)
    total = tl.maximum(tl.sum(short * short, -1, keep_dims=True) + (epsilon >> (2 * exponent)), 1)
    lift = (62 - bits(total)) >> 1
    reciprocal = (1 << 61) // square_root(total << (2 * lift))
    return rsh(short * reciprocal, 37 - lift) * gain


@triton.jit
def whole(sums, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """(2 ROWS, COLUMNS) int64 sums of high halves, then of low halves, to the (ROWS, COLUMNS) sums of both."""
    halves = tl.reshape(sums, (2, ROWS, COLUMNS))
    return tl.sum(tl.where(tl.arange(0, 2)[:, None, None] == 0, halves << 7, halves), 0)


@triton.jit
def product(planes, weight, first, rows, output, known, inputs,
            ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Sums of activations times weights, exact. Both halves lie along one axis, so that weights are read once.

    Args:
        planes: (2, rows, inputs) int8: high halves, then low halves.
        weight: (O, inputs) int8.
        first: the first of ROWS rows.
        output, known: (OUTPUTS,) rows of `weight`, and which of them exist.

    Returns:
        (ROWS, OUTPUTS) int64.
    """
    half = tl.arange(0, 2 * ROWS)
    row, k = first + half % ROWS, tl.arange(0, BLOCK)
    x = planes + ((half // ROWS * rows + row).to(tl.int64) * inputs)[:, None] + k[None, :]
    w = weight + (output.to(tl.int64) * inputs)[None, :] + k[:, None]
    sums = tl.zeros((2 * ROWS, OUTPUTS), tl.int32)
    for start in range(0, inputs, BLOCK):
        here = k < inputs - start
        q = tl.load(x + start, mask=(row < rows)[:, None] & here[None, :], other=0)
        n = tl.load(w + start, mask=known[None, :] & here[:, None], other=0)
        sums = tl.dot(q, n, sums, out_dtype=tl.int32)
    return whole(sums.to(tl.int64), ROWS, OUTPUTS)


@triton.jit
def linear(planes, exponents, weight, multiplier, shift, first, rows, output, known, inputs,
           ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """`linear` of SPEC.md for shortened rows, without a bias; arguments as of `product`.

    Args:
        exponents: (rows,) int64 of the shortened rows.
        multiplier: (O,) int64.
        shift: M.exponent + F_in - F_out.
    """
    total = product(planes, weight, first, rows, output, known, inputs, ROWS, OUTPUTS, BLOCK)
    row = first + tl.arange(0, ROWS)
    exponent = tl.load(exponents + row, mask=row < rows, other=0)[:, None]
    return rsh(total * tl.load(multiplier + output, mask=known, other=0)[None, :], shift - exponent)


@triton.jit
def short_product(x, y, ROWS: tl.constexpr, INNER: tl.constexpr, COLUMNS: tl.constexpr):
    """(ROWS, INNER) times (INNER, COLUMNS) integers of at most 15 bits with sign: int64. The halves of x lie along one
    axis, as in `product`; no sum of halves exceeds 31 bits, because INNER is one tile."""
    halves = tl.reshape(tl.permute(tl.join(x >> 7, x & 127), (2, 0, 1)), (2 * ROWS, INNER)).to(tl.int8)
    high = tl.dot(halves, (y >> 7).to(tl.int8), out_dtype=tl.int32).to(tl.int64)
    low = tl.dot(halves, (y & 127).to(tl.int8), out_dtype=tl.int32)
    return whole((high << 7) + low, ROWS, COLUMNS)
