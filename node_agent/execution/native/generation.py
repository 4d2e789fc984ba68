"""Generating with a native model, and checking it by one teacher-forced pass.

The texts of one input form a batch: each prompt is read alone, then all texts advance step by step until the last is
done. Sharing a batch changes the last bits, so a check repeats the whole batch.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution import determinism
from node_agent.execution.floats.llama import LOGIT_ROWS
from node_agent.execution.native.model import NativeCache, NativeLlama, batch_of
from node_agent.execution.native.projection import project
from node_agent.execution.native.sampling import NativeSampling, best, margin_milli, scores

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class GenerationTask:
    """One text to be answered.

    Attributes:
        prompt: its tokens with the template's around them, at least one.
        limit: most new tokens, at least 1.
        stops: tokens that end an answer; the one that does is part of it.
        sampling: how tokens are chosen; its seed also turns the fingerprint.
        text: its index in its input.
    """

    prompt: Sequence[int]
    limit: int
    stops: frozenset[int] = frozenset()
    sampling: NativeSampling = field(default_factory=NativeSampling)
    text: int = 0

    def ended(self, answer: Sequence[int]) -> bool:
        """Whether an answer ends where it must: at its first stop token, or at the limit."""
        stopped = [token in self.stops for token in answer]
        return 0 < len(answer) <= self.limit and not any(stopped[:-1]) and (stopped[-1] or len(answer) == self.limit)


class GenerationRun:
    """A task under way, or done.

    Attributes:
        chosen: the tokens, one for each position taken.
        fingerprint: of the hidden states that they were chosen from (`contracts.protocol.native.fingerprint`).
        margins_milli: for each token, by how much this host prefers another; 0 where it chose the token itself.
    """

    def __init__(self, task: GenerationTask) -> None:
        self.task = task
        self.chosen: list[int] = []
        self.fingerprint = b""
        self.margins_milli: list[int] = []
        self._rows = hashlib.sha256()

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self.task.ended(self.chosen)

    @property
    def rows_digest(self) -> bytes:
        """32 bytes over all logits taken so far."""
        return self._rows.digest()

    def hear(self, hidden: Float32, logits: Float32, claimed: int | None = None) -> int:
        """Take one position's (C,) hidden state and (V,) logits. Returns the claimed token, else the best."""
        text, step, sampling = self.task.text, len(self.chosen), self.task.sampling
        self._rows.update(np.ascontiguousarray(logits, dtype="<f4").data)
        self.fingerprint += project(hidden, sampling.seed, text, step)
        found = scores(logits, sampling, text, step)
        token = best(found) if claimed is None else claimed
        self.margins_milli.append(margin_milli(found, token))
        self.chosen.append(token)
        return token


Listener = Callable[[int, int, Float32], None]
"""Receives (text's place in the batch, step, (C,) hidden state), for measurements."""


@torch.inference_mode()
def generate(
    model: NativeLlama, tasks: Sequence[GenerationTask], listener: Listener | None = None
) -> list[GenerationRun]:
    """Answer texts together, and return them in order."""
    determinism.enforce(model.settings.threads)
    runs = [GenerationRun(task) for task in tasks]
    cache = model.new_cache(len(tasks), max(len(task.prompt) + task.limit for task in tasks))
    last = [_read_prompt(model, task.prompt, cache, row) for row, task in enumerate(tasks)]
    hidden = torch.stack(last)  # (B, C)
    while True:
        rows, logits = _on_host(hidden), _on_host(model.logits(hidden))
        for row, run in enumerate(runs):
            if not run.done:
                if listener:
                    listener(row, len(run.chosen), rows[row])
                run.hear(rows[row], logits[row])
        if all(run.done for run in runs):
            return runs
        # A finished text reads its last token again and is ignored, so that the batch keeps its shape.
        cache.used[:] = [len(run.task.prompt) + len(run.chosen) - 1 for run in runs]
        hidden = model.forward(batch_of([run.chosen[-1:] for run in runs], model.device), cache)[:, 0]


@torch.inference_mode()
def recheck(
    model: NativeLlama, task: GenerationTask, answer: Sequence[int], listener: Listener | None = None
) -> GenerationRun:
    """This host's fingerprint of an answer and its margins, from one teacher-forced pass over prompt and answer.

    Args:
        model: this host's.
        task: what was asked.
        answer: the claimed tokens, at least one; `GenerationTask.ended` says whether they end where they must. A token
            outside the vocabulary gets the largest margin and is read as 0.
        listener: see `Listener`.
    """
    determinism.enforce(model.settings.threads)
    known = [token if 0 <= token < model.config.vocab_size else 0 for token in answer]
    whole = [*task.prompt, *known[:-1]]
    states = model.forward(batch_of([whole], model.device), model.new_cache(1, len(whole)))[0]
    states = states[len(task.prompt) - 1 :]  # (answer, C)
    run = GenerationRun(task)
    for some in torch.split(states, LOGIT_ROWS):
        for row, logits in zip(_on_host(some), _on_host(model.logits(some)), strict=True):
            step = len(run.chosen)
            if listener:
                listener(0, step, row)
            run.hear(row, logits, answer[step])
    return run


def _read_prompt(model: NativeLlama, prompt: Sequence[int], cache: NativeCache, row: int) -> Tensor:
    """Read one text's prompt into its row, and return its last (C,) hidden state."""
    states = model.forward(batch_of([prompt], model.device), cache.row(row))
    cache.used[row] = len(prompt)
    return states[0, -1]


def _on_host(values: Tensor) -> Float32:
    rows: Float32 = values.float().cpu().numpy()
    return rows
