"""The operations of SPEC.md in eager torch, on one device and with one way to multiply; both models use them.

An operation works on int64 tensors, looks up a table, or is a product of bounded integers and therefore exact
(`products.py`). None rounds, so none depends on order, threads, instruction sets, or the rest of the batch. `sqrt` only
seeds an integer square root, which is then corrected. `operations.py` lists the allowed operations; a test enforces it.

Shapes: T rows, I and O inputs and outputs of a matrix, K key/value heads, D head width, n queries, S positions.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.eager.products import Products, Weight


@dataclass(frozen=True)
class ExactLinear:
    """A matrix on the device, with its bias if it has one."""

    weight: Weight
    multiplier: Tensor  # (O,) int64
    exponent: int
    bias: Tensor | None  # (O,) int64


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation on the device."""

    gain: Tensor  # (C,) int64
    bias: Tensor  # (C,) int64


class EagerModel:
    """Integer arithmetic on one device.

    Attributes:
        products: how it multiplies; changes nothing but speed.
        exp2: (4096,) int64 table on the host, for sampling.
    """

    def __init__(self, embedding: Matrix, exp2: Integers, products: Products, device: torch.device) -> None:
        self.products, self.device = products, device
        self.exp2: NDArray[np.int64] = exp2.astype(np.int64)
        self._exp2 = self._int64(exp2)
        self._embedding = torch.from_numpy(embedding.weight).to(device)  # (V, C) int8
        self._embedding_multiplier = self._int64(embedding.multiplier)  # (V,)
        self._embedding_shift = embedding.exponent - a.RESIDUAL_FRACTION
        self._powers = 2 ** torch.arange(63, dtype=torch.int64, device=device)  # (63,)
        self._one = torch.ones((), dtype=torch.int64, device=device)

    def _embedded(self, tokens: Tensor) -> Tensor:
        """(T,) int64 tokens to (T, C) with 20 fraction bits."""
        rows = self._embedding.index_select(0, tokens).to(torch.int64)  # (T, C)
        scales = self._embedding_multiplier.index_select(0, tokens)[:, None]  # (T, 1)
        return round_shift(rows * scales, self._embedding_shift)

    def _linear(self, matrix: Matrix) -> ExactLinear:
        weight = self.products.prepare(torch.from_numpy(matrix.weight).to(self.device))
        bias = None if matrix.bias is None else self._int64(matrix.bias)
        return ExactLinear(weight, self._int64(matrix.multiplier), matrix.exponent, bias)

    def _apply(self, linear: ExactLinear, y: Tensor, fraction: int, out_fraction: int) -> Tensor:
        """`linear` of SPEC.md: (T, I) with `fraction` fraction bits to a fresh (T, O) with `out_fraction`."""
        short, exponent = self._shorten(y, a.ACTIVATION_MAX)
        total = self.products.linear(short, linear.weight).mul_(linear.multiplier)
        result = self._row_shift_(total, linear.exponent + fraction - out_fraction - exponent)
        return result if linear.bias is None else result.add_(linear.bias)

    def _norm(self, x: Tensor, epsilon: int, gain: Tensor) -> Tensor:
        """`norm` of SPEC.md: (T, C) to 40 fraction bits."""
        return self._unit(x, epsilon, a.NORM_FRACTION).mul_(gain)

    def _unit(self, x: Tensor, epsilon: int, fraction: int) -> Tensor:
        """`unit` of SPEC.md: (T, C) over the root of the sum of its squares, with `fraction` fraction bits."""
        exponent = (self._bits(x.abs().amax(-1, keepdim=True)) - a.NORM_BITS).clamp_(min=0)  # (T, 1)
        short = self._row_shift(x, exponent)
        square_sum = ((short * short).sum(-1, keepdim=True) + ((self._one * epsilon) >> (exponent << 1))).clamp_(min=1)
        lift = (62 - self._bits(square_sum)) >> 1
        reciprocal = floor_divide(self._one << 61, square_root(square_sum << (lift << 1)))
        return self._row_shift_(short.mul_(reciprocal), 61 - fraction - lift)

    def _attend(
        self, query: tuple[Tensor, Tensor], key: tuple[Tensor, Tensor], value: tuple[Tensor, Tensor],
        hidden: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Attention of SPEC.md (scores, weights, shares, mixtures) for all heads of one text, or of B texts.

        A hidden position's weight and share are exactly 0, so it adds nothing to any sum, whatever its key and value.

        Args:
            query: (K, n, D) integers and (K, n, 1) powers of two.
            key, value: (K, S, D) integers and (K, 1, S) powers of two.
            hidden: (B, 1, t, S) mask of the positions that queries may not see, in groups of t, for B texts whose heads
                lie one after the other; nothing is masked if not given.

        Returns:
            (K, n, D) with 20 fraction bits.
        """
        scores = torch.bmm(query[0], key[0].transpose(1, 2)).to(torch.int64)  # (K, n, S)
        scores = scores.mul_(query[1]).mul_(key[1])
        scores = round_shift(scores, 2 * a.HEAD_FRACTION - a.SCORE_FRACTION)
        if hidden is not None:
            scores.view(hidden.shape[0], -1, *hidden.shape[2:]).masked_fill_(hidden, a.HIDDEN_SCORE)
        exps = self._exp2_of(scores.amax(-1, keepdim=True) - scores)  # (K, n, S)
        shares, scale, shift = self._shares(exps, exps * value[1])
        sums = torch.bmm(shares, value[0]).to(torch.int64)  # (K, n, D)
        return self._row_shift_(sums.mul_(scale), shift)

    def _shares(self, exps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, n, S) weights to 16-bit shares in the products' type, and the (K, n, 1) scale and shift of their sums."""
        exp_sum, weight_sum = exps.sum(-1, keepdim=True), weights.sum(-1, keepdim=True)
        drop = (self._bits(weight_sum) - a.WEIGHT_SUM_BITS).clamp_(min=0)
        short_sum = weight_sum >> drop
        reciprocal = floor_divide(self._one << 61, short_sum)
        shares = (weights >> drop).mul_(reciprocal) >> (61 - a.PROBABILITY_BITS)
        ratio = (short_sum * floor_divide(self._one << 54, exp_sum)) >> 8
        scale = floor_divide(ratio, shares.sum(-1, keepdim=True).clamp_(min=1))
        shift = 46 + a.HEAD_FRACTION - a.MIXED_FRACTION - drop
        return shares.to(self.products.attention_type), scale, shift

    def _exp2_of(self, distance: Tensor) -> Tensor:
        distance = distance.clamp_(max=a.SCORE_DISTANCE_MAX)
        low = distance & ((1 << a.SCORE_FRACTION) - 1)
        return self._exp2.index_select(0, low.view(-1)).view_as(low) >> (distance >> a.SCORE_FRACTION)

    def _looked_up(self, x: Tensor, table: Tensor, step_bits: int) -> Tensor:
        """(T, F) with 16 fraction bits to a table's value at each: entries 2^-step_bits apart, 0 in the middle."""
        half = table.shape[0] // 2
        entry = round_shift(x, a.HEAD_FRACTION - step_bits).clamp_(-half, half - 1) + half
        return table.index_select(0, entry.view(-1)).view_as(entry)

    def _shorten_heads(self, heads: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        """(..., D) to integers in attention's type and (..., 1) powers of two."""
        short, exponent = self._shorten(heads, (1 << (bits - 1)) - 1)
        return short.to(self.products.attention_type), self._one << exponent

    def _shorten(self, y: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """`shorten` of SPEC.md along the last axis, to integers within +-most = 2^(b - 1) - 1."""
        exponent = (self._bits(y.abs().amax(-1, keepdim=True)) - most.bit_length()).clamp_(min=0)
        return self._row_shift(y, exponent).clamp_(-most, most), exponent

    def _bits(self, x: Tensor) -> Tensor:
        """Number of bits of each non-negative integer: how many powers of two do not exceed it."""
        return torch.bucketize(x, self._powers, right=True)

    def _row_shift(self, x: Tensor, bits: Tensor) -> Tensor:
        """`rsh` of SPEC.md, each row by its own number of bits; a fresh tensor."""
        return (x + ((self._one << bits) >> 1)).bitwise_right_shift_(bits)

    def _row_shift_(self, x: Tensor, bits: Tensor) -> Tensor:
        """`_row_shift` in place: large tensors cost more to allocate than to shift."""
        return x.add_((self._one << bits) >> 1).bitwise_right_shift_(bits)

    def _on_device(self, layer: Any) -> dict[str, Any]:
        """The parts of a model file's layer on the device, by name."""
        parts = {each.name: getattr(layer, each.name) for each in fields(layer)}
        return {
            name: None if part is None
            else self._linear(part) if isinstance(part, Matrix)
            else LayerNorm(**self._on_device(part)) if is_dataclass(part)
            else self._int64(part)
            for name, part in parts.items()
        }  # fmt: skip

    def _int64(self, values: Integers) -> Tensor:
        return torch.as_tensor(values).to(self.device, torch.int64)


def round_shift(x: Tensor, bits: int) -> Tensor:
    """`rsh` of SPEC.md by a constant number of bits; a fresh tensor."""
    return (x + ((1 << bits) >> 1)).bitwise_right_shift_(bits)


def add(x: Tensor, update: Tensor) -> Tensor:
    """The residual stream after an update, saturated."""
    return (x + update).clamp_(-a.RESIDUAL_MAX, a.RESIDUAL_MAX)


def square_root(x: Tensor) -> Tensor:
    """Integer square roots, rounded down, of integers in 2^60..2^62 - 1: a float seed, then two corrections by 1.

    A double holds x to 2^-53 of itself and its root is below 2^31, so the seed is off by far less than 1 even where the
    host's `sqrt` is not correctly rounded.
    """
    root = x.to(torch.float64).sqrt_().to(torch.int64)
    root = root - (root * root > x).to(torch.int64)
    more = root + 1
    return root + (more * more <= x).to(torch.int64)


def floor_divide(x: Tensor, by: Tensor) -> Tensor:
    """Division rounding down."""
    return torch.div(x, by, rounding_mode="floor")
