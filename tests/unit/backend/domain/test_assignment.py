"""Who gets which job.

given jobs that wait and an operator that asks
├── when none waits: None
├── when a case was upheld against it: operator_suspended
├── when it has no stake: one cheap job at a time
├── when the node would not finish in time: left for others
├── when k * (open + this) exceeds its stake: the oldest that fits, or stake_too_low
└── otherwise the oldest; those that it let lapse come last
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.assignment import (
    Cover,
    LeaseTimes,
    OperatorFacts,
    WaitingJob,
    choose,
    covers,
    in_time,
    lease_end,
    times_fit,
)
from backend.domain.errors import OperatorSuspended, StakeTooLow
from contracts.protocol.constants import DEVELOPMENT, PRODUCTION
from contracts.protocol.pace import OVERHEAD_S, JobSize, Pace
from contracts.protocol.sampling import CERTAIN, Deterrence, least_threshold


def job(name: str, price: int = 10, age: int = 0, lapsed: bool = False) -> WaitingJob:
    return WaitingJob(name, price, deadline=100, accepted_at=50 - age, lapsed_here=lapsed)


def operator(stake: int = 1000, open_max: int = 0, open_jobs: int = 0, case: str | None = None) -> OperatorFacts:
    return OperatorFacts(1, stake, open_max, open_jobs, case)


COVER = Cover(penalty_multiple=9, newcomer_price=100)


def chosen(jobs: list[WaitingJob], facts: OperatorFacts) -> str | None:
    found = choose(jobs, facts, COVER)
    return None if found is None else found.order_id


def test_oldest_job_first() -> None:
    """Protects requesters from waiting behind younger orders; a job that lapsed here waits for another node.

    Covers: A03
    """
    assert chosen([], operator()) is None
    assert chosen([job("a"), job("b", age=5), job("c", age=3)], operator()) == "b"
    assert chosen([job("a"), job("b", age=5, lapsed=True)], operator()) == "a"
    assert chosen([job("b", lapsed=True)], operator()) == "b"


def test_open_value_never_exceeds_stake() -> None:
    """Protects the deterrence: what is open times k is covered by stake. Covers: A05"""
    assert chosen([job("a", price=10)], operator(stake=90)) == "a"
    assert chosen([job("a", price=11, age=9), job("b", price=10)], operator(stake=90)) == "b"
    with pytest.raises(StakeTooLow, match="89"):
        choose([job("a", price=10)], operator(stake=89), COVER)
    with pytest.raises(StakeTooLow):
        choose([job("a", price=10)], operator(stake=90, open_max=1, open_jobs=1), COVER)


def test_stakeless_operator_gets_one_job_at_a_time() -> None:
    """Protects the network from Sybils without stake: splitting gains nothing but single cheap jobs. Covers: A05"""
    assert chosen([job("a", price=100)], operator(stake=0)) == "a"
    assert chosen([job("a", price=101, age=9), job("b", price=1)], operator(stake=0)) == "b"
    with pytest.raises(StakeTooLow, match=r"add stake.* of at most 100 units"):
        choose([job("a", price=101)], operator(stake=0), COVER)
    with pytest.raises(StakeTooLow):
        choose([job("a", price=1)], operator(stake=0, open_max=10, open_jobs=1), COVER)


def test_guilty_operator_gets_nothing() -> None:
    """Protects requesters from operators whom the court found guilty, even while no job waits."""
    with pytest.raises(OperatorSuspended, match="0xcase"):
        choose([], operator(case="0xcase"), COVER)


@given(
    stake=st.integers(0, 2000),
    multiple=st.integers(1, 9),
    prices=st.lists(st.integers(1, 300), max_size=20),
)
def test_any_sequence_stays_within_stake(stake: int, multiple: int, prices: list[int]) -> None:
    """Protects the deterrence over whole sequences of leases."""
    open_jobs: list[int] = []
    for price in prices:
        facts = operator(stake, sum(open_jobs), len(open_jobs))
        try:
            found = choose([job("a", price)], facts, Cover(multiple, newcomer_price=150))
        except StakeTooLow:
            continue
        assert found is not None
        open_jobs.append(price)
        assert multiple * sum(open_jobs) <= stake or (stake == 0 and len(open_jobs) == 1 and price <= 150)


SIZES = st.builds(JobSize, st.integers(0, 5000), st.integers(0, 2000))
PACES = st.builds(Pace, read_milli_per_s=st.integers(1, 10**7), write_milli_per_s=st.integers(1, 10**6))


@given(size=SIZES, pace=PACES, left=st.integers(0, 4000), now=st.integers(0, 2**32))
def test_what_is_lent_is_done_before_its_deadline(size: JobSize, pace: Pace, left: int, now: int) -> None:
    """Protects requesters from nodes too slow for their orders: whatever the order turns out to ask, at the pace that
    was stated it is done with a third of the time to spare, within what a lease can reach; and what fits is not
    withheld for more than the margin and the overhead."""
    waiting = WaitingJob("a", 10, deadline=now + left, accepted_at=now, lapsed_here=False, size=size)
    takes = 1000 * size.read_tokens / pace.read_milli_per_s + 1000 * size.written_tokens / pace.write_milli_per_s
    if in_time([waiting], pace, now):
        assert takes * 1.5 + OVERHEAD_S <= left + 1e-6
        times = LeaseTimes()
        assert lease_end(waiting.deadline, waiting.deadline, times) >= now + takes
    else:
        assert takes * 1.5 + OVERHEAD_S + 1.1 > left
    assert in_time([waiting], None, now) == [waiting], "a pace that nobody measured keeps nobody from work"


@given(size=SIZES, pace=PACES, times=st.integers(2, 50), left=st.integers(0, 4000))
def test_a_faster_node_is_lent_no_less(size: JobSize, pace: Pace, times: int, left: int) -> None:
    """Protects the faster host, and one job from being held back by another that does not fit."""
    waiting = WaitingJob("a", 10, deadline=left, accepted_at=0, lapsed_here=False, size=size)
    endless = WaitingJob("b", 10, deadline=left, accepted_at=0, lapsed_here=False, size=JobSize(10**9, 10**9))
    faster = Pace(read_milli_per_s=pace.read_milli_per_s * times, write_milli_per_s=pace.write_milli_per_s * times)
    assert set(job.order_id for job in in_time([waiting], pace, 0)) <= {
        job.order_id for job in in_time([endless, waiting], faster, 0)
    }


def test_lease_ends() -> None:
    """Protects requesters: no lease reaches beyond deadline and grace."""
    times = LeaseTimes(length_s=60, grace_s=20)
    assert lease_end(100, 10, times) == 70
    assert lease_end(100, 90, times) == 120


def test_grace_must_fit_the_notice() -> None:
    """Protects nodes: the last late delivery settles before any notice given after its order can ripen. Covers: A30"""
    slack = DEVELOPMENT.notice_s - DEVELOPMENT.order_ttl_s - DEVELOPMENT.epoch_max_s - DEVELOPMENT.settle_wait_s
    assert times_fit(LeaseTimes(60, slack - 1), DEVELOPMENT)
    assert not times_fit(LeaseTimes(60, slack), DEVELOPMENT)
    assert times_fit(LeaseTimes(), DEVELOPMENT)
    assert times_fit(LeaseTimes(), PRODUCTION)


@given(
    stakes=st.lists(st.integers(1, 1000), min_size=2, max_size=6),
    multiple=st.integers(1, 9),
    prices=st.lists(st.integers(1, 200), max_size=40),
)
def test_splitting_stake_gains_nothing(stakes: list[int], multiple: int, prices: list[int]) -> None:
    """Protects the network from Sybils: however an operator splits its stake, its parts together have no more open at
    once than the whole could, and are checked no less for the same open value. Covers: A05"""
    whole, opened, cover = sum(stakes), [0] * len(stakes), Cover(multiple, newcomer_price=0)
    for price in prices:
        for part, stake in enumerate(stakes):
            if covers(operator(stake, opened[part], int(opened[part] > 0)), price, cover):
                opened[part] += price
                break
    assert multiple * sum(opened) <= whole
    assert covers(operator(whole, 0), max(1, sum(opened)), cover) or sum(opened) == 0
    thresholds = [_threshold(stake, value, multiple) for stake, value in zip(stakes, opened, strict=True) if value]
    assert all(
        threshold >= _threshold(stake=multiple * 10**6, exposure=10**6, multiple=multiple) for threshold in thresholds
    )
    assert _threshold(0, 10, multiple) == CERTAIN, "a part without stake is checked every time"


def _threshold(stake: int, exposure: int, multiple: int) -> int:
    costs = Deterrence(
        honest_cost_ppm=800_000, cheat_cost_ppm=100_000, detection_ppm=1_000_000, collusion_ppm=300_000,
        false_alarm_ppm=0,
    )  # fmt: skip
    return least_threshold(costs, stake_units=stake, exposure_units=exposure, penalty_multiple=multiple)
