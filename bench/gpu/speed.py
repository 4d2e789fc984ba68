"""Speed beside plain transformers on one device, in turns in one process.

Each round measures every engine once at one batch, so that what else the machine does hits all of them; ratios are
taken round by round and their median reported. `exact` is all that a node does: the model, reading every logit back,
the trace, the choice; `exact_model` is its model alone, with the choice on the device as transformers has it.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

from bench.gpu import models
from node_agent.execution import determinism
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.ways import EagerWay
from node_agent.execution.exact.llama.decoding import PREFILL_ROWS, DecodingBatch, DecodingTask
from node_agent.execution.exact.llama.model_file import ExactConfig

BATCHES, PROMPT, STEPS, ROUNDS = (1, 8, 32, 64), 256, 64, 7
TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

Prompts = Sequence[Sequence[int]]


def measure(
    way: EagerWay,
    config: ExactConfig = models.SMOLLM2,
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Seconds of each round at each batch: prefill of PROMPT tokens a text, then STEPS decode steps."""
    determinism.full_precision()
    mine = models.exact(way, config)
    theirs = {name: models.plain(dtype, way.device, config) for name, dtype in TYPES.items()}
    engines: dict[str, Callable[[Prompts], dict[str, float]]] = {
        "exact": lambda prompts: _node(mine, prompts),
        "exact_model": lambda prompts: _model(mine, prompts),
    }
    engines |= {name: lambda prompts, model=model: _plain(model, prompts) for name, model in theirs.items()}
    found: dict[str, Any] = {"prompt_tokens": PROMPT, "decode_steps": STEPS, "batches": {}}
    for batch in batches:
        prompts = [models.prompt(index, PROMPT, config) for index in range(batch)]
        for each in engines.values():
            each(prompts)  # warms up, and captures graphs
        seconds = [{name: each(prompts) for name, each in engines.items()} for _ in range(rounds)]
        found["batches"][str(batch)] = {"seconds": seconds, "ratios": _ratios(seconds)}
    return found


def _ratios(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Medians of how many times as fast as transformers the exact engine is, by engine, other and part."""
    return {
        f"{part}_{mine}_to_{other}": median(each[other][part] / each[mine][part] for each in rounds)
        for part in ("prefill", "decode")
        for mine in ("exact", "exact_model")
        for other in TYPES
    }


def _node(model: EagerLlama, prompts: Prompts) -> dict[str, float]:
    batch, start = DecodingBatch(model), _now(model.device)
    for text, prompt in enumerate(prompts):
        batch.join(DecodingTask(prompt, STEPS + 1, frozenset(), text=text))
    for _ in range(0, PROMPT, PREFILL_ROWS):
        batch.step()
    middle = _now(model.device)
    while batch.running:
        batch.step()
    return {"prefill": middle - start, "decode": _now(model.device) - middle}


@torch.inference_mode()
def _model(model: EagerLlama, prompts: Prompts) -> dict[str, float]:
    start = _now(model.device)
    caches = [model.new_cache(PROMPT + STEPS) for _ in prompts]
    for cut in range(0, PROMPT, PREFILL_ROWS):
        chunks = [prompt[cut : cut + PREFILL_ROWS] for prompt in prompts]
        hidden = model.forward(list(zip(chunks, caches, strict=True)))  # (T, C)
    last = torch.arange(1, len(prompts) + 1, device=model.device) * len(chunks[0]) - 1
    tokens = model.logits(hidden.index_select(0, last)).argmax(-1).tolist()
    middle = _now(model.device)
    for _ in range(STEPS):
        batch = list(zip(tokens, caches, strict=True))
        if model.static_decoding:
            logits = model.decoder_of(caches).logits(batch)
        else:
            logits = model.logits(model.forward([([token], cache) for token, cache in batch]))
        tokens = logits.argmax(-1).tolist()
    return {"prefill": middle - start, "decode": _now(model.device) - middle}


@torch.inference_mode()
def _plain(model: Any, prompts: Prompts) -> dict[str, float]:
    start = _now(model.device)
    found = model(torch.tensor(prompts, device=model.device), use_cache=True, logits_to_keep=1)
    tokens = found.logits[:, -1].argmax(-1, keepdim=True)
    middle = _now(model.device)
    for _ in range(STEPS):
        found = model(tokens, past_key_values=found.past_key_values, use_cache=True)
        tokens = found.logits[:, -1].argmax(-1, keepdim=True)
    return {"prefill": middle - start, "decode": _now(model.device) - middle}


def _now(device: torch.device) -> float:
    """Seconds, with all work of the device done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
