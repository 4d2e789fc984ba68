"""Choosing a token from integer logits: greedy, or from an integer distribution with a counter-based generator.

SPEC.md, "Choosing a token", in Python's and numpy's integers. The same seed, text and position always draw the same
number, so a verifier can repeat any draw alone, in any order.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact import arithmetic as a

DRAW_TAG = b"assay/exact/draw/1\n"
LOG2_E_32 = 6_196_328_019
"""log2(e) * 2^32, rounded."""

WHOLE_PPM = 1_000_000
_DRAW_BYTES = 16

Logits = NDArray[np.int32]


@dataclass(frozen=True)
class ExactSampling:
    """How tokens are chosen.

    Attributes:
        temperature_milli: thousandths; 0 is greedy and ignores the rest.
        top_p_ppm: millionths, 1 to 1,000,000.
        seed: 32 bytes that the node could not choose.
    """

    temperature_milli: int = 0
    top_p_ppm: int = WHOLE_PPM
    seed: bytes = bytes(32)

    def __post_init__(self) -> None:
        if self.temperature_milli < 0 or not 1 <= self.top_p_ppm <= WHOLE_PPM or len(self.seed) != 32:
            raise ValueError(f"no way to choose tokens: {self}")


def choose(logits: Logits, exp2: NDArray[np.int64], sampling: ExactSampling, text: int, step: int) -> int:
    """The next token.

    Args:
        logits: (V,) with 16 fraction bits.
        exp2: (4096,) the model file's table.
        sampling: how.
        text: the text's index in its input.
        step: how many tokens were generated for it before.
    """
    if sampling.temperature_milli == 0:
        return int(np.argmax(logits))  # numpy promises the first of equals
    weights = weigh(logits, exp2, sampling.temperature_milli)
    order = np.argsort(-weights, kind="stable")  # equals stay in order of their ids
    running = np.cumsum(weights[order])
    wanted = -(-sampling.top_p_ppm * int(running[-1]) // WHOLE_PPM)
    kept = int(np.searchsorted(running, wanted, side="left"))  # the first whose sum reaches it
    point = draw(sampling.seed, text, step) * int(running[kept]) >> (8 * _DRAW_BYTES)
    return int(order[np.searchsorted(running, point, side="right")])


def weigh(logits: Logits, exp2: NDArray[np.int64], temperature_milli: int) -> NDArray[np.int64]:
    """(V,) integer weights 2^24 exp((logit - max) * 1000 / temperature_milli), rounded down by table and shift."""
    factor = (LOG2_E_32 * 1000 // temperature_milli) >> 16
    below = int(logits.max()) - logits.astype(np.int64)  # (V,) at least 0
    # The clamp below would cut these off anyway; cut earlier, the product stays within 64 bits.
    below = np.minimum(below, (a.SCORE_DISTANCE_MAX + 1 << 20) // factor + 1)
    distance = np.minimum((below * factor) >> 20, a.SCORE_DISTANCE_MAX)
    weights: NDArray[np.int64] = exp2[distance & ((1 << a.SCORE_FRACTION) - 1)] >> (distance >> a.SCORE_FRACTION)
    return weights


def draw(seed: bytes, text: int, step: int) -> int:
    """An integer of 128 bits."""
    counter = text.to_bytes(4, "little") + step.to_bytes(4, "little")
    return int.from_bytes(hashlib.sha256(DRAW_TAG + seed + counter).digest()[:_DRAW_BYTES], "big")
