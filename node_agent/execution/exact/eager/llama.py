"""SPEC.md in eager torch: what `llama/reference.py` computes, for many texts at once and on any device.

This file has the order of the steps, `base.py` their arithmetic.

`forward` reads any number of tokens of each text. Texts lie one after the other along one axis of rows: linear maps run
over all rows at once, attention text by text. Nothing is padded.

`decode` reads one token of each text. Its shapes depend on the size of the slots, not on how full they are: attention
runs over all slots at once, and masked positions weigh exactly 0. So it gives the bits of `forward`, and a GPU can
replay a step without asking the host (`static_decoding.py`).

Shapes: T rows (new positions of all texts), t those of one text, S its positions so far; B slots; L layers; C, H, K, G,
D, F, V as in SPEC.md.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution import determinism
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.eager.base import EagerModel, ExactLinear, add, round_shift
from node_agent.execution.exact.eager.products import Products
from node_agent.execution.exact.eager.slots import Slots, TextCache
from node_agent.execution.exact.eager.static_decoding import StaticDecoder
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.port import Reading

HEAD_PIECE = 2048
"""Logits that a CPU computes at once for all rows. Changes nothing but speed."""


class _Heads(NamedTuple):
    """Queries, keys and values of new positions: integers in the products' type, and powers of two."""

    query: Tensor  # (T, H, D)
    query_powers: Tensor  # (T, H, 1)
    key: Tensor  # (T, K, D)
    key_powers: Tensor  # (T, K, 1)
    value: Tensor  # (T, K, D)
    value_powers: Tensor  # (T, K, 1)


@dataclass(frozen=True)
class _LlamaLayer:
    """One block on the device; see `model_file.LayerParameters`."""

    attention_norm: Tensor
    qkv: ExactLinear
    attention_out: ExactLinear
    mlp_norm: Tensor
    gate_up: ExactLinear
    down: ExactLinear
    query_norm: Tensor | None
    key_norm: Tensor | None


