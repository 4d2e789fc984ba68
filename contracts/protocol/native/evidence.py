"""The evidence of one checked job: per token a distance of activations and a margin of the choice, in integers."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native.fingerprint import FARTHEST, MARGIN_CLIP_MILLI, PROJECTIONS, distances

MOST_DISTANCE = PROJECTIONS * FARTHEST


@dataclass(frozen=True)
class Evidence:
    """Values per token, in order over all texts.

    Attributes:
        distances: between node's and verifier's fingerprint, in steps, 0 to MOST_DISTANCE.
        margins_milli: by how much the verifier prefers another token, in thousandths, 0 to MARGIN_CLIP_MILLI.
        well_formed: whether each answer ends at its first stop token or its limit, and the fingerprint has two bytes
            per token. No float decides this, so an honest job always is.
    """

    distances: tuple[int, ...]
    margins_milli: tuple[int, ...]
    well_formed: bool = True

    def __post_init__(self) -> None:
        if len(self.distances) != len(self.margins_milli):
            raise ValueError(f"{len(self.distances)} distances and {len(self.margins_milli)} margins")
        if any(not 0 <= each <= MOST_DISTANCE for each in self.distances):
            raise ValueError(f"a distance is outside 0..{MOST_DISTANCE}")
        if any(not 0 <= each <= MARGIN_CLIP_MILLI for each in self.margins_milli):
            raise ValueError(f"a margin is outside 0..{MARGIN_CLIP_MILLI}")

    @property
    def tokens(self) -> int:
        """The number of tokens compared."""
        return len(self.distances)


def compare(node: bytes, verifier: bytes, margins_milli: Sequence[int], *, ended: bool) -> Evidence:
    """Evidence from what both have opened.

    Args:
        node: the node's fingerprint; any bytes.
        verifier: the verifier's fingerprint of the node's tokens.
        margins_milli: the verifier's, one per token.
        ended: whether every answer ends where it must.

    A node's fingerprint of the wrong length has the largest distance. Raises BadFingerprint if the verifier's
    fingerprint and margins differ in length.
    """
    if len(verifier) != PROJECTIONS * len(margins_milli):
        raise BadFingerprint(node_bytes=len(node), verifier_bytes=len(verifier))
    margins = tuple(margins_milli)
    if len(node) != len(verifier):
        return Evidence((MOST_DISTANCE,) * len(margins), margins, well_formed=False)
    return Evidence(tuple(distances(node, verifier)), margins, well_formed=ended)
