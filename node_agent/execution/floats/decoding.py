"""Greedy decoding of a float Llama; the trace hears the logits of every position computed, in order."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution.errors import NumericFailure
from node_agent.execution.floats.llama import LOGIT_ROWS, KeyValueCache, Llama
from node_agent.execution.trace import Sink


def prefill(model: Llama, prompt: list[int], cache: KeyValueCache, trace: Sink) -> int:
    """Run a whole prompt in one pass, trace each position's logits, and choose the next token."""
    hidden = model.forward(torch.tensor(prompt, device=model.device), cache)  # (T, C)
    for rows in torch.split(hidden, LOGIT_ROWS):
        logits = _on_host(model.logits(rows))  # (<= LOGIT_ROWS, V)
        trace.update(logits)
    return greedy(logits[-1])


def step(model: Llama, token: int, cache: KeyValueCache, trace: Sink) -> int:
    """Run one token, trace its logits, and choose the next."""
    logits = _on_host(model.logits(model.forward(torch.tensor([token], device=model.device), cache)))  # (1, V)
    trace.update(logits)
    return greedy(logits[0])


def greedy(logits: NDArray[np.float32]) -> int:
    """The id of the largest of (V,) logits, the lowest id on ties.

    numpy's argmax promises the first of equals, and returns a NaN where there is one; torch promises neither.

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


def _on_host(logits: Tensor) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = logits.cpu().numpy()
    return rows
