"""Seed, least check rate, sample and draw of verifiers (SPEC sections 9 and 10).

Integers only, so that anyone recomputes them bit for bit.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from contracts.protocol.hashing import keccak
from contracts.protocol.records import Record

CERTAIN = 2**256
_PPM = 1_000_000
_Ppm = Annotated[int, Field(strict=True, ge=0, le=_PPM)]


class Deterrence(Record):
    """Constants of the published formula: costs in millionths of the reward R, chances in millionths."""

    honest_cost_ppm: _Ppm
    cheat_cost_ppm: _Ppm
    detection_ppm: _Ppm
    collusion_ppm: _Ppm
    false_alarm_ppm: _Ppm


def seed(block_hash: bytes, next_beacon: bytes, root: bytes) -> bytes:
    """seed_n, from the hash of the K-th block after root n, the beacon value posted with n+1, and root n."""
    return keccak(block_hash + next_beacon + root)


def least_threshold(constants: Deterrence, *, stake_units: int, exposure_units: int, penalty_multiple: int) -> int:
    """The lowest check rate p at which cheating on every open job loses money, times 2^256 (then all are checked).

    p >= (C - C') / ((d(1-q) - f)(R + kR)) with k = min(penalty_multiple, stake / exposure).
    """
    if exposure_units <= 0:
        return CERTAIN
    at_stake = min(stake_units, penalty_multiple * exposure_units)
    gain = constants.honest_cost_ppm - constants.cheat_cost_ppm
    caught = constants.detection_ppm * (_PPM - constants.collusion_ppm) // _PPM - constants.false_alarm_ppm
    if at_stake <= 0 or caught <= 0:
        return CERTAIN
    if gain <= 0:
        return 0
    denominator = caught * (exposure_units + at_stake)
    return min(CERTAIN, -(-gain * exposure_units * CERTAIN // denominator))


def raised(threshold: int, least_rate_ppm: int) -> int:
    """A threshold, raised to that of a minimum rate."""
    return max(threshold, -(-least_rate_ppm * CERTAIN // _PPM))


def is_sampled(seed_: bytes, digest: bytes, threshold: int) -> bool:
    """Whether the row with this digest is checked."""
    return int.from_bytes(keccak(seed_ + digest), "big") < threshold


def draw_verifiers(seed_: bytes, digest: bytes, stakes: Mapping[int, int]) -> list[int]:
    """Verifier account ids in their order of duty for a row, drawn by stake.

    `stakes`: account id -> active stake in units, without accounts of the checked node's owner.
    """
    left = {account: stake for account, stake in sorted(stakes.items()) if stake > 0}
    order: list[int] = []
    while left:
        point = int.from_bytes(keccak(seed_ + digest + bytes([len(order)])), "big") % sum(left.values())
        order.append(_account_at(left, point))
        del left[order[-1]]
    return order


def _account_at(stakes: Mapping[int, int], point: int) -> int:
    for account, stake in stakes.items():
        if point < stake:
            return account
        point -= stake
    raise AssertionError("point lies beyond the sum of stakes")
