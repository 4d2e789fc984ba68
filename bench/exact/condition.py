"""One setting of the exactness bench, in a process of its own: `python -m bench.exact.condition SETTING WORK`.

SETTING is a `Condition` as JSON. WORK is a file with the prompts, how many tokens each is answered with, and, for the
ways that read instead of generating, the answers. Prints {"texts", "answers", "capability"} as JSON: a
fingerprint and the tokens of each text, and the instructions that ran.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from bench.exact import models
from node_agent.execution import determinism
from node_agent.execution.exact.llama.decoding import DecodingBatch, DecodingRun, DecodingTask
from node_agent.execution.exact.port import LlamaModel, Reading

RAGGED = 8
"""Texts under way at once where they come and go; a new one joins at each step."""

WIDTHS = {"prefill": (1024,), "chunks": (7,)}
"""Positions of a text that are read at once. Ragged chunks are of several sizes."""
RAGGED_WIDTHS = (7, 31, 64, 13)


@dataclass(frozen=True)
class Condition:
    """What must not matter.

    Attributes:
        threads: of torch, or of the kernels.
        batch: texts at once: "1", "4", "8", or "ragged", joining and leaving at any step.
        instructions: "default", "avx2" or "avx512": ATEN_CPU_CAPABILITY, and which set of kernels.
        products: one of `products.ALL` by torch, or "kernels".
        way: "decode" generates; "prefill" reads prompt and answer in large pieces, "chunks" a few positions at a time.
    """

    threads: int
    batch: str
    instructions: str
    products: str
    way: str


def generated(model: LlamaModel, prompts: Sequence[Sequence[int]], new: int, batch: str) -> list[DecodingRun]:
    """Answer each prompt with `new` tokens."""
    runs, step = [], DecodingBatch(model)
    size = RAGGED if batch == "ragged" else int(batch)
    waiting = iter([DecodingTask(prompt, new, frozenset(), text=index) for index, prompt in enumerate(prompts)])
    while True:
        free = size - len(step.running)
        joins = free if not step.running else min(free, 1) if batch == "ragged" else 0
        runs += [step.join(task) for task in islice(waiting, joins)]
        if not step.running:
            return runs
        step.step()


def read(
    model: LlamaModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], way: str, batch: str
) -> list[DecodingRun]:
    """Read each prompt with its answer, and choose again at every position of the answer."""
    texts = list(zip(range(len(prompts)), prompts, answers, strict=True))
    group = RAGGED if batch == "ragged" else int(batch)
    widths = RAGGED_WIDTHS if way == "chunks" and batch == "ragged" else WIDTHS[way]
    groups = [texts[start : start + group] for start in range(0, len(texts), group)]
    return [run for some in groups for run in _read_together(model, some, widths)]


def _read_together(
    model: LlamaModel, texts: Sequence[tuple[int, Sequence[int], Sequence[int]]], widths: Sequence[int]
) -> Iterator[DecodingRun]:
    runs = [
        DecodingRun(DecodingTask(prompt, len(answer), frozenset(), text=text), model.exp2)
        for text, prompt, answer in texts
    ]
    whole = [[*prompt, *answer[:-1]] for _, prompt, answer in texts]
    caches = [model.new_cache(len(tokens)) for tokens in whole]
    while left := [index for index, cache in enumerate(caches) if cache.used < len(whole[index])]:
        batch = [_reading(whole[i], caches[i], widths[i % len(widths)], len(runs[i].task.prompt) - 1) for i in left]
        rows = iter(model.read(batch))
        for index, reading in zip(left, batch, strict=True):
            for logits in islice(rows, reading.wanted):
                runs[index].take(logits)
    yield from runs


def _reading(tokens: Sequence[int], cache: Any, width: int, first: int) -> Reading[Any]:
    """The next piece of a text; logits are wanted from position `first` on."""
    end = min(len(tokens), cache.used + width)
    return Reading(tokens[cache.used : end], cache, max(0, end - max(first, cache.used)))


def fingerprint(run: DecodingRun) -> str:
    """Hex sha256 of a text's tokens and of the logits that they were chosen from."""
    return hashlib.sha256(json.dumps(run.chosen).encode() + run.trace.shown().root()).hexdigest()


def main(setting: str, work: str) -> None:
    """Runs the setting and prints what it found."""
    condition = Condition(**json.loads(setting))
    given: dict[str, Any] = json.loads(Path(work).read_text())
    torch.set_num_threads(condition.threads)
    determinism.full_precision()
    model = models.exact(condition.products, condition.instructions, condition.threads)
    if condition.way == "decode":
        runs = generated(model, given["prompts"], given["new"], condition.batch)
    else:
        runs = read(model, given["prompts"], given["answers"], condition.way, condition.batch)
    found = {
        "texts": [fingerprint(run) for run in runs],
        "answers": [run.chosen for run in runs],
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
