"""Leaves and the Merkle tree by position (SPEC section 4): pairs from the left, an odd last node is promoted."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.errors import OutOfRange
from contracts.protocol.hashing import ZERO32, from_hex, keccak
from contracts.protocol.records import U32, U48


def lane_key(requester: str, signer: str) -> bytes:
    """A lane's key on chain."""
    return keccak(from_hex(requester) + from_hex(signer))


@dataclass(frozen=True)
class Row:
    """One job of an epoch: who pays, who earns, how many units, and the digest of the commitment or verdict."""

    requester: str
    signer: str
    operator_id: int
    amount_units: int
    digest: bytes

    def leaf(self) -> bytes:
        """keccak256 of 96 bytes. Inner nodes hash 64, so neither can pass for the other."""
        if not 0 <= self.operator_id <= U32:
            raise OutOfRange(name="operator_id", value=self.operator_id, low=0, high=U32)
        if not 0 <= self.amount_units <= U48:
            raise OutOfRange(name="amount_units", value=self.amount_units, low=0, high=U48)
        word = (self.operator_id << 64 | self.amount_units).to_bytes(32, "big")
        return keccak(lane_key(self.requester, self.signer) + word + self.digest)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of 32-byte leaves in order; 32 zero bytes for none."""
    level = list(leaves)
    if not level:
        return ZERO32
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def merkle_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings of leaf `index` from below. A level on which it is promoted adds none."""
    level, siblings = list(leaves), []
    while len(level) > 1:
        if index ^ 1 < len(level):
            siblings.append(level[index ^ 1])
        level, index = _parents(level), index // 2
    return siblings


def merkle_verify(leaf: bytes, index: int, count: int, siblings: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is at `index` of `count` leaves under `root`."""
    if not 0 <= index < count:
        return False
    node, width, rest = leaf, count, list(siblings)
    while width > 1:
        if index ^ 1 < width:
            if not rest:
                return False
            sibling = rest.pop(0)
            node = keccak(sibling + node) if index & 1 else keccak(node + sibling)
        index, width = index // 2, (width + 1) // 2
    return not rest and node == root


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [keccak(level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs
