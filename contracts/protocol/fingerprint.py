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

from contracts.protocol.errors import BadFingerprint

VERSION = 1
PROJECTIONS = 2
"""Bytes a token."""

STEPS = 1024
"""Steps per unit: a byte spans a quarter of a unit, the noise of bf16 a twentieth of that (bench/results/raw)."""

CIRCLE = 256
FARTHEST = CIRCLE // 2

MARGIN_CLIP_MILLI = 10_000
"""The largest margin of a token, thousandths: e^-10 of a chance is as wrong as any."""

_TRACE_TAG = b"assay/trace/native/1\n"


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


def trace_hash(numeric_class: str, rows_digest: bytes, fingerprint: bytes) -> bytes:
    """What a commitment binds: 32 bytes over the node's class, all it computed, and the fingerprint.

    Inside one class it is compared for equality; across classes the node opens the three.

    Args:
        numeric_class: hex digest of the node's calibration.
        rows_digest: 32 bytes over the logits of every token chosen.
        fingerprint: of all texts, one after the other.
    """
    return hashlib.sha256(_TRACE_TAG + bytes.fromhex(numeric_class) + rows_digest + fingerprint).digest()
