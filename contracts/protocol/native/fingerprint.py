"""The fingerprint of a native generation, which its node commits to and publishes. Integers and bytes only.

For each chosen token, the last hidden state x (after the final norm) is projected on PROJECTIONS directions of random
signs. s . x / |x| is about normal with variance 1 for any x. It is multiplied by STEPS and rounded, and the lowest
eight bits are kept: one byte each. A verifier computes nearly the same x and so knows the high bits. To anybody else
the low bits are as good as uniform, so a constant, a flipped sign or another answer's bytes are as far off as random
ones, and nearly right values are near on the circle of 256.

The directions follow from the order's seed, the input, the text and the step (see `node_agent.execution.native`).
Knowing them early does not help: without x there is nothing to project.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from contracts.protocol.errors import BadFingerprint

VERSION = 1
PROJECTIONS = 2
"""Bytes per token."""

STEPS = 1024
"""Steps per unit: a byte spans a quarter of a unit. The noise of bf16 is near 14 of these steps, that of fp32 below one
and that of weights rounded to int8 near 33 (bench/results/native.json)."""

CIRCLE = 256
FARTHEST = CIRCLE // 2

MARGIN_CLIP_MILLI = 10_000
"""The largest margin of a token, in thousandths: a chance of e^-10 is as wrong as any smaller one."""

OPENING_HEAD = 64
"""Bytes of the class and the rows' digest."""


def distance(left: int, right: int) -> int:
    """How far two bytes are apart on the circle, 0 to FARTHEST steps."""
    apart = (left - right) % CIRCLE
    return min(apart, CIRCLE - apart)


def distances(node: bytes, verifier: bytes) -> list[int]:
    """Per token the sum over its projections, 0 to PROJECTIONS * FARTHEST steps.

    Raises BadFingerprint if the lengths differ or are not of whole tokens.
    """
    if len(node) != len(verifier) or len(node) % PROJECTIONS:
        raise BadFingerprint(node_bytes=len(node), verifier_bytes=len(verifier))
    each = [distance(one, other) for one, other in zip(node, verifier, strict=True)]
    return [sum(each[start : start + PROJECTIONS]) for start in range(0, len(each), PROJECTIONS)]


@dataclass(frozen=True)
class NativeOpening:
    """What a node shows of a native job: OPENING_HEAD bytes, and PROJECTIONS bytes per token.

    Attributes:
        numeric_class: hex digest of the node's calibration.
        rows_digest: 32 bytes over the logits of every chosen token, equal within one class.
        fingerprint: of all texts in order.
    """

    numeric_class: str
    rows_digest: bytes
    fingerprint: bytes

    def encode(self) -> bytes:
        """The bytes that are published."""
        return bytes.fromhex(self.numeric_class) + self.rows_digest + self.fingerprint

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decodes published bytes. Raises BadFingerprint."""
        if len(data) < OPENING_HEAD:
            raise BadFingerprint(node_bytes=len(data), verifier_bytes=OPENING_HEAD)
        return cls(data[:32].hex(), data[32:OPENING_HEAD], data[OPENING_HEAD:])

    @property
    def trace_hash(self) -> bytes:
        """32 bytes over all three, bound by the commitment. Hosts of one class compare it for equality."""
        return hashlib.sha256(self.encode()).digest()
