"""A Llama by the kernels: what `reference.py` computes, on a CPU, for many texts at once.

Shapes: T rows (new positions of all texts); L layers; C, K, D, P and V as in SPEC.md.
"""

from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int64, c_void_p

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact.kernels import (
    ROOM,
    TEXT_FIELDS,
    Kept,
    KernelMatrix,
    Kernels,
    Rooms,
    Sizes,
    address,
    embedded,
)
from node_agent.execution.exact.llama.model_file import ExactConfig, LayerParameters, Parameters
from node_agent.execution.exact.port import Reading


class KernelLlamaLayer(Structure):
    """`LlamaLayer` of kernels.c."""

    _fields_ = (
        *((name, KernelMatrix) for name in ("qkv", "attention_out", "gate_up", "down")),
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
    )


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
        self.addresses = np.array([address(each) for each in self._arrays], np.int64)  # (4,)
        self.strides = np.array([each.strides[0] for each in self._arrays], np.int64)  # (4,) bytes a layer


class KernelLlama:
    """See `port.LlamaModel`.

    Attributes:
        kernels: what it computes with; changes nothing but speed.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    def __init__(self, parameters: Parameters, kernels: Kernels) -> None:
        self.config, self.kernels = parameters.config, kernels
        self.exp2 = parameters.exp2.astype(np.int64)
        self._embedding = parameters.embedding
        self._kept = Kept()
        self._sizes = _sizes(parameters, self._kept)
        self._rooms = Rooms(self._sizes, kernels.threads)
        self._head = self._kept.matrix(parameters.head)
        self._final_norm = self._kept.pointer(parameters.final_norm, np.int32)
        self.layers = [_layer(layer, self._kept) for layer in parameters.layers]
        sizes = POINTER(Sizes)
        self._run_layer = kernels.function(
            "llama_layer", sizes, POINTER(KernelLlamaLayer), c_void_p, c_int64, c_int64, c_void_p, ROOM
        )
        self._run_logits = kernels.function(
            "llama_logits", sizes, POINTER(KernelMatrix), c_void_p, c_int64, c_void_p, ROOM, c_void_p
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
            self._run_logits(byref(self._sizes), head, final, len(x), address(x), byref(room), address(logits))
        return logits

    def _states(self, batch: Sequence[Reading[KernelCache]]) -> NDArray[np.int64]:
        """Reads new tokens and appends them to their caches: (T, C) with 20 fraction bits after the last layer."""
        x = embedded(self._embedding, [token for each in batch for token in each.tokens])
        longest = max(each.cache.used + len(each.tokens) for each in batch)
        if longest > self.config.positions:
            raise ValueError(f"the model has {self.config.positions} positions, a text would have {longest}")
        room = self._rooms.room(len(x), longest)
        texts = _texts(batch, self.config.num_hidden_layers)  # (L, B, 7)
        place, step = address(texts), texts.strides[0]
        for index, layer in enumerate(self.layers):
            sizes, here = byref(self._sizes), place + index * step
            self._run_layer(sizes, byref(layer), here, len(batch), len(x), address(x), byref(room))
        for each in batch:
            each.cache.used += len(each.tokens)
        return x


def _texts(batch: Sequence[Reading[KernelCache]], layers: int) -> NDArray[np.int64]:
    """(L, B, 7) structs: where each text's past lies in each layer."""
    texts = np.empty((layers, len(batch), TEXT_FIELDS), np.int64)
    steps = np.arange(layers)[:, None]  # (L, 1)
    for index, each in enumerate(batch):
        cache = each.cache
        if cache.used + len(each.tokens) > cache.positions:
            raise ValueError(f"a cache of {cache.positions} positions holds {cache.used}, {len(each.tokens)} are new")
        texts[:, index, :4] = cache.addresses + steps * cache.strides
        texts[:, index, 4:] = (cache.positions, cache.used, len(each.tokens))
    return texts


def _sizes(parameters: Parameters, kept: Kept) -> Sizes:
    c = parameters.config
    return Sizes(
        width=c.hidden_size,
        inner=c.intermediate_size,
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        query_max=(1 << (c.query_bits - 1)) - 1,
        key_max=(1 << (c.key_bits - 1)) - 1,
        epsilon=c.epsilon,
        exp2=kept.pointer(parameters.exp2, np.int32),
        curve=kept.pointer(parameters.sigmoid, np.int32),
        cos=kept.pointer(parameters.cos, np.int16),
        sin=kept.pointer(parameters.sin, np.int16),
    )


def _layer(layer: LayerParameters, kept: Kept) -> KernelLlamaLayer:
    return KernelLlamaLayer(
        qkv=kept.matrix(layer.qkv),
        attention_out=kept.matrix(layer.attention_out),
        gate_up=kept.matrix(layer.gate_up),
        down=kept.matrix(layer.down),
        attention_norm=kept.pointer(layer.attention_norm, np.int32),
        mlp_norm=kept.pointer(layer.mlp_norm, np.int32),
    )
