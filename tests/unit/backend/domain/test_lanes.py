"""What a lane can carry.

given a lane
├── when it is another signer's and was never opened: lane_not_opened
├── when it expires before the order's deadline: lane_expires_first
├── when it is under notice: lane_under_notice, until the notice lapses
├── when open maxima and this one exceed the balance: balance_too_low
├── when the cap is below charged + open + this: cap_too_low
└── otherwise the order is accepted, and whatever completes first, caps and balance cover every charge
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import BalanceTooLow, CapTooLow
from backend.domain.lanes import check_lane
from backend.errors import BackendError
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.lane import Lane
from contracts.protocol.records import Order
from tests.unit.backend.world import NODE, NOW, REQUESTER, terms

PRICE = 180
NOTICE_ENDS = DEVELOPMENT.notice_s + DEVELOPMENT.notice_life_s


def check(
    lane: Lane, *, cap: int = PRICE, open_max: int = 0, signer: str = REQUESTER.address, now_s: int = NOW
) -> None:
    order = Order(requester=REQUESTER.address, spend_cap=cap, terms=terms(max_price=PRICE))
    check_lane(order, signer, lane, open_orders=0, open_max=open_max, now_s=NOW, constants=DEVELOPMENT)


def test_covered_orders() -> None:
    """Protects requesters from refusals at the exact edges of balance, cap, notice and expiry."""
    check(Lane(balance=PRICE))
    check(Lane(balance=2 * PRICE, charged=7), cap=7 + 2 * PRICE, open_max=PRICE)
    check(Lane(balance=PRICE, notice_at=NOW - NOTICE_ENDS))
    check(Lane(balance=PRICE, expiry=NOW + 101), signer=NODE.address)


@pytest.mark.parametrize(
    ("code", "lane", "arguments"),
    [
        ("lane_not_opened", Lane(balance=PRICE), {"signer": NODE.address}),
        ("lane_expires_first", Lane(balance=PRICE, expiry=NOW + 100), {"signer": NODE.address}),
        ("balance_too_low", Lane(balance=PRICE - 1), {}),
        ("balance_too_low", Lane(balance=2 * PRICE - 1), {"open_max": PRICE, "cap": 10_000}),
        ("cap_too_low", Lane(balance=PRICE), {"cap": PRICE - 1}),
        ("cap_too_low", Lane(balance=PRICE, charged=1), {}),
        ("cap_too_low", Lane(balance=2 * PRICE), {"open_max": 1}),
    ],
)
def test_refused_orders(code: str, lane: Lane, arguments: dict[str, int | str]) -> None:
    """Protects nodes from work that its lane could not pay, or whose cap proves too little. Covers: A25"""
    with pytest.raises(BackendError) as caught:
        check(lane, **arguments)  # type: ignore[arg-type]  # a table of keyword arguments
    assert caught.value.code == code


@pytest.mark.parametrize("age_s", [0, 1, DEVELOPMENT.notice_s, NOTICE_ENDS - 1])
def test_order_under_notice_is_refused(age_s: int) -> None:
    """Protects nodes from deposits taken back under their hands: ripe or not, a notice bars orders. Covers: A30"""
    lane = Lane(balance=PRICE, notice_at=NOW - age_s)
    assert lane.is_under_notice(NOW, DEVELOPMENT)
    with pytest.raises(BackendError) as caught:
        check(lane)
    assert caught.value.code == "lane_under_notice"


@given(
    deposit=st.integers(0, 2000),
    steps=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 100), st.integers(0, 3), st.integers(-2, 2))),
)
def test_accepted_orders_are_always_payable(deposit: int, steps: list[tuple[int, int, int, int]]) -> None:
    """Protects nodes: in any interleaving of orders and settlements, no accepted job meets an empty lane or a low cap.

    Each step settles some open orders at a part of their maximum, in an order of its own, then offers a new order
    whose cap is off by a little. Covers: A25, A30
    """
    balance, charged, best_cap = deposit, 0, 0
    open_orders: list[int] = []
    for max_price, percent, settle, slip in steps:
        for _ in range(min(settle, len(open_orders))):
            amount = open_orders.pop((percent * 7) % len(open_orders)) * percent // 100
            balance, charged = balance - amount, charged + amount
        assert balance >= 0
        cap = max(0, charged + sum(open_orders) + max_price + slip)
        order = Order(requester=REQUESTER.address, spend_cap=cap, terms=terms(max_price=max_price))
        lane = Lane(balance=balance, charged=charged)
        try:
            check_lane(
                order,
                REQUESTER.address,
                lane,
                open_orders=len(open_orders),
                open_max=sum(open_orders),
                now_s=NOW,
                constants=DEVELOPMENT,
            )
        except (CapTooLow, BalanceTooLow):
            assert slip < 0 or sum(open_orders) + max_price > balance
            continue
        open_orders.append(max_price)
        best_cap = max(best_cap, cap)
        assert sum(open_orders) <= balance
        assert charged + sum(open_orders) <= best_cap
