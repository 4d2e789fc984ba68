"""Speed beside plain transformers, in turns in one process, and what a check costs.

Each round measures every engine once, so that what else the machine does hits all of them; a ratio is taken round by
round and its median reported.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch

from bench.exact import models
from node_agent.execution import determinism
from node_agent.execution.exact.eager import ways
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.llama.decoding import PREFILL_ROWS, DecodingTask, generate, recheck

PROMPT, NEW, ROUNDS = 64, 256, 7
DECODE_STEPS = 32


def measure(threads: int = 1, rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of each round: prefill of PROMPT tokens, DECODE_STEPS steps after it, and a check of PROMPT + NEW."""
    torch.set_num_threads(threads)
    determinism.full_precision()
    mine = models.exact(ways.sound_products("cpu").name)
    theirs = {"fp32": models.plain(torch.float32), "bf16": models.plain(torch.bfloat16)}
    text = models.english()
    rows = [text[start : start + PROMPT] for start in range(0, 8 * PROMPT, PROMPT)]
    engines: dict[str, Callable[[], Mapping[str, float]]] = {"exact": lambda: _exact(mine, rows[0])}
    engines |= {name: lambda model=model: _plain(model, rows[0]) for name, model in theirs.items()}
    found: dict[str, Any] = {"threads": threads, "products": mine.products.name, "rounds": []}
    for each in engines.values():
        each()  # warms up
    for _ in range(rounds):
        found["rounds"].append({name: dict(each()) for name, each in engines.items()})
    found["ratios"] = {
        part: median(each["fp32"][part] / each["exact"][part] for each in found["rounds"])
        for part in ("prefill", "decode")
    }
    found["check"] = {str(batch): _check(mine, rows[:batch]) for batch in (1, 8)}
    return found


@torch.inference_mode()
def _exact(model: EagerLlama, prompt: Sequence[int]) -> dict[str, float]:
    cache = model.new_cache(PROMPT + DECODE_STEPS)
    start = time.perf_counter()
    for cut in range(0, PROMPT, PREFILL_ROWS):
        hidden = model.forward([(prompt[cut : cut + PREFILL_ROWS], cache)])
    token = int(model.logits(hidden[-1:])[0].argmax())
    middle = time.perf_counter()
    for _ in range(DECODE_STEPS):
        token = int(model.logits(model.forward([([token], cache)]))[0].argmax())
    return {"prefill": middle - start, "decode": time.perf_counter() - middle}


@torch.inference_mode()
def _plain(model: Any, prompt: Sequence[int]) -> dict[str, float]:
    start = time.perf_counter()
    found = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    token = found.logits[:, -1:].argmax(-1)[:, 0:1]
    middle = time.perf_counter()
    for _ in range(DECODE_STEPS):
        found = model(token, past_key_values=found.past_key_values, use_cache=True)
        token = found.logits[:, -1].argmax(-1, keepdim=True)
    return {"prefill": middle - start, "decode": time.perf_counter() - middle}


def _check(model: EagerLlama, prompts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Generating PROMPT + NEW for some texts together, and checking each by one pass."""
    tasks = [DecodingTask(prompt, NEW, frozenset(), text=index) for index, prompt in enumerate(prompts)]
    start = time.perf_counter()
    runs = generate(model, tasks)
    middle = time.perf_counter()
    for task, run in zip(tasks, runs, strict=True):
        again = recheck(model, task, run.chosen)
        if again is None or again.chosen != run.chosen:
            raise SystemExit("a check did not find what was generated")
    seconds = time.perf_counter() - middle
    return {"generation": middle - start, "check": seconds, "percent": 100 * seconds / (middle - start)}
