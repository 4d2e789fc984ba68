"""An encoder by the kernels: what `reference.py` computes, for many texts at once on a CPU.

Shapes: T rows (tokens of all texts); C width, H heads, D head width.
"""

from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int64, c_void_p
from math import isqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import kernels as k
from node_agent.execution.exact.encoder.model_file import EncoderLayer, EncoderParameters


class KernelEncoderLayer(Structure):
    """`EncoderLayer` of kernels.c."""

    _matrices = ("qkv", "attention_out", "up", "down")
    _fields_ = (
        *((name, k.KernelMatrix) for name in _matrices),
        *((name, c_void_p) for name in ("attention_gain", "attention_bias", "out_gain", "out_bias")),
    )

    @classmethod
    def of(cls, layer: EncoderLayer, kept: k.Kept) -> Self:
        """A block of the model file."""
        norms = (each for norm in (layer.attention_norm, layer.out_norm) for each in (norm.gain, norm.bias))
        matrices = (kept.matrix(getattr(layer, name)) for name in cls._matrices)
        return cls(*matrices, *(kept.pointer(each, np.int32) for each in norms))


class KernelEncoder:
    """See `port.EncoderModel`.

    Attributes:
        kernels: what it computes with; changes nothing but speed.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: EncoderParameters, kernels: k.Kernels) -> None:
        self.config, self.kernels = parameters.config, kernels
        self._embedding, self._position = parameters.embedding, parameters.position
        self._kept = kept = k.Kept()
        self._sizes = k.sizes_of(parameters.config, kept, parameters.exp2, parameters.normal)
        self._rooms = k.Rooms(self._sizes, kernels.threads)
        norm = parameters.embedding_norm
        self._norm = kept.pointer(norm.gain, np.int32), kept.pointer(norm.bias, np.int32)
        self.layers = [KernelEncoderLayer.of(layer, kept) for layer in parameters.layers]
        sizes = POINTER(k.Sizes)
        self._run_embedded = kernels.function("encoder_embedded", sizes, c_void_p, c_void_p, c_int64, c_void_p)
        self._run_layer = kernels.function(
            "encoder_layer", sizes, POINTER(KernelEncoderLayer), c_void_p, c_int64, c_int64, c_void_p, k.ROOM
        )

    def states(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
        """See `port.EncoderModel`."""
        self.kernels.take_turn()
        x = k.embedded(self._embedding, [token for text in texts for token in text])
        x += np.concatenate([self._position[: len(text)] for text in texts])
        self._run_embedded(byref(self._sizes), *self._norm, len(x), k.address(x))
        states = [x]
        room = self._rooms.room(len(x), max(len(text) for text in texts))
        _pages, here = self._pages(texts)
        for layer in self.layers:
            x = x.copy()
            sizes = byref(self._sizes)
            self._run_layer(sizes, byref(layer), k.address(here), len(texts), len(x), k.address(x), byref(room))
            states.append(x)
        return states

    def _pages(self, texts: Sequence[Sequence[int]]) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
        """Room for keys and values of a layer's texts, which the next layer writes over; and (B, 3) `Text`s in it."""
        size = self.config.num_attention_heads * self.kernels.block_bytes(self.config.head_dim)
        counts = [-(-len(text) // k.PAGE) for text in texts]
        room = np.empty((sum(counts), size), np.uint8)
        places = k.address(room) + np.arange(len(room), dtype=np.int64) * size
        starts = k.address(places) + 8 * np.cumsum([0, *counts[:-1]])
        rows = [(start, 0, len(text)) for start, text in zip(starts, texts, strict=True)]
        return [room, places], np.array(rows, np.int64)

    def vector(self, states: NDArray[np.int64]) -> list[int]:
        """See `port.EncoderModel`: SPEC_ENCODER.md, "The vector", in Python's integers."""
        total = [int(each) for each in states.sum(0)]
        exponent = max(0, max(abs(each) for each in total).bit_length() - a.NORM_BITS)
        short = [(each + ((1 << exponent) >> 1)) >> exponent for each in total]
        square_sum = max(1, sum(each * each for each in short))
        lift = (62 - square_sum.bit_length()) >> 1
        reciprocal = (1 << 61) // isqrt(square_sum << (2 * lift))
        shift = 61 - a.VECTOR_FRACTION - lift
        return [(each * reciprocal + ((1 << shift) >> 1)) >> shift for each in short]
