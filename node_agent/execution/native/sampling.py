"""Choosing a token from float logits: everybody who knows the order's seed finds the same one, up to float noise.

Gumbel-max: the token of the largest logit / temperature + Gumbel noise is drawn from softmax(logits / temperature)
(Gumbel 1954; Maddison, Tarlow, Minka 2014, arXiv:1411.0030). The noise depends on seed, text and step alone. So the
margin between the verifier's best token and the claimed one shows how far the node's logits were from the verifier's
(Token-DiFR, arXiv:2511.20621). At temperature 0 there is no noise, and the margin is in logits.

Generator: Philox 4x64-10 (Salmon et al. 2011), whose raw stream numpy keeps stable, keyed by sha256.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.protocol.native.fingerprint import MARGIN_CLIP_MILLI
from node_agent.execution.errors import NumericFailure

DRAW_TAG = b"assay/native/draw/1\n"

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class NativeSampling:
    """How tokens are chosen.

    Attributes:
        temperature_milli: thousandths; 0 is greedy.
        seed: 32 bytes that the node could not choose.
    """

    temperature_milli: int = 0
    seed: bytes = bytes(32)

    def __post_init__(self) -> None:
        if self.temperature_milli < 0 or len(self.seed) != 32:
            raise ValueError(f"no way to choose tokens: {self}")


def scores(logits: NDArray[np.float32], sampling: NativeSampling, text: int, step: int) -> Scores:
    """(V,) logits to scores, whose largest is chosen: in nats, or in logits where greedy.

    Args:
        logits: (V,) of one position.
        sampling: how.
        text: the text's index in its input.
        step: how many tokens were generated for it before.

    Raises:
        NumericFailure: a logit is NaN or positive infinity.
    """
    if np.isnan(logits).any() or np.isposinf(logits).any():
        raise NumericFailure(
            "A logit is NaN or infinite: the model broke down.",
            way_out="Run the self-test; if it passes, the weights do not fit this type of number.",
            step=step,
        )
    wide = logits.astype(np.float64)
    if sampling.temperature_milli == 0:
        return wide
    return wide * 1000 / sampling.temperature_milli + gumbel(sampling.seed, text, step, len(wide))


def best(found: Scores) -> int:
    """The choice: the largest score, the lowest id on ties (numpy promises the first of equals)."""
    return int(np.argmax(found))


def margin_milli(found: Scores, claimed: int) -> int:
    """By how much the best token beats the claimed one, in thousandths, cut off at MARGIN_CLIP_MILLI.

    A token outside the vocabulary gets the largest margin.
    """
    if not 0 <= claimed < len(found):
        return MARGIN_CLIP_MILLI
    gap = float(found.max() - found[claimed])
    return min(MARGIN_CLIP_MILLI, round(gap * 1000)) if np.isfinite(gap) else MARGIN_CLIP_MILLI


def gumbel(seed: bytes, text: int, step: int, count: int) -> Scores:
    """(count,) standard Gumbel numbers: -log(-log u) of uniform u in (0, 1) with 53 bits."""
    raw = random_words(DRAW_TAG, seed, text, step, count)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: Scores = -np.log(-np.log(uniform))
    return noise


def random_words(tag: bytes, seed: bytes, text: int, step: int, count: int) -> NDArray[np.uint64]:
    """(count,) words of 64 random bits that depend on all arguments but the count."""
    counter = text.to_bytes(4, "little") + step.to_bytes(4, "little")
    key = hashlib.sha256(tag + seed + counter).digest()[:16]
    words: NDArray[np.uint64] = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(count)
    return words
