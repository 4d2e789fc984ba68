"""A leaf with its place and its proof: whether a charge stands under a posted root."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row, merkle_proof, merkle_verify
from contracts.record.log_book import EpochLog


@dataclass(frozen=True)
class Leaf:
    """A row at a place of an epoch. `siblings`: its Merkle proof, 32 bytes each, from the leaf up."""

    row: Row
    index: int
    siblings: tuple[bytes, ...]

    @staticmethod
    def of_receipt(row: Row, index: int, siblings: Sequence[str]) -> "Leaf":
        """As receipts have it: siblings as 0x hex."""
        return Leaf(row, index, tuple(map(from_hex, siblings)))

    @staticmethod
    def of_log(row: Row, index: int, log: EpochLog) -> "Leaf":
        """With the proof that the published rows of its epoch give."""
        return Leaf(row, index, tuple(merkle_proof([each.leaf() for each in log.leaves], index)))

    def stands(self, root: bytes, count: int) -> bool:
        """Whether it stands at its place under the root of an epoch of `count` leaves."""
        return merkle_verify(self.row.leaf(), self.index, count, self.siblings, root)
