"""Decode steps whose shapes stay the same from step to step, so that a GPU replays them as CUDA graphs.

A step of the exact model runs thousands of small kernels, and a GPU mostly waits for the host to start the next one. A
captured graph starts all of them by one call. It replays the same kernels over the same memory, so texts live in slots
of one block, and only a few integers in a fixed place differ between steps: the tokens, and how full each slot is.
Memory and shapes are powers of two and seldom change.

The arithmetic is `EagerLlama.decode`'s, and gives the bits of `EagerLlama.forward`. On a CPU the same steps run without
graphs, for tests.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from node_agent.execution.exact.eager.slots import Slots, TextCache

LEAST_SPAN = 64
"""Attention covers a power of two of positions, at least this: each span needs its own graph."""


class SteppedModel(Protocol):
    """The model that it decodes with (`EagerLlama`)."""

    device: torch.device

    def new_slots(self, count: int, positions: int) -> Slots:
        """Empty slots for so many texts with room for `positions` each."""
        ...

    def decode(self, tokens: Tensor, places: Tensor, slots: Slots, span: int) -> Tensor:
        """(B, C) normed states after one token more of each slot."""
        ...

    def logits(self, normed: Tensor) -> Tensor:
        """(B, V) int32."""
        ...


class StaticDecoder:
    """Decodes for one batch at a time. Texts may come and go between steps."""

    def __init__(self, model: SteppedModel) -> None:
        self._model = model
        self._seats: WeakKeyDictionary[TextCache, int] = WeakKeyDictionary()  # the slot of each text of the last step
        self._make_room(1, LEAST_SPAN)

    @property
    def idle(self) -> bool:
        """Whether it holds no text that anybody still has."""
        return not self._seats

    def holds(self, texts: Sequence[TextCache]) -> bool:
        """Whether any of some texts was in its last step."""
        return any(text in self._seats for text in texts)

    def logits(self, batch: Sequence[tuple[int, TextCache]]) -> Tensor:
        """Read one more token of each text and append it to its cache. Texts that are not in the batch have left.

        Args:
            batch: for each text its next token, and its past with room for it. Pasts move into this decoder's memory.

        Returns:
            (T, V) int32 logits with 16 fraction bits: a row for each text, in order.

        Raises:
            torch.OutOfMemoryError: there is no room for the slots. No text has read its token.
        """
        taken = self._seat([cache for _, cache in batch])
        tokens, places = [0] * self._slots.count, [0] * self._slots.count
        for slot, (token, cache) in zip(taken, batch, strict=True):
            tokens[slot], places[slot] = token, cache.used
        self._inputs.copy_(torch.tensor([tokens, places]))
        logits = self._step(_power_of_two(max(places) + 1, LEAST_SPAN))  # (B, V)
        for _, cache in batch:
            cache.used += 1
        return logits.index_select(0, torch.tensor(taken, device=logits.device))

    def _seat(self, texts: Sequence[TextCache]) -> list[int]:
        """Each text's slot; texts without one get a free one."""
        positions = max(text.positions for text in texts)
        if len(texts) > self._slots.count or positions > self._slots.positions:
            self._make_room(max(len(texts), self._slots.count), max(positions, self._slots.positions))
        staying = {text: self._seats[text] for text in texts if text in self._seats}
        free = iter(sorted(set(range(self._slots.count)) - set(staying.values())))
        for text in texts:
            if text not in staying:
                staying[text] = next(free)
                text.move(self._slots.cache(staying[text]))
        self._seats = WeakKeyDictionary(staying)
        return [staying[text] for text in texts]

    def _make_room(self, count: int, positions: int) -> None:
        """New slots, all free, and no graphs. Texts in the old ones stay there until they are seated."""
        self._slots = self._model.new_slots(_power_of_two(count), _power_of_two(positions, LEAST_SPAN))
        self._seats = WeakKeyDictionary()
        self._inputs = torch.zeros(2, self._slots.count, dtype=torch.int64, device=self._model.device)  # tokens, places
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}  # by span, with where the logits will be

    def _step(self, span: int) -> Tensor:
        """(B, V) logits after the inputs; the next step writes over them."""
        if self._model.device.type != "cuda":
            return self._compute(span)
        with torch.cuda.device(self._model.device):
            if span not in self._graphs:
                self._graphs[span] = self._capture(span)
            graph, logits = self._graphs[span]
            graph.replay()
        return logits

    def _capture(self, span: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A graph of the step. The step runs once before, because libraries set themselves up at first use, which no
        capture may contain; that run writes to the slots only what the replay writes again."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            self._compute(span)
        torch.cuda.current_stream().wait_stream(self._side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._side):
            logits = self._compute(span)
        return graph, logits

    @cached_property
    def _side(self) -> torch.cuda.Stream:
        """The one stream of all captures and of the runs before them: cuBLAS keeps memory for each stream it sees."""
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def _compute(self, span: int) -> Tensor:
        """The captured step: the host may read no tensor in it."""
        tokens, places = self._inputs.unbind()
        return self._model.logits(self._model.decode(tokens, places, self._slots, span))


def _power_of_two(number: int, least: int = 1) -> int:
    """The smallest power of two that is at least both; `least` is one."""
    return max(least, 1 << (number - 1).bit_length())
