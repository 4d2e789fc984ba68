"""Greedy decoding of a float Llama; the trace takes the logits of every computed position, in order."""

import numpy as np
import torch
from numpy.typing import NDArray

from node_agent.execution.errors import NumericFailure
from node_agent.execution.floats.llama import LOGIT_ROWS, KeyValueCache, Llama
from node_agent.execution.trace import Trace


def read(model: Llama, tokens: list[int], cache: KeyValueCache, trace: Trace) -> int:
    """Run a whole prompt or one token in one pass, trace each position's logits, and choose the next token."""
    hidden = model.forward(torch.tensor(tokens, device=model.device), cache)  # (T, C)
    for rows in torch.split(hidden, LOGIT_ROWS):
        logits: NDArray[np.float32] = model.logits(rows).cpu().numpy()  # (<= LOGIT_ROWS, V)
        trace.update(logits)
    return greedy(logits[-1])


def greedy(logits: NDArray[np.float32]) -> int:
    """The id of the largest of (V,) logits, the lowest id on ties.

    numpy's argmax returns the first of equals, and a NaN where there is one; torch guarantees neither.

    Raises:
        NumericFailure: the largest is NaN or infinite.
    """
    best = int(np.argmax(logits))
    if not np.isfinite(logits[best]):
        raise NumericFailure(
            f"The largest logit is {logits[best]} (token {best}): the model broke down.",
            way_out="Run the self-test; if it passes, the weights do not fit fp32.",
            token=best,
        )
    return best
