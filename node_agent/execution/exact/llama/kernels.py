"""A Llama by the kernels: what `reference.py` computes, for many texts at once on a CPU.

Shapes: T rows (new positions of all texts); L layers; C, K, D, P and V as in SPEC.md.
"""

from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int64, c_void_p
from typing import Self

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact import kernels as k
from node_agent.execution.exact.llama.model_file import ExactConfig, LayerParameters, Parameters
from node_agent.execution.exact.port import Reading


class KernelLlamaLayer(Structure):
    """`LlamaLayer` of kernels.c."""

    _matrices = ("qkv", "attention_out", "gate_up", "down")
    _gains = ("attention_norm", "mlp_norm", "query_norm", "key_norm")
    _fields_ = (*((name, k.KernelMatrix) for name in _matrices), *((name, c_void_p) for name in _gains))

    @classmethod
    def of(cls, layer: LayerParameters, kept: k.Kept) -> Self:
        """A block of the model file."""
        matrices = (kept.matrix(getattr(layer, name)) for name in cls._matrices)
        gains = (getattr(layer, name) for name in cls._gains)
        return cls(*matrices, *(None if gain is None else kept.pointer(gain, np.int32) for gain in gains))


class KernelCache:
    """The past of one text: integers and their powers of two, of all layers, filled from the front.

    Attributes:
        used: how many positions it holds.
        positions: how many it has room for.
    """

    def __init__(self, config: ExactConfig, positions: int) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, positions)
        self.used, self.positions = 0, positions
        self._arrays = (
            np.zeros((*shape, config.head_dim), np.int16),  # keys
            np.zeros((*shape, config.head_dim), np.int16),  # values
            np.zeros(shape, np.uint8),  # exponents of keys
            np.zeros(shape, np.uint8),  # exponents of values
        )
        self.addresses = np.array([k.address(each) for each in self._arrays], np.int64)  # (4,)
        self.strides = np.array([each.strides[0] for each in self._arrays], np.int64)  # (4,) bytes a layer


class KernelLlama:
    """See `port.LlamaModel`.

    Attributes:
        kernels: what it computes with; changes nothing but speed.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: Parameters, kernels: k.Kernels) -> None:
        self.config, self.kernels = parameters.config, kernels
        self.exp2 = parameters.exp2.astype(np.int64)
        self._embedding = parameters.embedding
        p, self._kept = parameters, k.Kept()
        self._sizes = k.sizes_of(p.config, self._kept, p.exp2, p.sigmoid, p.cos, p.sin)
        self._rooms = k.Rooms(self._sizes, kernels.threads)
        self._head = self._kept.matrix(parameters.head)
        self._final_norm = self._kept.pointer(parameters.final_norm, np.int32)
        self.layers = [KernelLlamaLayer.of(layer, self._kept) for layer in parameters.layers]
        sizes = POINTER(k.Sizes)
        self._run_layer = kernels.function(
            "llama_layer", sizes, POINTER(KernelLlamaLayer), c_void_p, c_int64, c_int64, c_void_p, k.ROOM
        )
        self._run_logits = kernels.function(
            "llama_logits", sizes, POINTER(k.KernelMatrix), c_void_p, c_int64, c_void_p, k.ROOM, c_void_p
        )

    def new_cache(self, positions: int) -> KernelCache:
        """See `port.LlamaModel`."""
        return KernelCache(self.config, positions)

    def read(self, batch: Sequence[Reading[KernelCache]]) -> NDArray[np.int32]:
        """See `port.LlamaModel`."""
        self.kernels.take_turn()
        x = self._states(batch)
        ends = np.cumsum([len(each.tokens) for each in batch])
        rows = np.concatenate([np.arange(end - each.wanted, end) for end, each in zip(ends, batch, strict=True)])
        return self.logits(x[rows])

    def logits(self, x: NDArray[np.int64]) -> NDArray[np.int32]:
        """(T, C) states after the last layer to (T, V) with 16 fraction bits."""
        x = np.ascontiguousarray(x)
        logits = np.empty((len(x), self.config.vocab_size), np.int32)
        room = self._rooms.room(len(x), 1)
        if len(x):
            head, final = byref(self._head), self._final_norm
            self._run_logits(byref(self._sizes), head, final, len(x), k.address(x), byref(room), k.address(logits))
        return logits

    def _states(self, batch: Sequence[Reading[KernelCache]]) -> NDArray[np.int64]:
        """Reads new tokens into their caches. Returns the (T, C) states after the last layer, with 20 fraction bits."""
        x = k.embedded(self._embedding, [token for each in batch for token in each.tokens])
        longest = max(each.cache.used + len(each.tokens) for each in batch)
        if longest > self.config.positions:
            raise ValueError(f"the model has {self.config.positions} positions, a text would have {longest}")
        room = self._rooms.room(len(x), longest)
        texts = _texts(batch, self.config.num_hidden_layers)  # (L, B, 7)
        place, step = k.address(texts), texts.strides[0]
        for index, layer in enumerate(self.layers):
            sizes, here = byref(self._sizes), place + index * step
            self._run_layer(sizes, byref(layer), here, len(batch), len(x), k.address(x), byref(room))
        for each in batch:
            each.cache.used += len(each.tokens)
        return x


def _texts(batch: Sequence[Reading[KernelCache]], layers: int) -> NDArray[np.int64]:
    """(L, B, 7) structs with the address of each text's past in each layer."""
    texts = np.empty((layers, len(batch), k.TEXT_FIELDS), np.int64)
    steps = np.arange(layers)[:, None]  # (L, 1)
    for index, each in enumerate(batch):
        cache = each.cache
        if cache.used + len(each.tokens) > cache.positions:
            raise ValueError(f"a cache of {cache.positions} positions holds {cache.used}, {len(each.tokens)} are new")
        texts[:, index, :4] = cache.addresses + steps * cache.strides
        texts[:, index, 4:] = (cache.positions, cache.used, len(each.tokens))
    return texts
