"""Embeddings by the exact engine, behind the port of `node_agent.execution.engine`: SPEC_ENCODER.md.

Prompt, output and units: the kind `embedding` (`node_agent/execution/kinds/embedding.py`). The trace is taken over the
states after the embedding and after each layer (`trace.py`). There is nothing to decode, so a check is the one pass.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from contracts.protocol.canonical import canonical_json
from contracts.protocol.manifest import Manifest
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution import determinism
from node_agent.execution.bert_tokens import start_and_end
from node_agent.execution.engine import Execution
from node_agent.execution.exact.base_engine import ExactEngine, traced_execution
from node_agent.execution.exact.encoder import ExactEncoder
from node_agent.execution.exact.encoder_file import read_encoder
from node_agent.execution.exact.products import Products
from node_agent.execution.exact.trace import TextTrace
from node_agent.execution.limits import read_tokens, require_params, require_showable

BATCH_ROWS = 256
"""Tokens of texts computed together, at least one text. Changes nothing but speed."""


class ExactEmbedding(ExactEngine):
    """See `engine.Engine`.

    Attributes:
        model: the loaded encoder; `model.layers` is its list of blocks.
    """

    meter = "input_tokens"

    def __init__(self, model: ExactEncoder, tokenizer: TextTokenizer, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them.

        Raises:
            EngineMismatch: the manifest describes another engine, or parameters, which this one has none of.
            UnsupportedModel: the tokenizer is no BERT's, or the workload allows more positions than the model has.
        """
        super().__init__(tokenizer, manifest)
        self.model = model
        self._start, self._end = start_and_end(tokenizer)
        self._require_manifest(overhead=2)
        self._require_positions(0, model.config.positions)

    @classmethod
    def build(
        cls, weights: Path, products: Products, device: torch.device, tokenizer: TextTokenizer, manifest: Manifest
    ) -> Self:
        """See `ExactEngine`."""
        return cls(ExactEncoder(read_encoder(weights), products, device), tokenizer, manifest)

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer the texts of an input. Errors as in `engine.Engine`, and OutputTooLong."""
        require_params(self.manifest.params, params)
        texts = [self._around(each) for each in read_tokens(self.manifest.input, self.tokenizer, input_bytes)]
        determinism.full_precision()
        answers: list[Any] = []
        traces: list[TextTrace] = []
        for states in self._states(texts):
            answers.append(self.answer(self.model.vector(states[-1])))
            traces.append(_traced(len(traces), states))
        output = canonical_json(answers)
        require_showable(output)
        return traced_execution(output, traces, sum(len(text) for text in texts))

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        """See `engine.Engine`: the one pass, whatever is claimed."""
        return self.execute(input_bytes, params)

    def answer(self, vector: list[int]) -> Any:
        """What stands in the output for a text, from its unit vector with 20 fraction bits: a value of canonical JSON.

        A kind of work that makes something else of vectors replaces it.
        """
        return vector

    def vector(self, text: str) -> list[int]:
        """The vector of one text by itself."""
        (states,) = self._states([self._around(self.tokenizer.encode(text))])
        return self.model.vector(states[-1])

    def _around(self, tokens: list[int]) -> list[int]:
        return [self._start, *tokens, self._end]

    def _states(self, texts: Sequence[list[int]]) -> list[list[Tensor]]:
        """For each text its (T, C) states after the embedding and after each layer."""
        found: list[list[Tensor]] = []
        while len(found) < len(texts):
            batch = _first_rows(texts[len(found) :])
            lengths = [len(text) for text in batch]
            by_layer = [torch.split(states, lengths) for states in self.model.forward(batch)]
            found += [list(states) for states in zip(*by_layer, strict=True)]
        return found


def _first_rows(texts: Sequence[list[int]]) -> Sequence[list[int]]:
    """The first texts that have no more than BATCH_ROWS tokens together, at least one."""
    rows = np.cumsum([len(text) for text in texts])
    return texts[: max(1, int((rows <= BATCH_ROWS).sum()))]


def _traced(text: int, states: Sequence[Tensor]) -> TextTrace:
    trace = TextTrace(text)
    for rows in states:
        for row in rows.to(torch.int32).cpu().numpy():
            trace.update(row)
    return trace
