"""Decides which node gets which job, and for how long. Amounts in units, times in seconds.

- A job is lent to one node at a time: leases never overlap.
- k * (open maxima + this maximum) <= stake, so that cheating on all open jobs costs more than it brings (SPEC 10).
- An operator without stake gets one cheap job at a time, since it can drop its name when it is caught
  (verifier/ECONOMICS.md). With stake a node may hold several: those that it names, and one more.
- A node gets only jobs that it finishes in time, by the pace that it states.
- The oldest job comes first; jobs whose lease this operator let lapse come last, so that others get a chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend.domain.errors import OperatorSuspended, StakeTooLow
from contracts.protocol.constants import Constants
from contracts.protocol.pace import LENT_MARGIN_PCT, JobSize, Pace, needed_s

HEAD_START_S = 30
"""How long a job is kept for better reputations before an operator with none is offered it."""

NEWCOMER_TOKENS_PART = 10
"""A tenth of a token is the default of `Cover.newcomer_price`."""

_WHOLE_PPM = 1_000_000


@dataclass(frozen=True)
class LeaseTimes:
    """How long a lease lasts without a heartbeat, and how far past the order's deadline it may be extended."""

    length_s: int = 60
    grace_s: int = 20


@dataclass(frozen=True)
class WaitingJob:
    """A waiting job. `lapsed_here`: whether this operator was lent it before. `size`: its most work for an engine."""

    order_id: str
    max_price: int
    deadline: int
    accepted_at: int
    lapsed_here: bool
    size: JobSize = field(default_factory=JobSize)


@dataclass(frozen=True)
class OperatorFacts:
    """An operator when it asks for a job. `guilty_case`: a case that was ruled against it."""

    operator_id: int
    stake: int
    open_max: int
    open_jobs: int
    guilty_case: str | None = None


@dataclass(frozen=True)
class Cover:
    """The stake that jobs need. `penalty_multiple`: k. `newcomer_price`: the highest maximum lent without stake."""

    penalty_multiple: int
    newcomer_price: int


def choose(candidates: Iterable[WaitingJob], operator: OperatorFacts, cover: Cover) -> WaitingJob | None:
    """The job to lend, or None if none waits. Raises OperatorSuspended, or StakeTooLow if none fits its stake."""
    if operator.guilty_case is not None:
        raise OperatorSuspended(operator_id=operator.operator_id, case_id=operator.guilty_case)
    waiting = sorted(candidates, key=lambda job: (job.lapsed_here, job.accepted_at, job.order_id))
    fitting = next((job for job in waiting if covers(operator, job.max_price, cover)), None)
    if waiting and fitting is None:
        raise StakeTooLow(
            stake=operator.stake, open_max=operator.open_max, max_price=waiting[0].max_price,
            multiple=cover.penalty_multiple, newcomer_price=cover.newcomer_price,
        )  # fmt: skip
    return fitting


def in_time(candidates: Iterable[WaitingJob], pace: Pace | None, now_s: int) -> list[WaitingJob]:
    """The jobs whose most work a node of this pace finishes by their deadlines; all jobs if the pace is unknown."""
    if pace is None:
        return list(candidates)
    return [job for job in candidates if now_s + needed_s(job.size, pace, LENT_MARGIN_PCT) <= job.deadline]


def offered_to(candidates: Iterable[WaitingJob], reputation_ppm: int, now_s: int) -> list[WaitingJob]:
    """The jobs that an operator of this reputation is offered. Better ones have a head start of up to HEAD_START_S."""
    wait_s = HEAD_START_S * (_WHOLE_PPM - reputation_ppm) // _WHOLE_PPM
    return [job for job in candidates if job.accepted_at + wait_s <= now_s]


def covers(operator: OperatorFacts, max_price: int, cover: Cover) -> bool:
    """Whether the operator may take one more job of this maximum."""
    if operator.stake == 0:
        return operator.open_jobs == 0 and lendable(0, max_price, cover)
    return cover.penalty_multiple * (operator.open_max + max_price) <= operator.stake


def lendable(stake: int, max_price: int, cover: Cover) -> bool:
    """Whether a job of this maximum may be lent without stake. With stake, `covers` decides."""
    return stake > 0 or max_price <= cover.newcomer_price


def lease_end(deadline: int, now_s: int, times: LeaseTimes) -> int:
    """When a lease that is granted or extended now ends."""
    return min(now_s + times.length_s, deadline + times.grace_s)


def times_fit(times: LeaseTimes, constants: Constants) -> bool:
    """Whether the latest possible delivery settles before a notice given after its order matures."""
    longest = constants.order_ttl_s + times.grace_s + constants.epoch_max_s + constants.settle_wait_s
    return times.length_s > 0 and times.grace_s >= 0 and longest < constants.notice_s
