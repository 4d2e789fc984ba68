"""Whether a lane can take one more order (SPEC sections 3 and 6). Amounts in units, times in seconds.

Two inequalities hold after every acceptance, whichever orders complete and in whatever order:
    open maxima <= balance          so that the lane can pay every accepted job
    charged + open maxima <= cap    so that the newest order alone proves every charge before it
"""

from backend.domain.errors import BalanceTooLow, CapTooLow, LaneExpiresFirst, LaneFull, LaneNotOpened, LaneUnderNotice
from contracts.protocol.constants import Constants
from contracts.protocol.lane import Lane
from contracts.protocol.pricing import spend_cap_units
from contracts.protocol.records import Order

MAX_OPEN_ORDERS = 1000
"""Most open orders of one lane: each acceptance reads all of them."""


def check_lane(
    order: Order, signer: str, lane: Lane, *, open_orders: int, open_max: int, now_s: int, constants: Constants
) -> None:
    """Raises a Conflict unless the lane takes this order. `open_max`: the sum of its open orders' maxima."""
    max_price = order.terms.max_price
    if signer != order.requester:
        if lane.expiry == 0:
            raise LaneNotOpened(requester=order.requester, signer=signer)
        if lane.expiry <= order.terms.deadline:
            raise LaneExpiresFirst(expiry=lane.expiry, deadline=order.terms.deadline)
    window = lane.withdrawable(constants)
    if window is not None and now_s < window[1]:
        raise LaneUnderNotice(notice_at=lane.notice_at, until=window[1])
    if open_orders >= MAX_OPEN_ORDERS:
        raise LaneFull(open_orders=open_orders, limit=MAX_OPEN_ORDERS)
    if open_max + max_price > lane.balance:
        raise BalanceTooLow(balance=lane.balance, open_max=open_max, max_price=max_price)
    if order.spend_cap < spend_cap_units(lane.charged, open_max, max_price):
        raise CapTooLow(cap=order.spend_cap, charged=lane.charged, open_max=open_max, max_price=max_price)
