"""A Llama with its published weights, in fp32, bf16 or fp16: texts of unequal length in a batch, two attention kernels.

It rounds where Hugging Face's `LlamaForCausalLM` does: products, residuals and rotary embedding in the model's type,
norms and softmax in fp32. Configuration and rotary tables are those of `floats/llama.py`.

Shapes: B texts, T new positions each, S positions of the longest text so far (new ones included), C model width,
H query heads, K key/value heads, G = H / K, D head width, F feed-forward width, V vocabulary, L layers.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from node_agent.execution.floats.llama import rotary_tables, rotate
from node_agent.execution.floats.state import LlamaLayer, StateReader
from node_agent.execution.model_files import require_safetensors
from node_agent.execution.native.settings import DTYPES, NativeSettings
from node_agent.execution.published import LlamaConfig


class NativeCache:
    """Keys and values of a batch, room for `positions` set aside at once; each text fills its row from the front."""

    def __init__(self, keys: Tensor, values: Tensor, used: list[int]) -> None:
        self.keys, self.values = keys, values  # (L, B, K, positions, D) each
        self.used = used

    def row(self, index: int) -> "NativeCache":
        """One text's row, in the same memory. The caller updates `used`."""
        one = slice(index, index + 1)
        return NativeCache(self.keys[:, one], self.values[:, one], self.used[one])


