"""What callers prove about a leaf (SPEC sections 4 and 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.model.base import hash_words, refuse_if
from contracts.protocol.hashing import keccak
from contracts.protocol.merkle import lane_key


@dataclass(frozen=True)
class LeafProof:
    """A leaf and its siblings on the way to its epoch's root."""

    epoch_id: int
    index: int
    requester: str
    signer: str
    operator_id: int
    amount_units: int
    digest: bytes
    siblings: tuple[bytes, ...]


@dataclass(frozen=True)
class Outcomes:
    """The two bitmaps behind a settled epoch's outcomes."""

    void_bits: bytes
    skipped_bits: bytes


def is_set(bitmap: bytes, index: int) -> bool:
    """A row's bit: byte i >> 3, mask 1 << (i & 7)."""
    return bool(bitmap[index >> 3] >> (index & 7) & 1)


def leaf_hash(requester: str, signer: str, operator_id: int, amount_units: int, digest: bytes) -> bytes:
    """The leaf. Its amount may be any 64-bit number, also one too large for a packed row."""
    return hash_words(lane_key(requester, signer), operator_id << 64 | amount_units, digest)


def root_from_proof(node: bytes, index: int, count: int, siblings: Sequence[bytes]) -> bytes:
    """The root by a proof. Refuses a position outside the tree, and too few or too many siblings."""
    refuse_if(index >= count, "Merkle_IndexOutOfRange", index, count)
    used, width = 0, count
    while width > 1:
        if index ^ 1 < width:
            refuse_if(used == len(siblings), "Merkle_WrongProofLength", used + 1, len(siblings))
            pair = (siblings[used], node) if index % 2 else (node, siblings[used])
            node = keccak(b"".join(pair))
            used += 1
        index, width = index // 2, (width + 1) // 2
    refuse_if(used != len(siblings), "Merkle_WrongProofLength", used, len(siblings))
    return node
