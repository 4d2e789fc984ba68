"""One logical transaction over its many hashes: what to do next, from what is known. Pure; the time is passed in.

An intent keeps its nonce for life, so that at most one of its attempts is ever mined. The exception is a nonce that
somebody else's transaction of the same key used up: then no attempt can be mined any more and a new nonce is safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 1125, 1000
"""12.5 %: geth's pool takes replacements from +10 % on (txpool price bump), others from +12.5 %."""

FEE_CEILING_WEI = 10**12
"""No fee goes above this by bumping alone: a chain that stands still must not drain the key when it resumes."""


@dataclass(frozen=True)
class Fees:
    """EIP-1559 fees, wei per gas."""

    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True)
class Attempt:
    """A signed transaction. Its hash and bytes are durable before it is sent."""

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
    """What is known of one intent now.

    `attempts`: those with its present nonce, oldest first. `mined`: the receipt of any attempt. `known`: the newest
    attempt lies in the node's pool. `mined_nonce`, `confirmed_nonce`: the sender's transaction count at the head and at
    `confirmed_block`, the newest block with enough confirmations.
    """

    nonce: int
    attempts: Sequence[Attempt]
    mined: Mined | None
    known: bool
    mined_nonce: int
    confirmed_nonce: int
    confirmed_block: int


class TxStep(Enum):
    """What to do next with an intent."""

    SIGN = "sign"
    RESEND = "resend"
    BUMP = "bump"
    WAIT = "wait"
    CONFIRM = "confirm"
    RENUMBER = "renumber"


@dataclass(frozen=True)
class Patience:
    """How long to wait, seconds: before a higher fee, and before a used nonce without a receipt counts as lost."""

    bump_after_s: int = 30
    lost_after_s: int = 120


def decide(sight: TxView, now: int, patience: Patience) -> TxStep:
    """The next step of one intent."""
    if sight.mined is not None:
        return TxStep.CONFIRM if sight.mined.block_number <= sight.confirmed_block else TxStep.WAIT
    if not sight.attempts:
        return TxStep.SIGN if sight.mined_nonce <= sight.nonce else _lost(sight)
    waited = now - sight.attempts[-1].sent_at
    if sight.mined_nonce > sight.nonce:
        return _lost(sight) if waited >= patience.lost_after_s else TxStep.WAIT
    if not sight.known:
        return TxStep.RESEND
    if sight.nonce == sight.mined_nonce and waited >= patience.bump_after_s:
        return TxStep.BUMP  # only the first in the queue: the others wait for it, not for a higher fee
    return TxStep.WAIT


def _lost(sight: TxView) -> TxStep:
    return TxStep.RENUMBER if sight.confirmed_nonce > sight.nonce else TxStep.WAIT


def suggested(base_fee_wei: int, tip_wei: int) -> Fees:
    """Fees that stay good while the base fee doubles."""
    return Fees(2 * base_fee_wei + tip_wei, tip_wei)


def bumped(last: Fees, fresh: Fees) -> Fees | None:
    """At least 12.5 % above `last`, and no lower than `fresh`. None where that would pass the ceiling."""
    fees = Fees(max(_raised(last.max_fee_wei), fresh.max_fee_wei), max(_raised(last.tip_wei), fresh.tip_wei))
    return fees if fees.max_fee_wei <= max(FEE_CEILING_WEI, fresh.max_fee_wei) else None


def _raised(wei: int) -> int:
    return -(-wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR)
