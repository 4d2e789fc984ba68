"""Which rows an epoch takes, in which order, when it closes, and what its settlement may weigh. Pure.

Amounts in units, times in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from contracts.protocol.merkle import Row

MAX_ROWS = 2900
"""Rows of one settlement: about what fits into a transaction of 128 KiB."""
MAX_PACKED_BYTES = 130_000
"""geth's pool accepts transactions of up to 128 KiB (txMaxSize); the rest is the envelope."""
MAX_SETTLE_GAS = 16_000_000
"""EIP-7825 caps a transaction at 2^24."""

RowKind = Literal["job", "check"]

_INTRINSIC_GAS = 21_000
_CALLDATA_GAS = {False: 4, True: 16}
_CALLDATA_FLOOR_GAS = {False: 10, True: 40}
"""Per calldata byte, by whether it is non-zero: EIP-2028, and EIP-7623's floor."""
_ROW_BYTES, _LANE_BYTES, _OPERATOR_BYTES = 41, 146, 4
"""Packed sizes (SPEC section 5): a row with its void bit, rounded up; a lane with its cap."""
_BASE_GAS, _ROW_GAS, _LANE_GAS, _OPERATOR_GAS = 150_000, 1_500, 20_000, 30_000
"""Execution, well above measurements with cold slots, one ecrecover per lane and one fresh slot per operator."""


@dataclass(frozen=True)
class RowCandidate:
    """A fact that waits to become a row: a job's commitment, or the verdict of a check."""

    row: Row
    kind: RowKind
    received_at: int


@dataclass(frozen=True)
class Bond:
    """The settler's bond and the two buckets of the charge window, as the chain stores them."""

    bond: int
    bucket_start: int
    spent_previous: int
    spent_current: int


def budget_units(bond: Bond, now_s: int, window_s: int, unsettled_units: int) -> int:
    """How much may still be rooted so that every settlement stays within the bond (SPEC section 6, charge window).

    `unsettled_units`: what closed epochs that are not settled will charge. The result may be negative.
    """
    if now_s >= bond.bucket_start + 2 * window_s:
        spent = 0
    elif now_s >= bond.bucket_start + window_s:
        spent = bond.spent_current
    else:
        spent = bond.spent_previous + bond.spent_current
    return bond.bond - spent - unsettled_units


def choose(candidates: Iterable[RowCandidate], budget: int, max_rows: int = MAX_ROWS) -> list[RowCandidate]:
    """The candidates that fit, oldest first, lane by lane. One that does not fit does not hold up those behind it.

    They fit if their amounts stay within `budget` and their settlement fits into one transaction.
    """
    load = _Load(budget)
    chosen: list[RowCandidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.received_at, c.row.digest)):
        if len(chosen) == max_rows:
            break
        if load.takes(candidate.row):
            chosen.append(candidate)
    return by_lane(chosen)


class _Load:
    """Units, bytes and gas of a settlement so far. Counts every byte as non-zero and every lane with its cap."""

    def __init__(self, budget: int) -> None:
        self._budget, self._bytes, self._gas = budget, 2, _INTRINSIC_GAS + _BASE_GAS
        self._seen: set[object] = set()

    def takes(self, row: Row) -> bool:
        """Adds the row, unless it does not fit."""
        size, gas = _ROW_BYTES, _ROW_GAS
        if _lane(row) not in self._seen:
            size, gas = size + _LANE_BYTES, gas + _LANE_GAS
        if row.operator_id not in self._seen:
            size, gas = size + _OPERATOR_BYTES, gas + _OPERATOR_GAS
        gas += _CALLDATA_GAS[True] * size
        fits = (
            row.amount_units <= self._budget
            and self._bytes + size <= MAX_PACKED_BYTES
            and self._gas + gas <= MAX_SETTLE_GAS
        )
        if fits:
            self._budget, self._bytes, self._gas = self._budget - row.amount_units, self._bytes + size, self._gas + gas
            self._seen |= {_lane(row), row.operator_id}
        return fits


def by_lane(candidates: Sequence[RowCandidate]) -> list[RowCandidate]:
    """Groups rows by lane, lanes in the order of their first row."""
    lanes: dict[tuple[str, str], list[RowCandidate]] = {}
    for candidate in candidates:
        lanes.setdefault(_lane(candidate.row), []).append(candidate)
    return [candidate for group in lanes.values() for candidate in group]


def is_due(chosen: Sequence[RowCandidate], now_s: int, epoch_s: int, row_goal: int) -> bool:
    """Whether to close: there are `row_goal` rows, or the oldest one has waited `epoch_s`."""
    return bool(chosen) and (len(chosen) >= row_goal or now_s - min(c.received_at for c in chosen) >= epoch_s)


def lane_runs(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Start and end of each run of rows of the same lane."""
    starts = [i for i in range(len(rows)) if i == 0 or _lane(rows[i]) != _lane(rows[i - 1])]
    return list(pairwise([*starts, len(rows)]))


def settle_gas(calldata: bytes, rows: Sequence[Row]) -> int:
    """Gas limit of settleEpoch, by formula: an estimate would run the whole settlement many times."""
    nonzero = len(calldata) - calldata.count(0)
    zero = len(calldata) - nonzero
    floor = _CALLDATA_FLOOR_GAS[False] * zero + _CALLDATA_FLOOR_GAS[True] * nonzero
    execution = (
        _CALLDATA_GAS[False] * zero
        + _CALLDATA_GAS[True] * nonzero
        + _BASE_GAS
        + _ROW_GAS * len(rows)
        + _LANE_GAS * len(lane_runs(rows))
        + _OPERATOR_GAS * len({row.operator_id for row in rows})
    )
    return _INTRINSIC_GAS + max(floor, execution)


def _lane(row: Row) -> tuple[str, str]:
    return row.requester, row.signer
