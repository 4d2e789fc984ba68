"""SmolLM2-135M in both arithmetics, and real English to feed it: the topics of Python's own help."""

import json
from collections.abc import Sequence
from functools import cache
from pydoc_data.topics import topics
from typing import Any

import torch
from safetensors.torch import load_file

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.exact import kernels
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import by_name
from node_agent.execution.exact.llama.decoding import DecodingTask, generate
from node_agent.execution.exact.llama.kernels import KernelLlama
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.port import LlamaModel
from node_agent.execution.exact.ways import timed
from node_agent.execution.kinds.generation import MODELS
from node_agent.models import ModelStore

EXACT, FLOAT = "smollm2-135m-exact", "smollm2-135m"
WORDING = MODELS[EXACT].wording


SETS = {"default": "portable", "avx2": "avx2", "avx512": "avx512vnni"}
"""Kernels by the instructions that they may use."""


def exact(products: str, instructions: str, threads: int) -> LlamaModel:
    """The model of the exact engine on the CPU: by kernels, or by torch, multiplying in one way of `products.ALL`."""
    if products == "kernels":
        return KernelLlama(parameters(), kernels.loaded(SETS[instructions], threads), kept_bytes=0)
    return EagerLlama(parameters(), by_name(products), torch.device("cpu"))


@cache
def parameters() -> Parameters:
    """The model file of the exact engine."""
    return read_model(ModelStore().load(EXACT).weights)


@cache
def fastest(threads: int) -> KernelLlama:
    """The model by the fastest set of kernels of this CPU, of those that ASSAY_KERNELS allows. It remembers no text."""
    made = [KernelLlama(parameters(), kernels.loaded(name, threads), kept_bytes=0) for name in kernels.available()]
    task = DecodingTask(english()[:16], 16, frozenset())
    return min(made, key=lambda model: timed(lambda: generate(model, [task])))


def plain(dtype: torch.dtype) -> Any:
    """The same (dequantised Q4_1) weights in transformers, as its users run them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    files = ModelStore().load(FLOAT)
    model = LlamaForCausalLM(LlamaConfig(**json.loads(files.config.read_bytes()))).eval()
    state = load_file(files.weights)
    model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    return model.to(dtype)


@cache
def tokenizer() -> TextTokenizer:
    """The model's."""
    files = ModelStore().load(EXACT)
    return TextTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)


def english() -> list[int]:
    """The tokens of all topics, in the order of their names."""
    return [token for name in sorted(topics) for token in tokenizer().encode(topics[name])]


def prompt(ids: Sequence[int]) -> list[int]:
    """The tokens of a user message with the chat template's around them."""
    return [*WORDING.before, *ids, *WORDING.after]


def prompts(count: int, longest: int = 48) -> list[list[int]]:
    """Chat prompts around pieces of that text of 4 to `longest` tokens, the same at every call."""
    text = english()
    lengths = [4 + 7 * index % (longest - 3) for index in range(count)]
    starts = [index * (len(text) - longest) // count for index in range(count)]
    return [prompt(text[start : start + length]) for start, length in zip(starts, lengths, strict=True)]


def stops() -> frozenset[int]:
    """Tokens that end an answer."""
    return frozenset(WORDING.stops)


def chunks(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    """Whole pieces of `size` tokens; a shorter rest is left out."""
    return [tokens[start : start + size] for start in range(0, len(tokens) - size + 1, size)]
