"""Speed beside what an operator would run instead, and what a check costs.

Every round measures each engine once, one after the other on the same cores, so that what else the machine does hits
all of them; a ratio is taken round by round, and the median is reported. Ours is the whole of what a node does: tokens
chosen and logits traced; llama.cpp's tool and transformers choose nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch

from bench.exact import models, peer
from node_agent.execution import determinism
from node_agent.execution.exact.llama.decoding import DecodingTask, generate, recheck
from node_agent.execution.exact.port import LlamaModel

READ, WRITTEN, ROUNDS, CHECKS = 64, 256, 7, 21
SETTINGS = ((1, 1), (1, 8), (2, 1), (2, 8))
"""Threads, and texts at once."""
TRANSFORMERS_STEPS = 16
"""Tokens that transformers write: their speed does not depend on how many."""

Seconds = Mapping[str, float]
Engine = Callable[[], Seconds]


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of each round in each setting, ratios to each engine, and checks."""
    determinism.full_precision()
    plain = {"transformers fp32": models.plain(torch.float32), "transformers bf16": models.plain(torch.bfloat16)}
    text = models.english()
    prompts = [text[start : start + READ] for start in range(0, 8 * READ, READ)]
    found: dict[str, Any] = {"peer": peer.BUILD, "settings": {}}
    for threads, batch in SETTINGS:
        mine = models.fastest(threads)
        engines: dict[str, Engine] = {
            "exact": lambda mine=mine, batch=batch: ours(mine, prompts[:batch]),  # type: ignore[misc]
            "llama.cpp Q8_0": lambda t=threads, b=batch: peer.measured(t, b, READ, WRITTEN),  # type: ignore[misc]
        }
        if batch == 1:
            engines |= {name: lambda model=model: _plain(model, prompts[0]) for name, model in plain.items()}  # type: ignore[misc]
        torch.set_num_threads(threads)
        rows = [{name: dict(each()) for name, each in engines.items()} for _ in range(rounds)]
        found["settings"][f"{threads} threads, batch {batch}"] = {
            "way": mine.kernels.way, "rounds": rows, "ratios": {name: _ratios(rows, name) for name in engines},
        }  # fmt: skip
    one = models.fastest(1)
    found["check"] = {str(batch): _checks(one, prompts[:batch], CHECKS if batch == 1 else 5) for batch in (1, 8)}
    return found


def _ratios(rows: Sequence[Mapping[str, Seconds]], name: str) -> dict[str, float]:
    """How many times as fast ours is, and its rate and the other's in tokens a second."""
    return {part: median(row[name][part] / row["exact"][part] for row in rows) for part in ("read", "write")}


def ours(model: LlamaModel, prompts: Sequence[Sequence[int]]) -> Seconds:
    """Seconds for reading prompts, up to the first token of each, and for writing the rest of WRITTEN tokens."""
    start = time.perf_counter()
    generate(model, [DecodingTask(prompt, 1, frozenset()) for prompt in prompts])
    middle = time.perf_counter()
    generate(model, [DecodingTask(prompt, 1 + WRITTEN, frozenset()) for prompt in prompts])
    whole = time.perf_counter() - middle
    return {"read": middle - start, "write": whole - (middle - start)}


@torch.inference_mode()
def _plain(model: Any, prompt: Sequence[int]) -> Seconds:
    start = time.perf_counter()
    found = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    token = found.logits[:, -1:].argmax(-1)[:, 0:1]
    middle = time.perf_counter()
    for _ in range(TRANSFORMERS_STEPS):
        found = model(token, past_key_values=found.past_key_values, use_cache=True)
        token = found.logits[:, -1].argmax(-1, keepdim=True)
    return {"read": middle - start, "write": (time.perf_counter() - middle) * WRITTEN / TRANSFORMERS_STEPS}


def _checks(model: LlamaModel, prompts: Sequence[Sequence[int]], times: int) -> dict[str, Any]:
    """Generating READ + WRITTEN tokens for some texts together, then checking each of them by one pass: the median."""
    tasks = [DecodingTask(prompt, WRITTEN, frozenset(), text=index) for index, prompt in enumerate(prompts)]
    rows = []
    for _ in range(times):
        start = time.perf_counter()
        runs = generate(model, tasks)
        middle = time.perf_counter()
        for task, run in zip(tasks, runs, strict=True):
            again = recheck(model, task, run.chosen)
            if again is None or again.chosen != run.chosen:
                raise SystemExit("a check did not find what was generated")
        rows.append({"generation": middle - start, "check": time.perf_counter() - middle})
    percent = median(100 * row["check"] / row["generation"] for row in rows)
    return {"rows": rows, "percent": percent, "checks": times * len(prompts)}
