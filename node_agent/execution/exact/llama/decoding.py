"""Generating with the exact model by continuous batching, and checking by one teacher-forced pass.

A text may join a batch at any step, and leaves it when it is done. Rows do not affect each other, so its tokens and
trace are the same in any batch. `recheck` reads prompt and answer in chunks and derives the same trace.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact.port import Cache, LlamaModel, Reading
from node_agent.execution.exact.sampling import ExactSampling, choose
from node_agent.execution.exact.trace import TextTrace

PREFILL_ROWS = 128
"""New positions of one text that are read at once, to stay in a CPU's cache. Changes nothing but speed."""


@dataclass(frozen=True)
class DecodingTask:
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
    sampling: ExactSampling = field(default_factory=ExactSampling)
    text: int = 0


class DecodingRun:
    """A task under way, or done.

    Args:
        task: what is asked.
        exp2: the model's table.
        cache: the text's past, kept until it is done; None where the caller reads the tokens.

    Attributes:
        chosen: the tokens generated so far.
        trace: digests of the logits that they were chosen from.
    """

    def __init__(self, task: DecodingTask, exp2: NDArray[np.int64], cache: Cache | None = None) -> None:
        self.task = task
        self.chosen: list[int] = []
        self.trace = TextTrace()
        self._exp2 = exp2
        self._cache = cache

    @property
    def done(self) -> bool:
        """Whether the answer is complete: a stop token was chosen, or the limit reached."""
        return len(self.chosen) == self.task.limit or (bool(self.chosen) and self.chosen[-1] in self.task.stops)

    def recall(self) -> bytes | None:
        """See `port.Cache`; None once an answer has begun."""
        assert self._cache is not None
        return None if self.chosen else self._cache.recall(self.task.prompt)

    def next_reading(self) -> Reading[Cache]:
        """The next chunk of the prompt, or the last token; logits are wanted of the prompt's end and of every token."""
        assert self._cache is not None
        unread = list(self.task.prompt[self._cache.used : self._cache.used + PREFILL_ROWS])
        ends = self._cache.used + len(unread) >= len(self.task.prompt)
        return Reading(unread or self.chosen[-1:], self._cache, int(ends))

    def take(self, logits: NDArray[np.int32]) -> int:
        """Trace a position's (V,) logits, and choose and return the token after it."""
        self.trace.update(logits)
        token = choose(logits, self._exp2, self.task.sampling, self.task.text, len(self.chosen))
        self.chosen.append(token)
        if self.done:
            self._cache = None  # nothing is read after the last token
        return token


class DecodingBatch:
    """Texts answered together, each as if it were alone.

    Attributes:
        running: the unfinished texts, in the order in which they joined.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self.running: list[DecodingRun] = []

    def join(self, task: DecodingTask) -> DecodingRun:
        """Add a text; it is part of every step from the next on, until it is done."""
        run = DecodingRun(task, self._model.exp2, self._model.new_cache(len(task.prompt) + task.limit - 1))
        self.running.append(run)
        return run

    def leave(self, runs: Sequence[DecodingRun]) -> None:
        """Drop texts."""
        self.running = [run for run in self.running if run not in runs]

    def step(self) -> list[DecodingRun]:
        """One forward pass: a chunk of each prompt, or one more token of each answer. Returns the finished texts."""
        taking_part = list(self._taking_part())
        batch = [run.next_reading() for run in taking_part]
        logits = self._model.read(batch)
        choosing = [run for run, reading in zip(taking_part, batch, strict=True) if reading.wanted]
        for run, row in zip(choosing, logits, strict=True):
            run.take(row)
        finished = [run for run in self.running if run.done]
        self.running = [run for run in self.running if not run.done]
        return finished

    def _taking_part(self) -> Iterator[DecodingRun]:
        """The texts of this step: of those that would read the same beginning, one; the others take it over then."""
        being_read: set[bytes] = set()
        for run in self.running:
            name = run.recall()
            if name not in being_read:
                yield run
            if name is not None:
                being_read.add(name)


def generate(model: LlamaModel, tasks: Iterable[DecodingTask]) -> list[DecodingRun]:
    """Answer texts together, and return them in order."""
    batch = DecodingBatch(model)
    runs = [batch.join(task) for task in tasks]
    while batch.running:
        batch.step()
    return runs


def recheck(model: LlamaModel, task: DecodingTask, answer: Sequence[int]) -> DecodingRun | None:
    """Re-derive an answer from one teacher-forced pass over prompt and answer.

    Args:
        model: the model.
        task: what was asked.
        answer: the claimed tokens.

    Returns:
        The `DecodingRun` that generating would give, or None where the task generates something else: another token, or
        an earlier or later end. The answer is then wrong, and only generating tells what is right.
    """
    known = range(model.config.vocab_size)
    if not 0 < len(answer) <= task.limit or any(token not in known for token in answer):
        return None
    run = DecodingRun(task, model.exp2)
    cache = model.new_cache(len(task.prompt) + len(answer) - 1)
    whole, first = [*task.prompt, *answer[:-1]], len(task.prompt) - 1
    cache.recall(task.prompt)
    for start in range(cache.used, len(whole), PREFILL_ROWS):
        tokens = whole[start : start + PREFILL_ROWS]
        wanted = min(len(tokens), max(0, start + len(tokens) - first))
        for logits in model.read([Reading(tokens, cache, wanted)]):
            if run.done or run.take(logits) != answer[len(run.chosen) - 1]:
                return None
    return run if run.done else None
