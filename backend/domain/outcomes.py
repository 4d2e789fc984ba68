"""A job's state: derived from facts and time, never stored (DESIGN section 2)."""

from dataclasses import dataclass

from contracts.protocol.wire import OrderState

CLOSED_STATES: frozenset[OrderState] = frozenset(("paid", "void", "expired"))
"""States after which an order can no longer be charged."""


@dataclass(frozen=True)
class Settlement:
    """A settlement's effect on one row."""

    is_void: bool
    is_skipped: bool


@dataclass(frozen=True)
class JobFacts:
    """The known facts of a job. Times in seconds, `max_price` in units.

    `settled_alone`: the leaf was paid on its own (settleOne). `closed_unpaid`: the court closed it without payment.
    """

    order_id: str
    max_price: int
    deadline: int
    lease_expires: int | None = None
    is_delivered: bool = False
    is_posted: bool = False
    settlement: Settlement | None = None
    settled_alone: bool = False
    closed_unpaid: bool = False


def state_of(job: JobFacts, now_s: int) -> OrderState:
    if not job.is_delivered:
        return _undelivered(job, now_s)
    if job.settlement is not None and not job.settlement.is_skipped:
        return "void" if job.settlement.is_void else "paid"
    if job.settled_alone:
        return "paid"
    if job.closed_unpaid:
        return "void"
    if job.settlement is not None:
        return "void" if job.settlement.is_void else "skipped"
    return "rooted" if job.is_posted else "delivered"


def _undelivered(job: JobFacts, now_s: int) -> OrderState:
    if job.lease_expires is not None and now_s <= job.lease_expires:
        return "leased"
    return "queued" if now_s <= job.deadline else "expired"


def is_open(job: JobFacts, now_s: int) -> bool:
    """Whether the order may still be charged, so that its maximum stays reserved. Skipped rows stay payable."""
    return state_of(job, now_s) not in CLOSED_STATES


def is_exposed(job: JobFacts, now_s: int) -> bool:
    """Whether the operator that holds or delivered the job still answers for it: until its settlement."""
    return state_of(job, now_s) in ("leased", "delivered", "rooted")
