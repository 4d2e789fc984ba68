"""Hidden states to the bytes of a fingerprint (`contracts.protocol.native.fingerprint`).

`math.fsum` rounds once, whatever the order of its terms, and squares of fp32 are exact in fp64. So equal hidden states
give equal bytes on any host.
"""

import math

import numpy as np
from numpy.typing import NDArray

from contracts.protocol.native.fingerprint import CIRCLE, PROJECTIONS, STEPS
from node_agent.execution.errors import NumericFailure
from node_agent.execution.native.sampling import random_words

DIRECTION_TAG = b"assay/native/direction/1\n"


def project(hidden: NDArray[np.float32], seed: bytes, text: int, step: int) -> bytes:
    """The PROJECTIONS bytes of one (C,) hidden state. Raises NumericFailure where it has no direction."""
    wide = hidden.astype(np.float64)
    length = math.sqrt(math.fsum(wide * wide))
    if not math.isfinite(length) or length == 0:
        raise NumericFailure(
            f"A hidden state has length {length}: the model broke down.",
            way_out="Run the self-test; if it passes, the weights do not fit this type of number.",
            step=step,
        )
    along = (math.fsum(wide * signs) / length for signs in directions(seed, text, step, len(wide)))
    return bytes(round(each * STEPS) % CIRCLE for each in along)


def directions(seed: bytes, text: int, step: int, width: int) -> NDArray[np.float64]:
    """(PROJECTIONS, width) of +1 and -1."""
    words = -(-width // 64)
    raw = random_words(DIRECTION_TAG, seed, text, step, PROJECTIONS * words).astype("<u8")
    bits = np.unpackbits(raw.view(np.uint8), bitorder="little").reshape(PROJECTIONS, words * 64)
    signs: NDArray[np.float64] = bits[:, :width].astype(np.float64) * 2 - 1
    return signs
