"""Decides the next step of one logical transaction (an intent) with its many attempts. Pure; the time is passed in.

An intent keeps its nonce, so that at most one of its attempts is ever mined. It gets a new one only after another
transaction of the same key used the nonce: then none of its attempts can be mined any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 1125, 1000
"""+12.5 %: geth's pool accepts replacements from +10 % (its price bump), other pools from +12.5 %."""

FEE_CEILING_WEI = 10**12
"""Bumping never exceeds this fee: a chain that stalls must not drain the key when it resumes."""


@dataclass(frozen=True)
class Fees:
    """EIP-1559 fees, wei per gas."""

    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True)
class Attempt:
    """A signed transaction."""

    tx_hash: str
    raw: bytes
    fees: Fees
    sent_at: int


@dataclass(frozen=True)
class Mined:
    """A transaction's receipt."""

    tx_hash: str
    block_number: int
    succeeded: bool
    gas_used: int


@dataclass(frozen=True)
class TxView:
    """The known facts of one intent.

    `attempts`: those with its present nonce, oldest first. `mined`: the receipt of any attempt. `known`: whether the
    newest attempt is in the node's pool. `mined_nonce`, `confirmed_nonce`: the sender's transaction count at the head
    and at `confirmed_block`, the newest block with enough confirmations.
    """

    nonce: int
    attempts: Sequence[Attempt]
    mined: Mined | None
    known: bool
    mined_nonce: int
    confirmed_nonce: int
    confirmed_block: int


class TxStep(Enum):
    """The next step of an intent."""

    SIGN = "sign"
    RESEND = "resend"
    BUMP = "bump"
    WAIT = "wait"
    CONFIRM = "confirm"
    RENUMBER = "renumber"


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait before the fee is raised, and before a used nonce without a receipt counts as lost."""

    bump_after_s: int = 30
    lost_after_s: int = 120


def decide(view: TxView, now: int, timeouts: Timeouts) -> TxStep:
    if view.mined is not None:
        return TxStep.CONFIRM if view.mined.block_number <= view.confirmed_block else TxStep.WAIT
    if not view.attempts:
        return TxStep.SIGN if view.mined_nonce <= view.nonce else _lost(view)
    waited = now - view.attempts[-1].sent_at
    if view.mined_nonce > view.nonce:
        return _lost(view) if waited >= timeouts.lost_after_s else TxStep.WAIT
    if not view.known:
        return TxStep.RESEND
    if view.nonce == view.mined_nonce and waited >= timeouts.bump_after_s:
        return TxStep.BUMP  # only for the first in the queue: the others wait for it, not for a higher fee
    return TxStep.WAIT


def _lost(view: TxView) -> TxStep:
    return TxStep.RENUMBER if view.confirmed_nonce > view.nonce else TxStep.WAIT


def suggested(base_fee_wei: int, tip_wei: int) -> Fees:
    """Fees that stay sufficient until the base fee has doubled."""
    return Fees(2 * base_fee_wei + tip_wei, tip_wei)


def bumped(last: Fees, fresh: Fees) -> Fees | None:
    """At least 12.5 % above `last`, and no lower than `fresh`. None if that would exceed the ceiling."""
    fees = Fees(max(_raised(last.max_fee_wei), fresh.max_fee_wei), max(_raised(last.tip_wei), fresh.tip_wei))
    return fees if fees.max_fee_wei <= max(FEE_CEILING_WEI, fresh.max_fee_wei) else None


def _raised(wei: int) -> int:
    return -(-wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR)
