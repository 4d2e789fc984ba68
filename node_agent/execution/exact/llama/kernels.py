"""A Llama by the kernels: what `reference.py` computes, for many texts at once on a CPU.

Shapes: T rows (new positions of all texts); L layers; C, K, D, P and V as in SPEC.md.
"""

from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int64, c_void_p
from typing import Self

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact import kernels as k
from node_agent.execution.exact.llama.model_file import LayerParameters, Parameters
from node_agent.execution.exact.llama.pages import KEPT_BYTES, PagedCache, PageStore
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


class KernelLlama:
    """See `port.LlamaModel`.

    Args:
        parameters: the model file.
        kernels: what it computes with.
        kept_bytes: most bytes of the past that are kept for later texts which begin alike.

    Attributes:
        kernels: what it computes with; changes nothing but speed.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: Parameters, kernels: k.Kernels, kept_bytes: int = KEPT_BYTES) -> None:
        self.config, self.kernels = parameters.config, kernels
        self.exp2 = parameters.exp2.astype(np.int64)
        self._embedding = parameters.embedding
        p, self._kept = parameters, k.Kept()
        self._sizes = k.sizes_of(p.config, self._kept, p.exp2, p.sigmoid, p.cos, p.sin)
        self._rooms = k.Rooms(self._sizes, kernels.threads)
        blocks = p.config.num_hidden_layers * p.config.num_key_value_heads
        self._pages = PageStore(blocks * kernels.block_bytes(p.config.head_dim), kept_bytes)
        self._head = self._kept.matrix(parameters.head)
        self._final_norm = self._kept.pointer(parameters.final_norm, np.int32)
        self.layers = [KernelLlamaLayer.of(layer, self._kept) for layer in parameters.layers]
        sizes = POINTER(k.Sizes)
        self._run_layer = kernels.function(
            "llama_layer", sizes, POINTER(KernelLlamaLayer), c_int64, c_void_p, c_int64, c_int64, c_void_p, k.ROOM
        )
        self._run_logits = kernels.function(
            "llama_logits", sizes, POINTER(k.KernelMatrix), c_void_p, c_int64, c_void_p, k.ROOM, c_void_p
        )

    def new_cache(self, positions: int) -> PagedCache:
        """See `port.LlamaModel`."""
        return PagedCache(self._pages, positions, bytes([len(self.layers) % 256]))

    def read(self, batch: Sequence[Reading[PagedCache]]) -> NDArray[np.int32]:
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

    def _states(self, batch: Sequence[Reading[PagedCache]]) -> NDArray[np.int64]:
        """Reads new tokens into their caches. Returns the (T, C) states after the last layer, with 20 fraction bits."""
        x = k.embedded(self._embedding, [token for each in batch for token in each.tokens])
        longest = max(each.cache.used + len(each.tokens) for each in batch)
        if longest > self.config.positions:
            raise ValueError(f"the model has {self.config.positions} positions, a text would have {longest}")
        room = self._rooms.room(len(x), longest)
        texts = np.array([_text(each) for each in batch], np.int64)
        for index, layer in enumerate(self.layers):
            sizes, here = byref(self._sizes), k.address(texts)
            self._run_layer(sizes, byref(layer), index, here, len(batch), len(x), k.address(x), byref(room))
        for each in batch:
            each.cache.append(each.tokens)
        return x


def _text(reading: Reading[PagedCache]) -> tuple[int, int, int]:
    """`Text` of kernels.c."""
    cache, new = reading.cache, len(reading.tokens)
    if cache.used + new > cache.positions:
        raise ValueError(f"a cache of {cache.positions} positions holds {cache.used}, {new} are new")
    return k.address(cache.addresses), cache.used, new
