"""SPEC_ENCODER.md in eager torch: what `encoder/reference.py` computes, for many texts at once and on any device.

This file has the order of the steps, `base.py` their arithmetic. The texts of a batch lie one after the other along one
axis of rows: linear maps run over all rows, attention text by text. Nothing is padded.

Shapes: T rows (tokens of all texts), C width, H heads, D head width, F inner width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution import determinism
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.eager.base import EagerModel, ExactLinear, LayerNorm, add, round_shift
from node_agent.execution.exact.eager.products import Products
from node_agent.execution.exact.encoder.model_file import EncoderParameters

PIECE_ROWS, PIECE_QUERIES = 64, 32
"""Rows, and queries of one text, that a CPU computes at once, to stay in its cache. Changes nothing but speed."""


@dataclass(frozen=True)
class _EncoderLayer:
    """One block on the device; see `encoder.model_file.EncoderLayer`."""

    qkv: ExactLinear
    attention_out: ExactLinear
    attention_norm: LayerNorm
    up: ExactLinear
    down: ExactLinear
    out_norm: LayerNorm


class EagerEncoder(EagerModel):
    """A BERT encoder on one device with one way to multiply.

    Attributes:
        config: sizes.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: EncoderParameters, products: Products, device: torch.device) -> None:
        super().__init__(parameters.embedding, parameters.exp2, products, device)
        self.config = parameters.config
        self.layers = [_EncoderLayer(**self._on_device(layer)) for layer in parameters.layers]
        self._position = self._int64(parameters.position)  # (P, C)
        self._embedding_norm = LayerNorm(**self._on_device(parameters.embedding_norm))
        self._normal = self._int64(parameters.normal)

    @torch.inference_mode()
    def forward(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """The states of some texts.

        Args:
            texts: the tokens of each, at least one and at most as many as the model has positions.

        Returns:
            (T, C) int64 with 20 fraction bits after the embeddings and after each layer, in order: the rows of the
            texts one after the other.
        """
        ends = list(accumulate(len(text) for text in texts))
        rows = [slice(end - len(text), end) for text, end in zip(texts, ends, strict=True)]
        tokens = torch.tensor([token for text in texts for token in text], device=self.device)  # (T,)
        places = torch.cat([torch.arange(len(text), device=self.device) for text in texts])  # (T,)
        x = self._normed(self._embedded(tokens) + self._position.index_select(0, places), self._embedding_norm)
        states = [x]
        for layer in self.layers:
            x = self._block(layer, x, rows)
            states.append(x)
        return states

    def states(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
        """See `port.EncoderModel`."""
        determinism.full_precision()
        return [states.cpu().numpy() for states in self.forward(texts)]

    @torch.inference_mode()
    def vector(self, states: Tensor | NDArray[np.int64]) -> list[int]:
        """See `port.EncoderModel`."""
        total = torch.as_tensor(states, device=self.device).sum(0, keepdim=True)  # (1, C)
        vector: list[int] = self._unit(total, 0, a.VECTOR_FRACTION)[0].tolist()
        return vector

    def _block(self, layer: _EncoderLayer, x: Tensor, texts: Sequence[slice]) -> Tensor:
        pieces = self._pieces(slice(0, len(x)), PIECE_ROWS)
        qkv = torch.cat([self._apply(layer.qkv, x[piece], a.RESIDUAL_FRACTION, a.HEAD_FRACTION) for piece in pieces])
        mixed = self._attention(qkv.clamp_(-a.HEAD_MAX, a.HEAD_MAX), texts)  # (T, C)
        return torch.cat([self._rest(layer, x[piece], mixed[piece]) for piece in pieces])

    def _attention(self, qkv: Tensor, texts: Sequence[slice]) -> Tensor:
        """(T, 3C) queries, keys and values to (T, C) mixtures with 20 fraction bits, each text by itself."""
        c = self.config
        query, key, value = qkv.view(len(qkv), 3, c.num_attention_heads, -1).permute(1, 2, 0, 3)  # (H, T, D) each
        mixed = []
        for text in texts:
            keys, key_powers = self._shorten_heads(key[:, text], c.key_bits)
            values, value_powers = self._shorten_heads(value[:, text], a.VALUE_BITS)
            past = (keys, key_powers.transpose(1, 2)), (values, value_powers.transpose(1, 2))
            for piece in self._pieces(text, PIECE_QUERIES):
                heads = self._attend(self._shorten_heads(query[:, piece], c.query_bits), *past)  # (H, t, D)
                mixed.append(heads.transpose(0, 1).reshape(heads.shape[1], -1))
        return torch.cat(mixed)

    def _rest(self, layer: _EncoderLayer, x: Tensor, mixed: Tensor) -> Tensor:
        """What follows attention, row by row: (T, C) states and mixtures to (T, C) states."""
        x = self._updated(x, layer.attention_out, mixed, a.MIXED_FRACTION, layer.attention_norm)
        up = self._apply(layer.up, x, a.RESIDUAL_FRACTION, a.HEAD_FRACTION).clamp_(-a.HEAD_MAX, a.HEAD_MAX)  # (T, F)
        gelu = self._looked_up(up, self._normal, a.NORMAL_STEP_BITS).mul_(up)
        return self._updated(x, layer.down, gelu, a.GATED_FRACTION, layer.out_norm)

    def _updated(self, x: Tensor, linear: ExactLinear, y: Tensor, fraction: int, norm: LayerNorm) -> Tensor:
        """(T, C) states plus a matrix times y, (T, I) with `fraction` fraction bits; the sum normed."""
        return self._normed(add(x, self._apply(linear, y, fraction, a.RESIDUAL_FRACTION)), norm)

    def _normed(self, x: Tensor, norm: LayerNorm) -> Tensor:
        """`layer_norm` of SPEC_ENCODER.md: (T, C) with 20 fraction bits to states."""
        centred = x * x.shape[1] - x.sum(-1, keepdim=True)
        normed = self._norm(centred, self.config.epsilon, norm.gain)
        states = round_shift(normed, a.NORMED_FRACTION - a.RESIDUAL_FRACTION).add_(norm.bias)
        return states.clamp_(-a.STATE_MAX, a.STATE_MAX)

    def _pieces(self, rows: slice, size: int) -> list[slice]:
        """The same rows, a few at a time where that is faster."""
        size = size if self.device.type == "cpu" else rows.stop - rows.start
        return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]
