"""Whether a lane can carry one more order (SPEC sections 3 and 6). Amounts in units, times in seconds.

The two sums that hold after every acceptance, whatever completes and in whatever order:
    open maxima <= balance          so that no accepted job meets a lane that cannot pay it
    charged + open maxima <= cap    so that the newest order alone proves every charge before it
"""

from dataclasses import dataclass

from backend.errors import BalanceTooLow, CapTooLow, LaneExpiresFirst, LaneFull, LaneNotOpened, LaneUnderNotice
from contracts.protocol.constants import Constants
from contracts.protocol.pricing import spend_cap_units
from contracts.protocol.records import Order

MAX_OPEN_ORDERS = 1000
"""Open orders of one lane: each is looked at whenever the next is accepted."""


@dataclass(frozen=True)
class Lane:
    """A lane as the chain has it. `notice_at` 0: no notice. `expiry` 0: the requester's own lane, or never opened."""

    balance: int = 0
    charged: int = 0
    cap_proven: int = 0
    notice_at: int = 0
    expiry: int = 0


def is_under_notice(lane: Lane, now_s: int, constants: Constants) -> bool:
    """Whether money may leave the lane by a notice that was given and has not lapsed."""
    return lane.notice_at != 0 and now_s < notice_ends(lane, constants)


def notice_ends(lane: Lane, constants: Constants) -> int:
    """When the lane's notice lapses."""
    return lane.notice_at + constants.notice_s + constants.notice_life_s


def check_lane(
    order: Order, signer: str, lane: Lane, *, open_orders: int, open_max: int, now_s: int, constants: Constants
) -> None:
    """Raises the Conflict that keeps this order out of its lane. `open_max`: the maxima of its open orders together."""
    max_price = order.terms.max_price
    if signer != order.requester:
        if lane.expiry == 0:
            raise LaneNotOpened(requester=order.requester, signer=signer)
        if lane.expiry <= order.terms.deadline:
            raise LaneExpiresFirst(expiry=lane.expiry, deadline=order.terms.deadline)
    if is_under_notice(lane, now_s, constants):
        raise LaneUnderNotice(notice_at=lane.notice_at, until=notice_ends(lane, constants))
    if open_orders >= MAX_OPEN_ORDERS:
        raise LaneFull(open_orders=open_orders, limit=MAX_OPEN_ORDERS)
    if open_max + max_price > lane.balance:
        raise BalanceTooLow(balance=lane.balance, open_max=open_max, max_price=max_price)
    if order.spend_cap < spend_cap_units(lane.charged, open_max, max_price):
        raise CapTooLow(cap=order.spend_cap, charged=lane.charged, open_max=open_max, max_price=max_price)
