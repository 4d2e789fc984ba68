"""SPEC.md in eager torch: what `reference.py` computes, fast, on any device, for many texts at once.

Each step's arithmetic is `base_model.py`'s; here is the order of the steps, and the cache.

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
from node_agent.execution.exact.base_model import ExactModel, Linear, add, round_shift
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.model_file import ExactConfig, LayerParameters, Parameters
from node_agent.execution.exact.products import Products

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
class _Layer:
    """One block on the device; see `model_file.LayerParameters`."""

    attention_norm: Tensor
    qkv: Linear
    attention_out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


class ExactLlama(ExactModel):
    """A Llama on one device with one way to multiply.

    Attributes:
        config: sizes.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: Parameters, products: Products, device: torch.device) -> None:
        super().__init__(parameters.embedding, parameters.exp2, products, device)
        self.config = parameters.config
        self._head = self._in_pieces(parameters.head)
        self.layers = [self._layer(layer) for layer in parameters.layers]
        self._final_norm = self._int64(parameters.final_norm)  # (C,)
        self._sigmoid = self._int64(parameters.sigmoid)
        self._cos, self._sin = self._int64(parameters.cos), self._int64(parameters.sin)  # (P, D / 2)

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
        x = self._embedded(tokens)
        for index, layer in enumerate(self.layers):
            x = add(x, self._attention(index, layer, self._normed(x, layer.attention_norm), cos, sin, batch))
            x = add(x, self._mlp(layer, self._normed(x, layer.mlp_norm)))
        for new, cache in batch:
            cache.used += len(new)
        return self._normed(x, self._final_norm)

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
        kv_heads, d = self.config.num_key_value_heads, self.config.head_dim
        new, end = query.shape[0], cache.used + query.shape[0]
        group = query.shape[1] // kv_heads

        def by_head(x: Tensor) -> Tensor:  # (t, H, n) -> (K, G t, n)
            return x.view(new, kv_heads, group, -1).permute(1, 2, 0, 3).reshape(kv_heads, group * new, -1)

        steps = torch.arange(end, device=self.device)
        mixed = self._attend(
            (by_head(query), by_head(query_powers)),
            (cache.keys[index, :, :end], cache.key_powers[index, :, None, :end]),
            (cache.values[index, :, :end], cache.value_powers[index, :, None, :end]),
            steps[None, :] > steps[cache.used :, None] if new > 1 else None,  # (t, S)
        )
        return mixed.view(kv_heads, group, new, d).permute(2, 0, 1, 3).reshape(new, -1)

    def _mlp(self, layer: _Layer, y: Tensor) -> Tensor:
        gate_up = self._apply(layer.gate_up, y, a.NORMED_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)
        gate, up = gate_up.chunk(2, -1)  # (T, F) each
        sigmoid = self._looked_up(gate, self._sigmoid, a.SIGMOID_STEP_BITS)
        silu = round_shift(sigmoid.mul_(gate), a.HEAD_FRACTION + a.SIGMOID_FRACTION - 24)
        return self._apply(layer.down, silu.mul_(up), a.GATED_FRACTION, a.RESIDUAL_FRACTION)

    def _normed(self, x: Tensor, gain: Tensor) -> Tensor:
        return self._norm(x, self.config.epsilon, gain)

    def _in_pieces(self, matrix: Matrix) -> list[Linear]:
        """The output matrix cut along its rows, so that what is done to each piece's logits stays in a CPU's cache."""
        cuts = range(0, matrix.weight.shape[0], HEAD_PIECE)
        parts = [(matrix.weight[cut : cut + HEAD_PIECE], matrix.multiplier[cut : cut + HEAD_PIECE]) for cut in cuts]
        return [self._linear(Matrix(weight, multiplier, matrix.exponent)) for weight, multiplier in parts]

    def _layer(self, layer: LayerParameters) -> _Layer:
        return _Layer(
            attention_norm=self._int64(layer.attention_norm),
            qkv=self._linear(layer.qkv),
            attention_out=self._linear(layer.attention_out),
            mlp_norm=self._int64(layer.mlp_norm),
            gate_up=self._linear(layer.gate_up),
            down=self._linear(layer.down),
        )


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(T, n, D) turned by (T, 1, D / 2) tables: each half against the other."""
    first, second = heads.chunk(2, -1)  # (T, n, D / 2)
    return round_shift(torch.cat((first * cos - second * sin, second * cos + first * sin), -1), a.ROTARY_FRACTION)
