"""A job's state follows from facts and time."""

import dataclasses

import pytest

from backend.domain.outcomes import JobFacts, Settlement, is_exposed, is_open, state_of
from contracts.protocol.wire import OrderState

NEW = JobFacts(order_id="o", max_price=10, deadline=100)
DELIVERED = dataclasses.replace(NEW, is_delivered=True, lease_expires=90)
ROOTED = dataclasses.replace(DELIVERED, is_posted=True)
PAID = dataclasses.replace(ROOTED, settlement=Settlement(is_void=False, is_skipped=False))
VOID = dataclasses.replace(ROOTED, settlement=Settlement(is_void=True, is_skipped=False))
SKIPPED = dataclasses.replace(ROOTED, settlement=Settlement(is_void=False, is_skipped=True))
VOID_SKIPPED = dataclasses.replace(ROOTED, settlement=Settlement(is_void=True, is_skipped=True))


@pytest.mark.parametrize(
    ("job", "now_s", "state", "open_", "exposed"),
    [
        (NEW, 100, "queued", True, False),
        (NEW, 101, "expired", False, False),
        (dataclasses.replace(NEW, lease_expires=60), 60, "leased", True, True),
        (dataclasses.replace(NEW, lease_expires=60), 61, "queued", True, False),
        (dataclasses.replace(NEW, lease_expires=110), 105, "leased", True, True),
        (dataclasses.replace(NEW, lease_expires=110), 111, "expired", False, False),
        (DELIVERED, 50, "delivered", True, True),
        (DELIVERED, 10_000, "delivered", True, True),
        (ROOTED, 10_000, "rooted", True, True),
        (PAID, 10_000, "paid", False, False),
        (VOID, 10_000, "void", False, False),
        (VOID_SKIPPED, 10_000, "void", False, False),
        (SKIPPED, 10_000, "skipped", True, False),
        (dataclasses.replace(SKIPPED, settled_alone=True), 10_000, "paid", False, False),
        (dataclasses.replace(SKIPPED, closed_unpaid=True), 10_000, "void", False, False),
        (dataclasses.replace(ROOTED, settled_alone=True, closed_unpaid=True), 10_000, "paid", False, False),
        (dataclasses.replace(PAID, closed_unpaid=True), 10_000, "paid", False, False),
    ],
)
def test_state(job: JobFacts, now_s: int, state: OrderState, open_: bool, exposed: bool) -> None:
    """Protects every sum: a job reserves money while it may be charged, and stake while it may be wrong."""
    assert state_of(job, now_s) == state
    assert is_open(job, now_s) is open_
    assert is_exposed(job, now_s) is exposed
