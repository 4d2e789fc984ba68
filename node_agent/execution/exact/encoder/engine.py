"""Embeddings by the exact engine (SPEC_ENCODER.md), behind the port of `node_agent.execution.engine`.

Prompt, output and units: the kind `embedding` (`node_agent/execution/kinds/embedding.py`). The trace covers the states
after the embedding and after each layer (`trace.py`). Nothing is decoded, so a check repeats the one pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.engine import Execution, Speed
from node_agent.execution.errors import ExecutionError
from node_agent.execution.exact.encoder.model_file import EncoderParameters, read_encoder
from node_agent.execution.exact.engine import ExactEngine, traced_execution
from node_agent.execution.exact.port import EncoderModel, Way
from node_agent.execution.exact.trace import TextTrace
from node_agent.execution.exact.ways import timed
from node_agent.execution.limits import read_prompts, require_params

MEASURED_TOKENS = 64
"""Tokens of the text that measures a host's speed."""

BATCH_ROWS = 256
"""The most tokens of texts, of any orders, that are computed together; at least one text is. Changes only speed."""


class ExactEmbedding(ExactEngine):
    """See `engine.Engine`.

    Attributes:
        model: the loaded encoder; `model.layers` is its list of blocks.
    """

    meter = "input_tokens"
    read = staticmethod(read_encoder)
    model: EncoderModel

    @staticmethod
    def model_by(way: Way, parameters: EncoderParameters) -> EncoderModel:
        """See `ExactEngine`."""
        return way.encoder(parameters)

    def measure(self, way: str, patience_s: float) -> Speed:
        """See `ExactEngine`: a text of some length. Nothing is generated."""
        count = min(MEASURED_TOKENS, self.model.config.positions)
        text = [(7919 * index) % self.model.config.vocab_size for index in range(count)]
        per_s = count / timed(lambda: self.model.states([text]))
        return Speed(way, per_s, per_s)

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer the texts of an input. Errors as in `engine.Engine`, and OutputTooLong."""
        order = self.order(input_bytes, params)
        while order.left:
            self.advance([order])
        return self.execution(order)

    def new_batch(self) -> "EmbeddingBatch":
        """See `engine.Batching`."""
        return EmbeddingBatch(self)

    def order(self, input_bytes: bytes, params: Mapping[str, int]) -> "TextOrder":
        """The texts of an order; they may be computed together with any others. Errors as in `engine.Engine`."""
        require_params(self.manifest.params, params)
        return TextOrder(read_prompts(self.manifest.input, self.model.config.vocab_size, input_bytes))

    def advance(self, orders: Iterable["TextOrder"]) -> None:
        """One forward pass over the first unfinished texts of these orders."""
        left = [(order, text) for order in orders for text in order.left]
        taken = left[: _fitting([len(text) for _, text in left])]
        states = self._states([text for _, text in taken])
        for (order, _), rows in zip(taken, states, strict=True):
            order.traces.append(_traced(rows))
            order.vectors.append(self.model.vector(rows[-1]))

    def execution(self, order: "TextOrder") -> Execution:
        """The result of a finished order. Raises OutputTooLong."""
        answers = [self.answer(vector) for vector in order.vectors]
        return traced_execution(answers, order.traces, sum(len(text) for text in order.texts))

    def answer(self, vector: list[int]) -> list[int]:
        """The int32 numbers that answer a text, from its unit vector with 20 fraction bits. A kind of work that turns
        vectors into something else overrides this."""
        return vector

    def vector(self, prompt: list[int]) -> list[int]:
        """The unit vector of one text from its tokens, with 20 fraction bits."""
        (states,) = self._states([prompt])
        return self.model.vector(states[-1])

    def _states(self, texts: Sequence[list[int]]) -> list[tuple[NDArray[np.int64], ...]]:
        """For each text its (T, C) states after the embedding and after each layer, from one forward pass."""
        ends = list(accumulate(len(text) for text in texts))
        by_layer = [np.split(states, ends[:-1]) for states in self.model.states(texts)]
        return list(zip(*by_layer, strict=True))


@dataclass(frozen=True)
class TextOrder:
    """The texts of an order, and the results of the first of them.

    Attributes:
        texts: the token ids of each, the template's included.
        vectors: of each finished text, with 20 fraction bits.
        traces: digests of the states of each finished text.
    """

    texts: Sequence[list[int]]
    vectors: list[list[int]] = field(default_factory=list)
    traces: list[TextTrace] = field(default_factory=list)

    @property
    def left(self) -> Sequence[list[int]]:
        """The unfinished texts."""
        return self.texts[len(self.vectors) :]


class EmbeddingBatch:
    """Orders answered together, those that joined first before the others; see `engine.Batch`."""

    def __init__(self, engine: ExactEmbedding) -> None:
        self._engine = engine
        self._orders: dict[int, TextOrder] = {}

    @property
    def busy(self) -> bool:
        """See `engine.Batch`."""
        return bool(self._orders)

    def join(self, key: int, input_bytes: bytes, params: Mapping[str, int]) -> None:
        """See `engine.Batch`."""
        self._orders[key] = self._engine.order(input_bytes, params)

    def step(self) -> list[tuple[int, Execution | ExecutionError]]:
        """See `engine.Batch`."""
        self._engine.advance(self._orders.values())
        done = [key for key, order in self._orders.items() if not order.left]
        return [(key, self._result(self._orders.pop(key))) for key in done]

    def _result(self, order: TextOrder) -> Execution | ExecutionError:
        try:
            return self._engine.execution(order)
        except ExecutionError as error:
            return error


def _fitting(lengths: Sequence[int]) -> int:
    """How many of the first texts have at most BATCH_ROWS tokens together; at least one."""
    return max(1, sum(rows <= BATCH_ROWS for rows in accumulate(lengths)))


def _traced(states: Sequence[NDArray[np.int64]]) -> TextTrace:
    trace = TextTrace()
    for rows in states:
        for row in rows.astype(np.int32):
            trace.update(row)
    return trace
