"""Models of SmolLM2-135M's shape that need no download: fixed integers for the exact engine, noise for transformers.

Speed does not depend on what the weights say, and equality of bits holds for any weights.
"""

from typing import Any

import torch

from node_agent.execution.exact import golden
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.ways import EagerWay
from node_agent.execution.exact.llama.model_file import ExactConfig

SMOLLM2 = ExactConfig(
    vocab_size=49_152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    positions=1024,
    tied=True,
    epsilon=6_333_186_976,  # 1e-5 * 576 * 2^40
    query_bits=10,
    key_bits=10,
    source_sha256="0" * 64,
)

QKV_EXPONENT = 34
"""Scores of a few bits: attention is neither even nor a choice of one position."""


def exact(way: EagerWay, config: ExactConfig = SMOLLM2) -> EagerLlama:
    """The exact engine's model, computed in a way."""
    return way.llama(golden.fixed_llama(config, QKV_EXPONENT))


def plain(dtype: torch.dtype, device: torch.device, config: ExactConfig = SMOLLM2) -> Any:
    """A model of the same shape in transformers, as its users run it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            max_position_embeddings=config.positions,
            tie_word_embeddings=config.tied,
        )
    )
    return model.eval().to(device, dtype)


def prompt(index: int, length: int, config: ExactConfig = SMOLLM2) -> list[int]:
    """A text of any tokens, the same on every host."""
    found: list[int] = (golden.mixed(length, 4 + index) % config.vocab_size).tolist()
    return found


def prompts(count: int, config: ExactConfig = SMOLLM2, longest: int = 64) -> list[list[int]]:
    """The first texts of a fixed sequence of texts of 1 to `longest` tokens."""
    return [prompt(index, 1 + int(noise) % longest, config) for index, noise in enumerate(golden.mixed(count, 3))]
