"""The packed epoch: the calldata of `settleEpoch`, and its permanent record (SPEC section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from contracts.protocol.errors import MalformedEpoch, OutOfRange
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.merkle import Row
from contracts.protocol.records import U32, U48, U64


class SkipReason(IntEnum):
    """Why all rows of a lane group were skipped."""

    BALANCE = 1
    CAP = 2
    SIGNATURE = 3
    EXPIRED = 4


@dataclass(frozen=True)
class CapProof:
    """The order that proves a lane's cap: spend cap in units, terms hash, compact signature."""

    cap: int
    terms_hash: bytes
    r: bytes
    vs: bytes


@dataclass(frozen=True)
class LaneGroup:
    """Consecutive rows of one lane, with the proof of the cap that covers them if one is needed."""

    requester: str
    signer: str
    proof: CapProof | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Epoch:
    """Lane groups in order, and the indices of VOID rows."""

    groups: tuple[LaneGroup, ...]
    void: frozenset[int]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows in order; row i is leaf i."""
        return tuple(row for group in self.groups for row in group.rows)


def bits(indices: frozenset[int] | set[int], count: int) -> bytes:
    """A bitmap of rows: row i is in byte i >> 3 under mask 1 << (i & 7)."""
    out = bytearray((count + 7) // 8)
    for index in indices:
        out[index >> 3] |= 1 << (index & 7)
    return bytes(out)


def bit_at(bitmap: bytes, index: int) -> bool:
    """Whether a row's bit is set."""
    return bool(bitmap[index >> 3] >> (index & 7) & 1)


def from_bits(data: bytes, count: int) -> frozenset[int]:
    """The rows whose bit is set."""
    return frozenset(i for i in range(count) if bit_at(data, i))


def outcomes_hash(void_bits: bytes, skipped_bits: bytes) -> int:
    """The hash of an epoch's outcomes that the chain keeps, 160 bits."""
    return int.from_bytes(keccak(void_bits + skipped_bits)[12:], "big")


def pack(epoch: Epoch) -> bytes:
    """An epoch's packed bytes. Raises OutOfRange for a number that does not fit its field."""
    rows = epoch.rows
    operators = sorted({row.operator_id for row in rows})
    position = {operator: index for index, operator in enumerate(operators)}
    parts = [_uint("number of operators", len(operators), 2)]
    parts += [_uint("operator_id", operator, 4) for operator in operators]
    parts.append(bits(epoch.void, len(rows)))
    for group in epoch.groups:
        parts.append(_pack_header(group))
        for row in group.rows:
            parts.append(_uint("op_index", position[row.operator_id], 2))
            parts.append(_uint("amount_units", row.amount_units, 6) + row.digest)
    return b"".join(parts)


def _pack_header(group: LaneGroup) -> bytes:
    cap = group.proof.cap if group.proof else 0
    header = bytes.fromhex(group.requester[2:]) + bytes.fromhex(group.signer[2:]) + _uint("cap", cap, 8)
    if group.proof:
        header += group.proof.terms_hash + group.proof.r + group.proof.vs
    return header + _uint("rows of a lane", len(group.rows), 2)


def _uint(name: str, value: int, size: int) -> bytes:
    high = {2: 0xFFFF, 4: U32, 6: U48, 8: U64}[size]
    if not 0 <= value <= high:
        raise OutOfRange(name=name, value=value, low=0, high=high)
    return value.to_bytes(size, "big")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def take(self, size: int) -> bytes:
        if self.offset + size > len(self.data):
            raise MalformedEpoch(f"needs {size} more bytes, {len(self.data) - self.offset} left", offset=self.offset)
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def unpack(data: bytes, count: int) -> Epoch:
    """The epoch of `count` rows in packed bytes. Raises MalformedEpoch where the contract would revert."""
    reader = _Reader(data)
    operators = [reader.uint(4) for _ in range(reader.uint(2))]
    void_bits = reader.take((count + 7) // 8)
    void = from_bits(void_bits, count)
    if bits(void, count) != void_bits:
        raise MalformedEpoch("spare outcome bits are set", offset=reader.offset - 1)
    groups: list[LaneGroup] = []
    left = count
    while left:
        group = _read_group(reader, operators, left)
        groups.append(group)
        left -= len(group.rows)
    if reader.offset != len(data):
        raise MalformedEpoch(f"{len(data) - reader.offset} bytes too many", offset=reader.offset)
    return Epoch(tuple(groups), void)


def _read_group(reader: _Reader, operators: Sequence[int], left: int) -> LaneGroup:
    requester, signer, cap = to_hex(reader.take(20)), to_hex(reader.take(20)), reader.uint(8)
    proof = CapProof(cap, reader.take(32), reader.take(32), reader.take(32)) if cap else None
    size = reader.uint(2)
    if not 1 <= size <= left:
        raise MalformedEpoch(f"a lane of {size} rows where 1..{left} are left", offset=reader.offset - 2)
    rows = []
    for _ in range(size):
        op_index = reader.uint(2)
        if op_index >= len(operators):
            raise MalformedEpoch(f"op_index {op_index} of {len(operators)} operators", offset=reader.offset - 2)
        rows.append(Row(requester, signer, operators[op_index], reader.uint(6), reader.take(32)))
    return LaneGroup(requester, signer, proof, tuple(rows))
