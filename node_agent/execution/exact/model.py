"""SPEC.md in eager torch: what `reference.py` computes, fast, on any device, for many texts at once.

Every operation is on int64 tensors, or a product that is exact because its integers are bounded (`products.py`), or a
table look-up. No operation rounds, so none depends on order, threads, instruction sets, or who shares a batch. `sqrt`
only seeds an integer square root that is then corrected. `operations.py` lists what may run; a test watches.

Texts of a batch lie one after the other along one axis of rows: linear maps run over all rows at once, attention text
by text. Nothing is padded.

Shapes: T rows (new positions of all texts), t those of one text, S its positions so far; C, H, K, G, D, F, V as in
SPEC.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.model_file import ExactConfig, LayerParameters, Matrix, Parameters
from node_agent.execution.exact.products import Products, Weight

HIDDEN = -(2**61)
"""The score of a position that may not be seen: its weight is 0, its difference to any score fits into 63 bits."""

HEAD_PIECE = 2048
"""Logits computed at once for all rows. Changes nothing but speed."""


class Cache:
    """The past of one text: integers and their powers of two, of all layers, filled from the front.

    Attributes:
        used: how many positions it holds.
    """

    def __init__(self, config: ExactConfig, positions: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, positions)
        self.keys = torch.zeros(*shape, config.head_dim, dtype=dtype, device=device)  # (L, K, positions, D)
        self.values = torch.zeros(*shape, config.head_dim, dtype=dtype, device=device)  # (L, K, positions, D)
        self.key_powers = torch.ones(shape, dtype=torch.int64, device=device)  # (L, K, positions) 2^ek
        self.value_powers = torch.ones(shape, dtype=torch.int64, device=device)  # (L, K, positions) 2^ev
        self.used = 0


@dataclass(frozen=True)
class _Linear:
    """A matrix on the device."""

    weight: Weight
    multiplier: Tensor  # (O,) int64
    exponent: int


@dataclass(frozen=True)
class _Layer:
    """One block on the device; see `model_file.LayerParameters`."""

    attention_norm: Tensor
    qkv: _Linear
    attention_out: _Linear
    mlp_norm: Tensor
    gate_up: _Linear
    down: _Linear


class ExactLlama:
    """A model on one device with one way to multiply.

    Attributes:
        config: sizes.
        products: how it multiplies; changes nothing but speed.
        exp2: (4096,) int64 table on the host's side of sampling, too.
    """

    def __init__(self, parameters: Parameters, products: Products, device: torch.device) -> None:
        self.config, self.products, self.device = parameters.config, products, device
        self._head = self._in_pieces(parameters.head)
        self._embedding = torch.from_numpy(parameters.embedding.weight).to(device)  # (V, C) int8
        self._embedding_multiplier = _int64(parameters.embedding.multiplier, device)  # (V,)
        self._embedding_shift = parameters.embedding.exponent - a.RESIDUAL_FRACTION
        self.layers = [self._layer(layer) for layer in parameters.layers]
        self._final_norm = _int64(parameters.final_norm, device)  # (C,)
        self.exp2 = _int64(parameters.exp2, device)
        self._sigmoid = _int64(parameters.sigmoid, device)
        self._cos, self._sin = _int64(parameters.cos, device), _int64(parameters.sin, device)  # (P, D / 2)
        self._powers = 2 ** torch.arange(63, dtype=torch.int64, device=device)  # (63,)
        self._one = torch.ones((), dtype=torch.int64, device=device)

    def new_cache(self, positions: int) -> Cache:
        """An empty cache with room for `positions`."""
        return Cache(self.config, positions, self.products.attention_type, self.device)

    def forward(self, batch: Sequence[tuple[Sequence[int], Cache]]) -> Tensor:
        """Read the next tokens of some texts and append them to their caches.

        Args:
            batch: for each text its new tokens, at least one, and its past.

        Returns:
            (T, C) int64 normed states with 40 fraction bits, the input of `logits`: the rows of the texts in order.
        """
        tokens = torch.tensor([token for new, _ in batch for token in new], device=self.device)  # (T,)
        places = torch.cat([torch.arange(c.used, c.used + len(new), device=self.device) for new, c in batch])  # (T,)
        cos = self._cos.index_select(0, places)[:, None]  # (T, 1, D / 2)
        sin = self._sin.index_select(0, places)[:, None]
        rows = self._embedding.index_select(0, tokens).to(torch.int64)  # (T, C)
        scales = self._embedding_multiplier.index_select(0, tokens)[:, None]  # (T, 1)
        x = _round_shift(rows * scales, self._embedding_shift)
        for index, layer in enumerate(self.layers):
            x = _add(x, self._attention(index, layer, self._norm(x, layer.attention_norm), cos, sin, batch))
            x = _add(x, self._mlp(layer, self._norm(x, layer.mlp_norm)))
        for new, cache in batch:
            cache.used += len(new)
        return self._norm(x, self._final_norm)

    def logits(self, normed: Tensor) -> Tensor:
        """(T, C) normed states to (T, V) int32 logits with 16 fraction bits."""
        short, exponent = self._shorten(normed, a.ACTIVATION_MAX)
        shift = self._head[0].exponent + a.NORMED_FRACTION - a.LOGIT_FRACTION - exponent
        logits = torch.empty(normed.shape[0], self.config.vocab_size, dtype=torch.int32, device=self.device)
        start = 0
        for piece in self._head:
            total = self.products.linear(short, piece.weight).mul_(piece.multiplier)
            stop = start + total.shape[1]
            logits[:, start:stop] = self._row_shift_(total, shift).clamp_(-a.LOGIT_MAX, a.LOGIT_MAX)
            start = stop
        return logits

    def _attention(
        self,
        index: int,
        layer: _Layer,
        y: Tensor,
        cos: Tensor,
        sin: Tensor,
        batch: Sequence[tuple[Sequence[int], Cache]],
    ) -> Tensor:
        c = self.config
        heads, kv_heads, d = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        qkv = self._apply(layer.qkv, y, a.NORMED_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)
        qkv = qkv.view(-1, heads + 2 * kv_heads, d)  # (T, H + 2K, D)
        rotated = _rotate(qkv[:, : heads + kv_heads], cos, sin)  # (T, H + K, D)
        query, query_powers = self._shorten_heads(rotated[:, :heads], c.query_bits)
        key, key_powers = self._shorten_heads(rotated[:, heads:], c.key_bits)
        value, value_powers = self._shorten_heads(qkv[:, heads + kv_heads :], a.VALUE_BITS)
        mixed, start = [], 0
        for new, cache in batch:
            rows, place = slice(start, start + len(new)), slice(cache.used, cache.used + len(new))
            cache.keys[index, :, place] = key[rows].transpose(0, 1)
            cache.key_powers[index, :, place] = key_powers[rows, :, 0].t()
            cache.values[index, :, place] = value[rows].transpose(0, 1)
            cache.value_powers[index, :, place] = value_powers[rows, :, 0].t()
            mixed.append(self._mix(index, query[rows], query_powers[rows], cache))
            start = rows.stop
        o = mixed[0] if len(mixed) == 1 else torch.cat(mixed)  # (T, H D)
        return self._apply(layer.attention_out, o, a.MIXED_FRACTION, a.RESIDUAL_FRACTION)

    def _mix(self, index: int, query: Tensor, query_powers: Tensor, cache: Cache) -> Tensor:
        """Attention of one text: (t, H, D) queries and (t, H, 1) powers of two to (t, H D), 20 fraction bits."""
        c = self.config
        new, kv_heads, group, d = (
            query.shape[0],
            c.num_key_value_heads,
            query.shape[1] // c.num_key_value_heads,
            c.head_dim,
        )
        end = cache.used + new

        def by_head(x: Tensor) -> Tensor:  # (t, H, n) -> (K, G t, n)
            return x.view(new, kv_heads, group, -1).permute(1, 2, 0, 3).reshape(kv_heads, group * new, -1)

        keys = cache.keys[index, :, :end].transpose(1, 2)  # (K, D, S)
        scores = torch.bmm(by_head(query), keys).to(torch.int64)  # (K, G t, S)
        scores = scores.mul_(by_head(query_powers)).mul_(cache.key_powers[index, :, None, :end])
        scores = _round_shift(scores, 2 * a.HEAD_FRACTION - a.SCORE_FRACTION)
        if new > 1:
            steps = torch.arange(end, device=self.device)
            future = steps[None, :] > steps[cache.used :, None]  # (t, S)
            scores.view(kv_heads, group, new, end).masked_fill_(future, HIDDEN)
        exps = self._exp2_of(scores.amax(-1, keepdim=True) - scores)  # (K, G t, S)
        shares, scale, shift = self._shares(exps, exps * cache.value_powers[index, :, None, :end])
        sums = torch.bmm(shares, cache.values[index, :, :end]).to(torch.int64)  # (K, G t, D)
        mixed = self._row_shift_(sums.mul_(scale), shift)
        return mixed.view(kv_heads, group, new, d).permute(2, 0, 1, 3).reshape(new, -1)

    def _shares(self, exps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, G t, S) weights to shares of 16 bits in the products' type, and the (K, G t, 1) scale and shift after."""
        exp_sum, weight_sum = exps.sum(-1, keepdim=True), weights.sum(-1, keepdim=True)
        drop = (self._bits(weight_sum) - a.WEIGHT_SUM_BITS).clamp_(min=0)
        short_sum = weight_sum >> drop
        reciprocal = _floor_divide(self._one << 61, short_sum)
        shares = (weights >> drop).mul_(reciprocal) >> (61 - a.PROBABILITY_BITS)
        ratio = (short_sum * _floor_divide(self._one << 54, exp_sum)) >> 8
        scale = _floor_divide(ratio, shares.sum(-1, keepdim=True).clamp_(min=1))
        shift = 46 + a.HEAD_FRACTION - a.MIXED_FRACTION - drop
        return shares.to(self.products.attention_type), scale, shift

    def _exp2_of(self, distance: Tensor) -> Tensor:
        distance = distance.clamp_(max=a.SCORE_DISTANCE_MAX)
        low = distance & ((1 << a.SCORE_FRACTION) - 1)
        return self.exp2.index_select(0, low.view(-1)).view_as(low) >> (distance >> a.SCORE_FRACTION)

    def _mlp(self, layer: _Layer, y: Tensor) -> Tensor:
        gate_up = self._apply(layer.gate_up, y, a.NORMED_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)
        gate, up = gate_up.chunk(2, -1)  # (T, F) each
        half = 1 << (a.SIGMOID_INDEX_BITS - 1)
        entry = _round_shift(gate, a.HEAD_FRACTION - a.SIGMOID_STEP_BITS).clamp_(-half, half - 1) + half
        sigmoid = self._sigmoid.index_select(0, entry.view(-1)).view_as(entry)
        silu = _round_shift(sigmoid.mul_(gate), a.HEAD_FRACTION + a.SIGMOID_FRACTION - 24)
        return self._apply(layer.down, silu.mul_(up), a.GATED_FRACTION, a.RESIDUAL_FRACTION)

    def _norm(self, x: Tensor, gain: Tensor) -> Tensor:
        """RMSNorm of (T, C) with 20 fraction bits to 40."""
        exponent = (self._bits(x.abs().amax(-1, keepdim=True)) - a.NORM_BITS).clamp_(min=0)  # (T, 1)
        short = self._row_shift(x, exponent)
        epsilon = (self._one * self.config.epsilon) >> (exponent << 1)
        square_sum = ((short * short).sum(-1, keepdim=True) + epsilon).clamp_(min=1)
        lift = (62 - self._bits(square_sum)) >> 1
        reciprocal = _floor_divide(self._one << 61, square_root(square_sum << (lift << 1)))
        return self._row_shift_(short.mul_(reciprocal), 61 - a.NORM_FRACTION - lift).mul_(gain)

    def _apply(self, linear: _Linear, y: Tensor, fraction: int, out_fraction: int) -> Tensor:
        """`linear` of SPEC.md: (T, I) with `fraction` fraction bits to a fresh (T, O) with `out_fraction`."""
        short, exponent = self._shorten(y, a.ACTIVATION_MAX)
        total = self.products.linear(short, linear.weight).mul_(linear.multiplier)
        return self._row_shift_(total, linear.exponent + fraction - out_fraction - exponent)

    def _shorten_heads(self, heads: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        """(T, n, D) to integers in attention's type and (T, n, 1) powers of two."""
        short, exponent = self._shorten(heads, (1 << (bits - 1)) - 1)
        return short.to(self.products.attention_type), self._one << exponent

    def _shorten(self, y: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """`shorten` of SPEC.md along the last axis, to integers within +-most = 2^(b - 1) - 1."""
        exponent = (self._bits(y.abs().amax(-1, keepdim=True)) - most.bit_length()).clamp_(min=0)
        return self._row_shift(y, exponent).clamp_(-most, most), exponent

    def _bits(self, x: Tensor) -> Tensor:
        """Number of bits of each integer of at least 0: how many powers of two do not exceed it."""
        return torch.bucketize(x, self._powers, right=True)

    def _row_shift(self, x: Tensor, bits: Tensor) -> Tensor:
        """`rsh` of SPEC.md with a number of bits of its own for each row; a fresh tensor."""
        return (x + ((self._one << bits) >> 1)).bitwise_right_shift_(bits)

    def _row_shift_(self, x: Tensor, bits: Tensor) -> Tensor:
        """`_row_shift` in place: large tensors cost more to allocate than to shift."""
        return x.add_((self._one << bits) >> 1).bitwise_right_shift_(bits)

    def _linear(self, matrix: Matrix) -> _Linear:
        weight = self.products.prepare(torch.from_numpy(matrix.weight).to(self.device))
        return _Linear(weight, _int64(matrix.multiplier, self.device), matrix.exponent)

    def _in_pieces(self, matrix: Matrix) -> list[_Linear]:
        """The output matrix cut along its rows, so that what is done to each piece's logits stays in a CPU's cache."""
        cuts = range(0, matrix.weight.shape[0], HEAD_PIECE)
        parts = [(matrix.weight[cut : cut + HEAD_PIECE], matrix.multiplier[cut : cut + HEAD_PIECE]) for cut in cuts]
        return [self._linear(Matrix(weight, multiplier, matrix.exponent)) for weight, multiplier in parts]

    def _layer(self, layer: LayerParameters) -> _Layer:
        return _Layer(
            attention_norm=_int64(layer.attention_norm, self.device),
            qkv=self._linear(layer.qkv),
            attention_out=self._linear(layer.attention_out),
            mlp_norm=_int64(layer.mlp_norm, self.device),
            gate_up=self._linear(layer.gate_up),
            down=self._linear(layer.down),
        )


def _round_shift(x: Tensor, bits: int) -> Tensor:
    """`rsh` of SPEC.md by a constant number of bits; a fresh tensor."""
    return (x + ((1 << bits) >> 1)).bitwise_right_shift_(bits)


def _add(x: Tensor, update: Tensor) -> Tensor:
    return (x + update).clamp_(-a.RESIDUAL_MAX, a.RESIDUAL_MAX)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(T, n, D) turned by (T, 1, D / 2) tables: each half against the other."""
    first, second = heads.chunk(2, -1)  # (T, n, D / 2)
    return _round_shift(torch.cat((first * cos - second * sin, second * cos + first * sin), -1), a.ROTARY_FRACTION)


def square_root(x: Tensor) -> Tensor:
    """Integer square roots, rounded down, of integers in 2^60..2^62 - 1: a float seed within 1, then two corrections.

    A double holds x to 2^-53 of itself and its root is below 2^31, so the seed is off by far less than 1 even where the
    host's `sqrt` is not correctly rounded.
    """
    root = x.to(torch.float64).sqrt_().to(torch.int64)
    root = root - (root * root > x).to(torch.int64)
    more = root + 1
    return root + (more * more <= x).to(torch.int64)


def _floor_divide(x: Tensor, by: Tensor) -> Tensor:
    return torch.div(x, by, rounding_mode="floor")


def _int64(values: object, device: torch.device) -> Tensor:
    return torch.as_tensor(values).to(device, torch.int64)
