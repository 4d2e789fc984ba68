"""The fingerprint of a native generation: what its node publishes of the activations, and what it signs of it.

For every token chosen, the last hidden state x (after the final norm) that it was chosen from is projected on
PROJECTIONS directions of random signs, s . x / |x|, which is about normal with variance 1 whatever x is; times STEPS,
rounded, and of that integer the lowest eight bits: one byte each. The high bits are left out since a verifier, who
computes nearly the same x, knows them. What is left is as good as uniform to anyone who does not compute x, so a
constant, a flipped sign or another answer's bytes are as far off as random ones; what is nearly right is near on the
circle of 256.

The directions follow from the order's seed, the input, the text and the step (see `node_agent.execution.native`): who
knows them early gains nothing, since without x there is nothing to project.

Integers and bytes only.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from contracts.protocol.errors import BadFingerprint

VERSION = 1
PROJECTIONS = 2
"""Bytes a token."""

STEPS = 1024
"""Steps per unit: a byte spans a quarter of a unit. The noise of bf16 is near 14 of these steps, that of fp32 below one
and that of weights rounded to int8 near 33 (bench/results/native.json)."""

CIRCLE = 256
FARTHEST = CIRCLE // 2

MARGIN_CLIP_MILLI = 10_000
"""The largest margin of a token, thousandths: e^-10 of a chance is as wrong as any."""

OPENING_HEAD = 64
"""Bytes of class and rows' digest."""


def distance(left: int, right: int) -> int:
    """How far two bytes are apart on the circle, 0 to FARTHEST steps."""
    apart = (left - right) % CIRCLE
    return min(apart, CIRCLE - apart)


def distances(node: bytes, verifier: bytes) -> list[int]:
    """Per token, the sum over its projections: 0 to PROJECTIONS * FARTHEST steps.

    Raises:
        BadFingerprint: the two are not of one length, or not of whole tokens.
    """
    if len(node) != len(verifier) or len(node) % PROJECTIONS:
        raise BadFingerprint(node_bytes=len(node), verifier_bytes=len(verifier))
    each = [distance(one, other) for one, other in zip(node, verifier, strict=True)]
    return [sum(each[start : start + PROJECTIONS]) for start in range(0, len(each), PROJECTIONS)]


@dataclass(frozen=True)
class NativeOpening:
    """What a node shows of a native job once it is bound to it: OPENING_HEAD bytes, and PROJECTIONS a token.

    Attributes:
        numeric_class: hex digest of the node's calibration.
        rows_digest: 32 bytes over the logits of every token chosen: equal within one class.
        fingerprint: of all texts, one after the other.
    """

    numeric_class: str
    rows_digest: bytes
    fingerprint: bytes

    def encode(self) -> bytes:
        """The bytes that are published."""
        return bytes.fromhex(self.numeric_class) + self.rows_digest + self.fingerprint

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Out of published bytes, whatever they are. Raises BadFingerprint where they are no opening."""
        if len(data) < OPENING_HEAD:
            raise BadFingerprint(node_bytes=len(data), verifier_bytes=OPENING_HEAD)
        return cls(data[:32].hex(), data[32:OPENING_HEAD], data[OPENING_HEAD:])

    @property
    def trace_hash(self) -> bytes:
        """32 bytes over all three: what a commitment binds. Hosts of one class compare it for equality."""
        return hashlib.sha256(self.encode()).digest()
