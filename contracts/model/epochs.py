"""The packed epoch (SPEC section 5) as the contract reads it, with the contract's errors.

`contracts/protocol/packing` reads the same bytes for auditors, with readable errors, and is not used here.
"""

from dataclasses import dataclass

from contracts.model.base import refuse_if
from contracts.model.proofs import is_set
from contracts.protocol.packing import CapProof


@dataclass(frozen=True)
class PackedRow:
    """A row of a group, 40 bytes."""

    op_index: int
    amount_units: int
    digest: bytes


@dataclass(frozen=True)
class Group:
    """Consecutive rows of one lane. `proof` is None if its cap is 0."""

    requester: str
    signer: str
    proof: CapProof | None
    first_row: int
    rows: list[PackedRow]
    paid_rows: list[PackedRow]

    @property
    def indices(self) -> range:
        """The positions of its rows in the epoch."""
        return range(self.first_row, self.first_row + len(self.rows))

    @property
    def sum_units(self) -> int:
        """The sum of its rows that are not VOID."""
        return sum(row.amount_units for row in self.paid_rows)


@dataclass(frozen=True)
class Record:
    """A whole packed epoch."""

    operator_ids: list[int]
    void_bits: bytes
    groups: list[Group]


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def require(self, size: int) -> None:
        """Refuses if fewer bytes are left."""
        needed = self.at + size
        refuse_if(len(self.data) < needed, "PackedEpoch_Truncated", needed, len(self.data))

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def read_epoch(packed: bytes, count: int) -> Record:
    """The epoch of `count` rows. Checks that a part is complete before reading it."""
    data = _Bytes(packed)
    data.require(2)
    operators = data.uint(2)
    data.require(4 * operators + (count + 7) // 8)
    operator_ids = [data.uint(4) for _ in range(operators)]
    void_bits = data.take((count + 7) // 8)
    if count % 8 != 0:
        refuse_if(void_bits[-1] >> count % 8 != 0, "PackedEpoch_SpareBitsSet", void_bits[-1], count)
    groups: list[Group] = []
    read = 0
    while read < count:
        group = _read_group(data, operators, void_bits, read, count)
        groups.append(group)
        read += len(group.rows)
    refuse_if(data.at != len(packed), "PackedEpoch_TrailingBytes", data.at, len(packed))
    return Record(operator_ids, void_bits, groups)


def _read_group(data: _Bytes, operators: int, void_bits: bytes, first_row: int, count: int) -> Group:
    data.require(20 + 20 + 8 + 2)
    requester, signer, cap = "0x" + data.take(20).hex(), "0x" + data.take(20).hex(), data.uint(8)
    proof = None
    if cap > 0:
        data.require(3 * 32 + 2)
        proof = CapProof(cap, data.take(32), data.take(32), data.take(32))
    size, left = data.uint(2), count - first_row
    refuse_if(size == 0 or size > left, "PackedEpoch_WrongGroupSize", size, left)
    data.require(40 * size)
    rows = []
    for _ in range(size):
        op_index = data.uint(2)
        refuse_if(op_index >= operators, "PackedEpoch_OperatorIndexOutOfRange", op_index, operators)
        rows.append(PackedRow(op_index, data.uint(6), data.take(32)))
    paid = [row for i, row in enumerate(rows) if not is_set(void_bits, first_row + i)]
    return Group(requester, signer, proof, first_row, rows, paid)
