"""A small Llama in plain eager torch: the same operations on CPU and CUDA, batch 1, fp32.

References:
- Llama 2, arXiv:2307.09288; grouped-query attention, arXiv:2305.13245
- RMSNorm, arXiv:1910.07467; rotary embedding, arXiv:2104.09864; SwiGLU, arXiv:2002.05202
- tensor names and the half-split rotary layout: Hugging Face `LlamaForCausalLM`
- shape comments: nanoGPT

Shapes: T new positions, S positions so far (new ones included), C model width, H query heads, K key/value heads,
G = H / K query heads per key/value head, D head width, F feed-forward width, V vocabulary.

Attention is written out (two products and a softmax): a fused kernel may choose another algorithm by size or device.
Weights are kept (in, out), so that `x @ w` streams whole rows: 1.4-1.9 times faster at T = 1 on CPU than (out, in).
"""

from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from node_agent.execution.floats.state import LlamaLayer, StateReader
from node_agent.execution.model_files import require_safetensors
from node_agent.execution.published import LlamaConfig

LOGIT_ROWS = 64
"""Positions per output product of a prompt, V * 4 bytes of logits each. Another number can change the last bits."""


class KeyValueCache:
    """Keys and values of all layers, room for `positions` set aside at once, filled from the front."""

    def __init__(self, layers: int, positions: int, config: LlamaConfig, device: torch.device) -> None:
        shape = (layers, config.num_key_value_heads, positions, config.head_dim)
        self.keys = torch.zeros(shape, device=device)  # (L, K, positions, D)
        self.values = torch.zeros(shape, device=device)  # (L, K, positions, D)
        self.used = 0

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's (K, T, D) keys and values, and return all (K, S, D) so far."""
        end = self.used + key.shape[1]
        self.keys[layer, :, self.used : end] = key
        self.values[layer, :, self.used : end] = value
        return self.keys[layer, :, :end], self.values[layer, :, :end]