class EagerLlama(EagerModel):
    """A Llama on one device with one way to multiply.

    Attributes:
        config: sizes.
        layers: its blocks in order. Dropping one gives another model, and another trace.
        static_decoding: whether batches decode in steps of fixed shapes, as on a GPU. Changes nothing but speed.
    """

    def __init__(self, parameters: Parameters, products: Products, device: torch.device) -> None:
        super().__init__(parameters.embedding, parameters.exp2, products, device)
        self.static_decoding = device.type == "cuda" and products.graphs
        self.config = parameters.config
        self._head = self._in_pieces(parameters.head)
        self.layers = [_LlamaLayer(**self._on_device(layer)) for layer in parameters.layers]
        self._final_norm = self._int64(parameters.final_norm)  # (C,)
        self._sigmoid = self._int64(parameters.sigmoid)
        self._cos, self._sin = self._int64(parameters.cos), self._int64(parameters.sin)  # (P, D / 2)
        self._decoders: list[StaticDecoder] = []

    @torch.inference_mode()
    def read(self, batch: Sequence[Reading[TextCache]]) -> NDArray[np.int32]:
        """See `port.LlamaModel`."""
        determinism.full_precision()
        if self.static_decoding and all(len(each.tokens) == each.wanted == 1 for each in batch):
            with suppress(torch.OutOfMemoryError):  # no room for slots for all; one text after the other may fit
                decoder = self.decoder_of([each.cache for each in batch])
                logits = decoder.logits([(each.tokens[0], each.cache) for each in batch])
                return np.asarray(logits.cpu())
        hidden = self.forward([(each.tokens, each.cache) for each in batch])  # (T, C)
        ends = np.cumsum([len(each.tokens) for each in batch])
        rows = np.concatenate([np.arange(end - each.wanted, end) for end, each in zip(ends, batch, strict=True)])
        wanted = hidden.index_select(0, torch.tensor(rows, device=self.device))
        return np.asarray(self.logits(wanted).cpu())

    def decoder_of(self, texts: Sequence[TextCache]) -> StaticDecoder:
        """The decoder that some texts are in, else an idle one, else a new one. Decoders are kept, since making their
        graphs takes as long as many steps."""
        holding = (each for each in self._decoders if each.holds(texts))
        idle = (each for each in self._decoders if each.idle)
        found = next(holding, None) or next(idle, None)
        if found is None:
            found = StaticDecoder(self)
            self._decoders.append(found)
        return found

    def new_cache(self, positions: int) -> TextCache:
        """See `port.LlamaModel`."""
        try:
            return self.new_slots(1, positions).cache(0)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error

    def new_slots(self, count: int, positions: int) -> Slots:
        """Empty slots for so many texts with room for `positions` each."""
        return Slots(self.config, count, positions, self.products.attention_type, self.device)

    def forward(self, batch: Sequence[tuple[Sequence[int], TextCache]]) -> Tensor:
        """Read the next tokens of some texts and append them to their caches.

        Args:
            batch: for each text its new tokens, at least one, and its past.

        Returns:
            (T, C) int64 normed states with 40 fraction bits, the input of `logits`: the rows of the texts in order.
        """
        tokens = torch.tensor([token for new, _ in batch for token in new], device=self.device)  # (T,)
        places = torch.cat([torch.arange(c.used, c.used + len(new), device=self.device) for new, c in batch])  # (T,)
        hidden = self._states(tokens, places, partial(self._mix_texts, batch))
        for new, cache in batch:
            cache.used += len(new)
        return hidden

    def decode(self, tokens: Tensor, places: Tensor, slots: Slots, span: int) -> Tensor:
        """Read one token of each slot and append it to what the slot holds, without waiting for the host.

        Args:
            tokens: (B,) int64; any token of the model for a slot without a text.
            places: (B,) int64 how many positions each slot's text has used; 0 for a slot without a text.
            slots: the B texts' pasts.
            span: how many positions of each slot attention covers; more than any of `places`.

        Returns:
            (B, C) as from `forward`; for a slot without a text, meaningless integers within bounds.
        """
        kv_heads = self.config.num_key_value_heads
        steps = torch.arange(span, device=self.device)
        hidden = self._hidden(steps, places)[:, None, None]  # (B, 1, 1, span)
        rows = torch.arange(slots.count * kv_heads, device=self.device).view(-1, kv_heads)  # (B, K)
        written = (rows * slots.positions + places[:, None]).view(-1)  # (B K,) among all positions of a layer
        return self._states(tokens, places, partial(self._mix_slots, slots, written, hidden))

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

    def _states(self, tokens: Tensor, places: Tensor, mix: Callable[[int, _Heads], Tensor]) -> Tensor:
        """All layers over (T,) tokens at (T,) places; `mix` computes a layer's attention over the pasts, (T, H D)."""
        cos = self._cos.index_select(0, places)[:, None]  # (T, 1, D / 2)
        sin = self._sin.index_select(0, places)[:, None]
        x = self._embedded(tokens)
        for index, layer in enumerate(self.layers):
            heads = self._heads(layer, self._normed(x, layer.attention_norm), cos, sin)
            o = mix(index, heads)  # (T, H D)
            x = add(x, self._apply(layer.attention_out, o, a.MIXED_FRACTION, a.RESIDUAL_FRACTION))
            x = add(x, self._mlp(layer, self._normed(x, layer.mlp_norm)))
        return self._normed(x, self._final_norm)

    def _heads(self, layer: _LlamaLayer, y: Tensor, cos: Tensor, sin: Tensor) -> _Heads:
        c = self.config
        heads, kv_heads, d = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        qkv = self._apply(layer.qkv, y, a.NORMED_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)
        qkv = qkv.view(-1, heads + 2 * kv_heads, d)  # (T, H + 2K, D)
        turning = qkv[:, : heads + kv_heads]  # (T, H + K, D)
        if layer.query_norm is not None and layer.key_norm is not None:
            gains = ((turning[:, :heads], layer.query_norm), (turning[:, heads:], layer.key_norm))
            turning = torch.cat([self._head_normed(part, gain) for part, gain in gains], 1)
        rotated = _rotate(turning, cos, sin)  # (T, H + K, D)
        return _Heads(
            *self._shorten_heads(rotated[:, :heads], c.query_bits),
            *self._shorten_heads(rotated[:, heads:], c.key_bits),
            *self._shorten_heads(qkv[:, heads + kv_heads :], a.VALUE_BITS),
        )

    def _head_normed(self, heads: Tensor, gain: Tensor) -> Tensor:
        """(T, n, D) heads, each with its norm: 16 fraction bits."""
        normed = self._norm(heads, self.config.head_epsilon, gain)
        return round_shift(normed, a.NORMED_FRACTION - a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)

    def _hidden(self, steps: Tensor, places: Tensor) -> Tensor:
        """(t, S) which of (S,) positions the (t,) positions do not see: those behind them, and before the window."""
        hidden = steps > places[:, None]
        window = self.config.window
        return hidden | (steps <= places[:, None] - window) if window else hidden

    def _mix_texts(self, batch: Sequence[tuple[Sequence[int], TextCache]], index: int, heads: _Heads) -> Tensor:
        """Attention text by text: the rows of the texts in order, (T, H D) with 20 fraction bits."""
        mixed, start = [], 0
        for new, cache in batch:
            rows, place = slice(start, start + len(new)), slice(cache.used, cache.used + len(new))
            cache.keys[index, :, place] = heads.key[rows].transpose(0, 1)
            cache.key_powers[index, :, place] = heads.key_powers[rows, :, 0].t()
            cache.values[index, :, place] = heads.value[rows].transpose(0, 1)
            cache.value_powers[index, :, place] = heads.value_powers[rows, :, 0].t()
            mixed.append(self._mix(index, heads.query[rows], heads.query_powers[rows], cache))
            start = rows.stop
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _mix_slots(self, slots: Slots, written: Tensor, hidden: Tensor, index: int, heads: _Heads) -> Tensor:
        """Attention of all slots at once: (B, H D) with 20 fraction bits. Arguments as `decode` makes them."""
        d, span, matrices = self.config.head_dim, hidden.shape[-1], written.shape[0]  # a matrix for each key/value head

        def kept(past: Tensor, new: Tensor) -> Tensor:
            """A layer's (B, K, positions, n) with (B, K, n) written to it: its (B K, span, n)."""
            n = new.shape[-1]
            past.view(-1, n).index_copy_(0, written, new.reshape(-1, n))
            return past[:, :, :span].view(matrices, span, n)

        key, key_powers = kept(slots.keys[index], heads.key), kept(slots.key_powers[index], heads.key_powers)
        value = kept(slots.values[index], heads.value)
        value_powers = kept(slots.value_powers[index], heads.value_powers)
        mixed = self._attend(
            (heads.query.reshape(matrices, -1, d), heads.query_powers.reshape(matrices, -1, 1)),  # (B K, G, ...)
            (key, key_powers.transpose(1, 2)),
            (value, value_powers.transpose(1, 2)),
            hidden,
        )
        return mixed.view(slots.count, -1)

    def _mix(self, index: int, query: Tensor, query_powers: Tensor, cache: TextCache) -> Tensor:
        """Attention of one text: (t, H, D) queries and (t, H, 1) powers of two to (t, H D), 20 fraction bits."""
        kv_heads, d = self.config.num_key_value_heads, self.config.head_dim
        new, end = query.shape[0], cache.used + query.shape[0]
        group, window = query.shape[1] // kv_heads, self.config.window

        def by_head(x: Tensor) -> Tensor:  # (t, H, n) -> (K, G t, n)
            return x.view(new, kv_heads, group, -1).permute(1, 2, 0, 3).reshape(kv_heads, group * new, -1)

        steps = torch.arange(end, device=self.device)
        mixed = self._attend(
            (by_head(query), by_head(query_powers)),
            (cache.keys[index, :, :end], cache.key_powers[index, :, None, :end]),
            (cache.values[index, :, :end], cache.value_powers[index, :, None, :end]),
            self._hidden(steps, steps[cache.used :])[None, None] if new > 1 or window else None,  # (1, 1, t, S)
        )
        return mixed.view(kv_heads, group, new, d).permute(2, 0, 1, 3).reshape(new, -1)

    def _mlp(self, layer: _LlamaLayer, y: Tensor) -> Tensor:
        gate_up = self._apply(layer.gate_up, y, a.NORMED_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)
        gate, up = gate_up.chunk(2, -1)  # (T, F) each
        sigmoid = self._looked_up(gate, self._sigmoid, a.SIGMOID_STEP_BITS)
        silu = round_shift(sigmoid.mul_(gate), a.HEAD_FRACTION + a.SIGMOID_FRACTION - 24)
        return self._apply(layer.down, silu.mul_(up), a.GATED_FRACTION, a.RESIDUAL_FRACTION)

    def _normed(self, x: Tensor, gain: Tensor) -> Tensor:
        return self._norm(x, self.config.epsilon, gain)

    def _in_pieces(self, matrix: Matrix) -> list[ExactLinear]:
        """The output matrix in pieces along its rows, so that each piece's logits stay in a CPU's cache. On a GPU it is
        one piece, which takes fewer kernels."""
        size = HEAD_PIECE if self.device.type == "cpu" else matrix.weight.shape[0]
        cuts = range(0, matrix.weight.shape[0], size)
        parts = [(matrix.weight[cut : cut + size], matrix.multiplier[cut : cut + size]) for cut in cuts]
        return [self._linear(Matrix(weight, multiplier, matrix.exponent)) for weight, multiplier in parts]


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(T, n, D) turned by (T, 1, D / 2) tables: each half against the other."""
    first, second = heads.chunk(2, -1)  # (T, n, D / 2)
    return round_shift(torch.cat((first * cos - second * sin, second * cos + first * sin), -1), a.ROTARY_FRACTION)
