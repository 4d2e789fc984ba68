"""How near the integers are to fp32 of the same weights, over real English."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.exact import models
from node_agent.execution import determinism
from node_agent.execution.exact.arithmetic import LOGIT_FRACTION
from node_agent.execution.exact.port import LlamaModel, Reading

WINDOW = 512
CHUNK = 128


@torch.inference_mode()
def measure(tokens: int, known: dict[str, Any] | None, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Perplexity and agreement over windows of 512 tokens, each predicted from those before it in its window.

    Args:
        tokens: at least so many are read.
        known: sums of an earlier run that was broken off.
        keep: is given the summary after each window.

    Returns:
        Sums of negative log likelihoods in nats by arithmetic, predictions, greedy agreements, and what follows.
    """
    torch.set_num_threads(1)
    determinism.full_precision()
    mine, plain = models.fastest(1), models.plain(torch.float32)
    windows = models.chunks(models.english(), WINDOW)[: -(-tokens // WINDOW)]
    sums = known or {"windows": 0, "predictions": 0, "exact_nats": 0.0, "fp32_nats": 0.0, "agreements": 0}
    for window in windows[sums["windows"] :]:
        target = torch.tensor(window[1:])
        theirs = plain(torch.tensor([window])).logits[0, :-1]
        ours = _logits(mine, window)[:-1].to(torch.float32) / 2**LOGIT_FRACTION
        for name, logits in (("exact", ours), ("fp32", theirs)):
            nats = logits.logsumexp(-1) - logits.gather(1, target[:, None])[:, 0]
            sums[f"{name}_nats"] += float(nats.to(torch.float64).sum())
        sums["agreements"] += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        sums["predictions"] += len(target)
        sums["windows"] += 1
        keep(summary(sums))
        sys.stderr.write(f"{sums['windows']} of {len(windows)} windows\n")
    return summary(sums)


def summary(sums: dict[str, Any]) -> dict[str, Any]:
    """The sums and what follows from them."""
    ours, theirs = (math.exp(sums[f"{name}_nats"] / sums["predictions"]) for name in ("exact", "fp32"))
    return {
        "sums": dict(sums),
        "tokens": sums["windows"] * WINDOW,
        "perplexity": {"exact": ours, "fp32": theirs},
        "perplexity_delta_pct": 100 * (ours / theirs - 1),
        "greedy_agreement_pct": 100 * sums["agreements"] / sums["predictions"],
    }


def _logits(model: LlamaModel, window: Sequence[int]) -> Tensor:
    """(WINDOW, V) int32."""
    cache = model.new_cache(len(window))
    rows = [model.read([Reading(piece, cache, len(piece))]) for piece in models.chunks(window, CHUNK)]
    return torch.from_numpy(np.concatenate(rows))
