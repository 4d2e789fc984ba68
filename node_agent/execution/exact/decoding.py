"""Generating with the exact model: continuous batching, and checking by one teacher-forced pass.

A text may join a batch at any step and leaves it when it is done; since rows do not touch each other's arithmetic, its
tokens and trace are the same in any company. `recheck` reads prompt and answer in chunks and derives the same trace.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution.exact.model import Cache, ExactLlama
from node_agent.execution.exact.sampling import Sampling, choose
from node_agent.execution.exact.static_decoding import StaticDecoder
from node_agent.execution.exact.trace import TextTrace

PREFILL_ROWS = 128
"""New positions of one text read at once: what they need stays in a CPU's cache. Changes nothing but speed."""


@dataclass(frozen=True)
class Task:
    """One text to be answered.

    Attributes:
        prompt: its tokens with the template's around them, at least one.
        limit: most new tokens, at least 1.
        stops: tokens that end an answer; the one that does is part of it.
        sampling: how tokens are chosen.
        text: its index in its input.
    """

    prompt: Sequence[int]
    limit: int
    stops: frozenset[int]
    sampling: Sampling = field(default_factory=Sampling)
    text: int = 0


class Run:
    """A task under way, or done.

    Attributes:
        chosen: the tokens generated so far.
        trace: digests of the logits that they were chosen from.
    """

    def __init__(self, task: Task, model: ExactLlama) -> None:
        self.task = task
        self.chosen: list[int] = []
        self.trace = TextTrace(task.text)
        self._exp2 = model.exp2.cpu().numpy()
        self._cache = model.new_cache(len(task.prompt) + task.limit - 1)

    @property
    def done(self) -> bool:
        """Whether the answer is complete: a stop token was chosen, or the limit reached."""
        return len(self.chosen) == self.task.limit or (bool(self.chosen) and self.chosen[-1] in self.task.stops)

    def next_rows(self) -> tuple[list[int], Cache]:
        """The tokens to read next, and the past that they are read after."""
        unread = self.task.prompt[self._cache.used : self._cache.used + PREFILL_ROWS]
        return (list(unread) or self.chosen[-1:]), self._cache

    def wants_logits(self, rows: int) -> bool:
        """Whether a token is chosen after reading so many more."""
        return self._cache.used + rows >= len(self.task.prompt)

    def take(self, logits: NDArray[np.int32]) -> int:
        """Trace a position's (V,) logits and choose the token after it, which is also returned."""
        self.trace.update(logits)
        token = choose(logits, self._exp2, self.task.sampling, self.task.text, len(self.chosen))
        self.chosen.append(token)
        return token


class Batch:
    """Texts answered together, each as if it were alone.

    Attributes:
        running: those that are not done, in the order in which they joined.
    """

    def __init__(self, model: ExactLlama) -> None:
        self._model = model
        self._decoder: StaticDecoder | None = None
        self.running: list[Run] = []

    def join(self, task: Task) -> Run:
        """Add a text; it is part of every step from the next on, until it is done."""
        run = Run(task, self._model)
        self.running.append(run)
        return run

    def leave(self, runs: Sequence[Run]) -> None:
        """Drop texts that are not wanted any more."""
        self.running = [run for run in self.running if run not in runs]

    @torch.inference_mode()
    def step(self) -> list[Run]:
        """One forward pass: a chunk of each prompt, or one more token of each answer. Returns those that got done."""
        batch = [run.next_rows() for run in self.running]
        choosing = [run.wants_logits(len(new)) for run, (new, _) in zip(self.running, batch, strict=True)]
        logits = self._logits(batch, choosing).cpu().numpy()
        chosen_by = [run for run, wants in zip(self.running, choosing, strict=True) if wants]
        for run, row in zip(chosen_by, logits, strict=True):
            run.take(row)
        finished = [run for run in self.running if run.done]
        self.running = [run for run in self.running if not run.done]
        if self._decoder and not self.running:
            self._model.idle_decoders.append(self._decoder)
            self._decoder = None
        return finished

    def _logits(self, batch: Sequence[tuple[list[int], Cache]], choosing: Sequence[bool]) -> Tensor:
        """Read, and return the (n, V) logits of the n texts that choose, if there are any."""
        if self._model.static_decoding and all(choosing) and all(len(new) == 1 for new, _ in batch):
            idle = self._model.idle_decoders
            self._decoder = self._decoder or (idle.pop() if idle else StaticDecoder(self._model))
            with suppress(torch.OutOfMemoryError):  # slots for all of them do not fit; text by text they may
                return self._decoder.logits([(new[0], cache) for new, cache in batch])
        hidden = self._model.forward(batch)  # (T, C)
        if not any(choosing):
            return hidden[:0]
        ends = np.cumsum([len(new) for new, _ in batch]) - 1  # each text's last row
        return self._model.logits(hidden.index_select(0, torch.tensor(ends[choosing], device=hidden.device)))


def generate(model: ExactLlama, tasks: Iterable[Task]) -> list[Run]:
    """Answer texts together, and return them in order."""
    batch = Batch(model)
    runs = [batch.join(task) for task in tasks]
    while batch.running:
        batch.step()
    return runs


@torch.inference_mode()
def recheck(model: ExactLlama, task: Task, answer: Sequence[int]) -> Run | None:
    """Re-derive an answer from one teacher-forced pass over prompt and answer.

    Args:
        model: the model.
        task: what was asked.
        answer: the tokens that are said to have been generated.

    Returns:
        The same `Run` as generating would give, or None if the answer is not what this task generates: another
        token, too early or too late an end. It is then known to be wrong; what is right takes generating it.
    """
    known = range(model.config.vocab_size)
    if not 0 < len(answer) <= task.limit or any(token not in known for token in answer):
        return None
    run = Run(task, model)
    cache = model.new_cache(len(task.prompt) + len(answer) - 1)
    whole, first = [*task.prompt, *answer[:-1]], len(task.prompt) - 1
    for start in range(0, len(whole), PREFILL_ROWS):
        hidden = model.forward([(whole[start : start + PREFILL_ROWS], cache)])  # (t, C)
        rows = hidden[max(0, first - start) :]
        for logits in model.logits(rows).cpu().numpy() if len(rows) else ():
            if run.done or run.take(logits) != answer[len(run.chosen) - 1]:
                return None
    return run if run.done else None
