"""A small BERT encoder in plain eager torch: the same operations on CPU and CUDA, one text, fp32.

References:
- BERT, arXiv:1810.04805 (post-norm encoder, learned positions); GELU with erf, arXiv:1606.08415
- tensor names: Hugging Face `BertModel`
- MiniLM, arXiv:2002.10957, is such an encoder with six layers of width 384

Shapes: T tokens, C width, H heads, D = C / H head width, F feed-forward width, V vocabulary.

Attention is written out (two products and a softmax), unmasked: there is one text, whole, and nothing is padded.
Weights are kept (in, out), so that `x @ w` streams whole rows.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from node_agent.execution.floats.state import StateReader
from node_agent.execution.model_files import require_safetensors
from node_agent.execution.published import BertConfig


@dataclass(frozen=True)
class BertLinear:
    """A product and a bias."""

    weight: Tensor  # (in, out)
    bias: Tensor  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        """(T, in) to (T, out)."""
        return x @ self.weight + self.bias


@dataclass(frozen=True)
class BertNorm:
    """Layer normalisation."""

    weight: Tensor  # (C,)
    bias: Tensor  # (C,)
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """(T, C) to (T, C)."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class BertLayer:
    """One block's weights; queries, keys and values fused into one product."""

    qkv: BertLinear  # (C, 3C)
    attention_out: BertLinear  # (C, C)
    attention_norm: BertNorm
    up: BertLinear  # (C, F)
    down: BertLinear  # (F, C)
    out_norm: BertNorm


class Bert:
    """An encoder on one device.

    Attributes:
        layers: the blocks in order. Replacing or dropping one gives another model, and another trace.
    """

    def __init__(
        self, config: BertConfig, words: Tensor, positions: Tensor, norm: BertNorm, layers: list[BertLayer]
    ) -> None:
        """Assemble a model.

        Args:
            config: sizes and constants.
            words: (V, C).
            positions: (positions, C), the embedding of token type 0 added: there is one text, of type 0.
            norm: of the embeddings' sum.
            layers: the blocks.
        """
        self.config = config
        self.layers = layers
        self.device = words.device
        self._words, self._positions, self._norm = words, positions, norm

    @classmethod
    def load(cls, weights: Path, config: Path, device: torch.device) -> Self:
        """Load from safetensors and config.json. Raises UnsafeModelFormat, UnsupportedModel."""
        require_safetensors(weights)
        with safe_open(weights, framework="pt") as file:
            return cls.from_state(BertConfig.read(config), frozenset(file.keys()), file.get_tensor, device)

    @classmethod
    def from_state(
        cls, config: BertConfig, names: Collection[str], tensor: Callable[[str], Tensor], device: torch.device
    ) -> Self:
        """Build from tensors with Hugging Face names. Raises UnsupportedModel for missing or misshapen ones."""
        take = _BertState(config, names, tensor, device)
        c, width = config, config.hidden_size
        words = take("embeddings.word_embeddings.weight", c.vocab_size, width)
        types = take("embeddings.token_type_embeddings.weight", c.type_vocab_size, width)
        positions = take("embeddings.position_embeddings.weight", c.max_position_embeddings, width) + types[0]
        layers = [take.layer(f"encoder.layer.{index}.") for index in range(c.num_hidden_layers)]
        return cls(config, words, positions, take.norm("embeddings.LayerNorm"), layers)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """The hidden states of one text.

        Args:
            tokens: (T,) int64 ids on the model's device, start and end included.

        Returns:
            (T, C) after the embeddings and after each layer, in order; the last is the encoder's output.
        """
        x = self._norm(self._words.index_select(0, tokens) + self._positions[: tokens.shape[0]])  # (T, C)
        states = [x]
        for layer in self.layers:
            x = layer.attention_norm(x + layer.attention_out(self._attention(layer, x)))
            x = layer.out_norm(x + layer.down(F.gelu(layer.up(x))))
            states.append(x)
        return states

    def _attention(self, layer: BertLayer, x: Tensor) -> Tensor:
        t, heads = x.shape[0], self.config.num_attention_heads
        d = x.shape[1] // heads
        query, key, value = layer.qkv(x).view(t, 3, heads, d).permute(1, 2, 0, 3)  # (H, T, D) each
        weights = torch.bmm(query, key.transpose(1, 2)).mul(d**-0.5).softmax(-1)  # (H, T, T)
        return torch.bmm(weights, value).transpose(0, 1).reshape(t, heads * d)  # (T, C)


class _BertState(StateReader):
    """See `StateReader`."""

    def __init__(self, config: BertConfig, *state: Any) -> None:
        super().__init__(*state)
        self._config = config

    def norm(self, name: str) -> BertNorm:
        width = self._config.hidden_size
        return BertNorm(self(f"{name}.weight", width), self(f"{name}.bias", width), self._config.layer_norm_eps)

    def linear(self, *names: str, fan_in: int, fan_out: int) -> BertLinear:
        """One product, or several of the same input side by side."""
        weights = [self(f"{name}.weight", fan_out, fan_in) for name in names]
        biases = [self(f"{name}.bias", fan_out) for name in names]
        return BertLinear(torch.cat(weights).t().contiguous(), torch.cat(biases))

    def layer(self, prefix: str) -> BertLayer:
        width, inner = self._config.hidden_size, self._config.intermediate_size
        attention = f"{prefix}attention."
        fused = [f"{attention}self.{name}" for name in ("query", "key", "value")]
        return BertLayer(
            qkv=self.linear(*fused, fan_in=width, fan_out=width),
            attention_out=self.linear(f"{attention}output.dense", fan_in=width, fan_out=width),
            attention_norm=self.norm(f"{attention}output.LayerNorm"),
            up=self.linear(f"{prefix}intermediate.dense", fan_in=width, fan_out=inner),
            down=self.linear(f"{prefix}output.dense", fan_in=inner, fan_out=width),
            out_norm=self.norm(f"{prefix}output.LayerNorm"),
        )
