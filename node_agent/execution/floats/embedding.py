"""The engine of the kind `float_embedding`: vectors by a BERT encoder in fp32, for hosts of one numeric class.

Prompt, vector, output and units are those of `kinds/embedding.py`. The vector's numbers, times SCALE, are rounded to
the nearest integer, halves to even. Dividing by SCALE gives the vector within 5e-7.

The trace has the hidden states after the embeddings and after each layer, in order. Checks regenerate: float sums are
the same bit for bit only within a class.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from node_agent.execution.errors import NumericFailure
from node_agent.execution.floats.bert import Bert
from node_agent.execution.floats.engine import FloatEngine
from node_agent.execution.kinds.float_embedding import SCALE
from node_agent.execution.trace import Trace


class FloatEmbedding(FloatEngine):
    """See `engine.FloatEngine`."""

    version = "2"
    meter = "input_tokens"
    read = staticmethod(Bert.load)
    model: Bert

    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """See `engine.FloatEngine`."""
        return to_integers(self.vector(prompt, trace).cpu().numpy())

    def vector(self, prompt: list[int], trace: Trace) -> Tensor:
        """The (C,) unit vector of one text's tokens; the trace takes every hidden state."""
        ids = torch.tensor(prompt, device=self.model.device)  # (T,)
        states = self.model.forward(ids)
        for state in states:
            trace.update(state.cpu().numpy())
        return F.normalize(states[-1].mean(0), dim=0)


def to_integers(vector: NDArray[np.float32]) -> list[int]:
    """The numbers of a (C,) vector times SCALE, rounded to even. Raises NumericFailure for NaN or infinity."""
    if not np.isfinite(vector).all():
        raise NumericFailure(
            "The vector holds NaN or infinity: the model broke down.",
            way_out="Run the self-test; if it passes, the weights do not fit fp32.",
            numbers=int((~np.isfinite(vector)).sum()),
        )
    # a power of two: the product is exact, in fp32 too
    return [int(number) for number in np.rint(vector * np.float32(SCALE))]
