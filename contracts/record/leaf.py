"""A leaf with its Merkle proof, which shows that a charge is under a posted root."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row, merkle_proof, merkle_verify
from contracts.record.log_book import EpochLog


@dataclass(frozen=True)
class Leaf:
    """Row `index` of an epoch. `siblings`: its Merkle proof, 32 bytes each, from the leaf up."""

    row: Row
    index: int
    siblings: tuple[bytes, ...]

    @staticmethod
    def of_receipt(row: Row, index: int, siblings: Sequence[str]) -> "Leaf":
        """From a receipt, with siblings in 0x hex."""
        return Leaf(row, index, tuple(map(from_hex, siblings)))

    @staticmethod
    def of_log(row: Row, index: int, log: EpochLog) -> "Leaf":
        """With a proof computed from the published rows of its epoch."""
        return Leaf(row, index, tuple(merkle_proof([each.leaf() for each in log.leaves], index)))

    def stands(self, root: bytes, count: int) -> bool:
        """Whether it is leaf `index` of `count` under the root."""
        return merkle_verify(self.row.leaf(), self.index, count, self.siblings, root)