class Llama:
    """A Llama model on one device.

    Attributes:
        layers: the blocks in order. Replacing or dropping one gives another model, and another trace.
    """

    def __init__(
        self, config: LlamaConfig, embedding: Tensor, head: Tensor, layers: list[LlamaLayer], final_norm: Tensor
    ) -> None:
        """Assemble a model.

        Args:
            config: sizes and constants.
            embedding: (C, V), one column a token; the same tensor as `head` where embeddings are tied.
            head: (C, V), the output product.
            layers: the blocks.
            final_norm: (C,).
        """
        self.config = config
        self.embedding = embedding
        self.head = head
        self.layers = layers
        self.final_norm = final_norm
        self.device = head.device
        self._cos, self._sin = rotary_tables(config, self.device)

    @classmethod
    def from_state(
        cls, config: LlamaConfig, names: Collection[str], tensor: Callable[[str], Tensor], device: torch.device
    ) -> Self:
        """Build from tensors with Hugging Face names, each asked for when it is needed, and copied.

        Raises:
            UnsupportedModel: a tensor is missing or has another shape or type.
        """
        take, table = StateReader(names, tensor, device), (config.vocab_size, config.hidden_size)
        layers = [_transposed(take.llama_layer(config, index)) for index in range(config.num_hidden_layers)]
        embedding = take("model.embed_tokens.weight", *table).t().contiguous()
        head = embedding if config.tie_word_embeddings else take("lm_head.weight", *table).t().contiguous()
        return cls(config, embedding, head, layers, take("model.norm.weight", config.hidden_size))

    def new_cache(self, positions: int) -> KeyValueCache:
        """An empty cache with room for `positions`."""
        return KeyValueCache(len(self.layers), positions, self.config, self.device)

    def forward(self, tokens: Tensor, cache: KeyValueCache) -> Tensor:
        """Compute the next positions and append them to the cache.

        Args:
            tokens: (T,) int64 ids on the model's device.
            cache: what came before.

        Returns:
            (T, C) final hidden states, normalised: the input of `logits`.
        """
        start, end = cache.used, cache.used + tokens.shape[0]
        cos, sin = self._cos[start:end, None], self._sin[start:end, None]  # (T, 1, D)
        mask = _future(start, end, self.device) if end - start > 1 else None  # (T, S)
        x = self.embedding.index_select(1, tokens).t().contiguous()  # (T, C)
        for index, layer in enumerate(self.layers):
            x = x + self._attention(index, layer, self._norm(x, layer.attention_norm), cos, sin, mask, cache)
            x = x + self._mlp(layer, self._norm(x, layer.mlp_norm))
        cache.used = end
        return self._norm(x, self.final_norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """(T, C) hidden states to (T, V) logits. Callers pass at most LOGIT_ROWS rows at a time."""
        return hidden @ self.head

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self.config.rms_norm_eps)  # (T, C)

    def _attention(
        self,
        index: int,
        layer: LlamaLayer,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        cache: KeyValueCache,
    ) -> Tensor:
        c = self.config
        t, heads, kv_heads, d = x.shape[0], c.num_attention_heads, c.num_key_value_heads, c.head_dim
        groups = heads // kv_heads
        qkv = (x @ layer.qkv).view(t, heads + 2 * kv_heads, d)  # (T, H + 2K, D)
        rotated = rotate(qkv[:, : heads + kv_heads], cos, sin)  # (T, H + K, D)
        key, value = cache.append(index, rotated[:, heads:].transpose(0, 1), qkv[:, heads + kv_heads :].transpose(0, 1))
        query = rotated[:, :heads].view(t, kv_heads, groups, d).permute(1, 2, 0, 3)  # (K, G, T, D)
        scores = torch.bmm(query.reshape(kv_heads, groups * t, d), key.transpose(1, 2))  # (K, G T, S)
        scores = scores.mul_(d**-0.5).view(kv_heads, groups, t, -1)  # (K, G, T, S)
        if mask is not None:
            scores = scores.masked_fill_(mask, float("-inf"))
        weights = scores.softmax(-1).view(kv_heads, groups * t, -1)  # (K, G T, S)
        mixed = torch.bmm(weights, value).view(kv_heads, groups, t, d)  # (K, G, T, D)
        return mixed.permute(2, 0, 1, 3).reshape(t, heads * d) @ layer.attention_out  # (T, C)

    @staticmethod
    def _mlp(layer: LlamaLayer, x: Tensor) -> Tensor:
        gate, up = (x @ layer.gate_up).chunk(2, -1)  # (T, F) each
        return (F.silu(gate) * up) @ layer.down  # (T, C)


def load_llama(weights: Path, config: Path, device: torch.device) -> Llama:
    """Load a model from safetensors and config.json, reading each tensor once.

    Raises:
        UnsafeModelFormat: the weights are not safetensors or GGUF.
        UnsupportedModel: they are GGUF, which the model store converts, or not a Llama this engine computes.
    """
    require_safetensors(weights)
    with safe_open(weights, framework="pt") as file:
        return Llama.from_state(LlamaConfig.read(config), frozenset(file.keys()), file.get_tensor, device)


def _transposed(layer: LlamaLayer) -> LlamaLayer:
    parts: dict[str, Tensor] = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return LlamaLayer(**{name: part if part.dim() == 1 else part.t().contiguous() for name, part in parts.items()})


def rotary_tables(config: LlamaConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sign-carrying sin, (positions, D) each; made in float64 on the CPU, so every device has the same."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim  # (D/2,)
    positions = torch.arange(config.max_position_embeddings, dtype=torch.float64)  # (positions,)
    angles = torch.outer(positions, config.rope_theta**-half)  # (positions, D/2)
    cos, sin = angles.cos().float(), angles.sin().float()
    return torch.cat((cos, cos), -1).to(device), torch.cat((-sin, sin), -1).to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (..., T, heads, D) by (..., T, 1, D) tables: each half turns against the other."""
    first, second = x.chunk(2, -1)  # (..., D/2) each
    return x * cos + torch.cat((second, first), -1) * sin


def _future(start: int, end: int, device: torch.device) -> Tensor:
    """(T, S) mask, true where a position lies behind the new one."""
    steps = torch.arange(end, device=device)
    return steps[None, :] > steps[start:, None]