class NativeLlama:
    """A model on one device under fixed settings.

    Attributes:
        layers: the blocks in order. Replacing or dropping one gives another model.
    """

    def __init__(
        self,
        config: LlamaConfig,
        settings: NativeSettings,
        layers: list[LlamaLayer],
        embedding: Tensor,
        head: Tensor,
        final_norm: Tensor,
    ) -> None:
        """`embedding`, `head`: (V, C), the same tensor where they are tied; `final_norm`: (C,)."""
        self.config, self.settings = config, settings
        self.layers, self.embedding, self.head, self.final_norm = layers, embedding, head, final_norm
        self.device, self.dtype = head.device, DTYPES[settings.dtype]
        cos, sin = rotary_tables(config, self.device)
        self._cos, self._sin = cos.to(self.dtype), sin.to(self.dtype)  # (positions, D) each

    @classmethod
    def load(cls, weights: Path, config: Path, settings: NativeSettings, device: torch.device) -> Self:
        """Load safetensors of any of the three types and a config.json. Raises UnsafeModelFormat, UnsupportedModel."""
        require_safetensors(weights)
        with safe_open(weights, framework="pt") as file:
            return cls.from_state(LlamaConfig.read(config), frozenset(file.keys()), file.get_tensor, settings, device)

    @classmethod
    def from_state(
        cls,
        config: LlamaConfig,
        names: Collection[str],
        tensor: Callable[[str], Tensor],
        settings: NativeSettings,
        device: torch.device,
    ) -> Self:
        """Build from tensors with Hugging Face names, cast to the settings' type.

        Raises:
            UnsupportedModel: a tensor is missing, misshapen, or of a type that is not a float's.
        """
        take = StateReader(names, tensor, device, DTYPES[settings.dtype], DTYPES.values())
        table = (config.vocab_size, config.hidden_size)
        embedding = take("model.embed_tokens.weight", *table)
        head = embedding if config.tie_word_embeddings else take("lm_head.weight", *table)
        layers = [take.llama_layer(config, index) for index in range(config.num_hidden_layers)]
        return cls(config, settings, layers, embedding, head, take("model.norm.weight", config.hidden_size))

    def new_cache(self, texts: int, positions: int) -> NativeCache:
        """An empty cache for a batch."""
        c = self.config
        shape = (len(self.layers), texts, c.num_key_value_heads, positions, c.head_dim)
        keys, values = (torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(2))
        return NativeCache(keys, values, [0] * texts)

    def forward(self, tokens: Tensor, cache: NativeCache) -> Tensor:
        """Compute the next positions of every text of a batch and append them to the cache.

        Args:
            tokens: (B, T) int64 ids on the model's device.
            cache: what came before; its B texts may be of unequal length.

        Returns:
            (B, T, C) final hidden states, normalised: the input of `logits`.
        """
        used = torch.tensor(cache.used, device=self.device)  # (B,)
        positions = used[:, None] + torch.arange(tokens.shape[1], device=self.device)  # (B, T)
        seen = max(cache.used) + tokens.shape[1]
        allowed = torch.arange(seen, device=self.device) <= positions[:, :, None]  # (B, T, S)
        turn = self._cos[positions, None], self._sin[positions, None]  # (B, T, 1, D) each
        x = F.embedding(tokens, self.embedding)  # (B, T, C)
        for index, layer in enumerate(self.layers):
            normed = self._norm(x, layer.attention_norm)
            keys, values = cache.keys[index], cache.values[index]
            x = x + self._attention(layer, normed, turn, positions, allowed, keys, values)
            x = x + self._mlp(layer, self._norm(x, layer.mlp_norm))
        cache.used[:] = [each + tokens.shape[1] for each in cache.used]
        return self._norm(x, self.final_norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., C) hidden states to (..., V) logits in fp32."""
        return F.linear(hidden, self.head).float()

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        wide = x.float()  # (B, T, C)
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return weight * scaled.to(self.dtype)

    def _attention(
        self,
        layer: LlamaLayer,
        x: Tensor,
        turn: tuple[Tensor, Tensor],
        positions: Tensor,
        allowed: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        c = self.config
        (b, t), heads, shared, d = x.shape[:2], c.num_attention_heads, c.num_key_value_heads, c.head_dim
        qkv = F.linear(x, layer.qkv).view(b, t, heads + 2 * shared, d)  # (B, T, H + 2K, D)
        rotated = rotate(qkv[:, :, : heads + shared], *turn)  # (B, T, H + K, D)
        texts = torch.arange(b, device=self.device)[:, None]  # (B, 1)
        keys[texts, :, positions] = rotated[:, :, heads:]
        values[texts, :, positions] = qkv[:, :, heads + shared :]
        seen = allowed.shape[-1]
        query = rotated[:, :, :heads].transpose(1, 2)  # (B, H, T, D)
        attend = self._fused if self.settings.attention == "sdpa" else self._written_out
        mixed = attend(query, keys[:, :, :seen], values[:, :, :seen], allowed)  # (B, H, T, D)
        return F.linear(mixed.transpose(1, 2).reshape(b, t, heads * d), layer.attention_out)  # (B, T, C)

    def _fused(self, query: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
        """Shapes as `_written_out`."""
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=allowed[:, None], enable_gqa=True)

    def _written_out(self, query: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
        """(B, H, T, D) queries, (B, K, S, D) keys and values, (B, T, S) mask, to (B, H, T, D)."""
        b, heads, t, d = query.shape
        shared = keys.shape[1]
        grouped = query.reshape(b, shared, heads // shared * t, d)  # (B, K, G T, D)
        scores = (grouped @ keys.transpose(2, 3)).view(b, shared, -1, t, keys.shape[2]) * d**-0.5  # (B, K, G, T, S)
        scores = scores.masked_fill(~allowed[:, None, None], float("-inf"))
        weights = scores.softmax(-1, dtype=torch.float32).to(self.dtype)
        mixed: Tensor = weights.view(b, shared, -1, keys.shape[2]) @ values  # (B, K, G T, D)
        return mixed.view(b, heads, t, d)

    @staticmethod
    def _mlp(layer: LlamaLayer, x: Tensor) -> Tensor:
        gate, up = F.linear(x, layer.gate_up).chunk(2, -1)  # (B, T, F) each
        return F.linear(F.silu(gate) * up, layer.down)  # (B, T, C)


def batch_of(tokens: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(B, T) ids of texts that all read as many tokens."""
    return torch.tensor([list(each) for each in tokens], device=device)
