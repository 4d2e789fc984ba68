"""What the demo promises on a machine is what that machine can do: in time, in windows that its work fits into.

given a measured machine
├── when the smallest demo does not end in time: refused, with its speed and the least that is needed
└── otherwise: at least 24 jobs over 3 epochs, within 5 minutes, the richest that fits
    ├── every window is what the contracts accept, and long enough for the work that falls into it
    ├── no node that knows this speed would refuse an order as too slow
    └── a cheat is missed at most once in a thousand runs
"""

import re

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings

from backend.domain.assignment import LeaseTimes, times_fit
from contracts.protocol.constants import DEVELOPMENT, PRODUCTION
from contracts.protocol.pace import LENT_MARGIN_PCT, JobSize, needed_s, pace_of
from contracts.protocol.sampling import CERTAIN, Deterrence, least_threshold
from deploy.localnet import workload
from deploy.localnet.planning import (
    BUDGET_S,
    LEAST_JOBS,
    SIZES,
    Burden,
    DemoPlan,
    Machine,
    MachineSpeeds,
    MachineTooSlow,
    fitted,
    plan,
    shortened,
    windows,
)
from deploy.localnet.prompts import PROMPTS
from node_agent.execution.engine import Speed

CHAT_OVERHEAD = 30
few = settings(max_examples=60)


def speeds(write: float, read_factor: float = 10.0, embed_factor: float = 40.0) -> MachineSpeeds:
    """A machine that writes so many tokens a second, and reads and embeds so many times as many."""
    return MachineSpeeds(
        Speed("a way", write * read_factor, write), Speed("a way", write * embed_factor, write * embed_factor)
    )


MEASURED = st.builds(speeds, st.floats(1, 1000), st.floats(1, 20), st.floats(2, 100))
MACHINES = st.builds(Machine, st.integers(1, 16), st.floats(0, 4))


def planned(measured: MachineSpeeds, machine: Machine) -> DemoPlan:
    try:
        return plan(measured, machine)
    except MachineTooSlow:
        assume(False)
        raise AssertionError("assume does not return") from None


@few
@given(MEASURED, MACHINES)
def test_a_demo_is_whole_and_in_time_or_refused(measured: MachineSpeeds, machine: Machine) -> None:
    """Protects whoever waits: from 1 to 1000 tokens a second there is a plan of at least 24 jobs that ends within five
    minutes, or a refusal that names the speed that was measured and a least speed above it."""
    try:
        found = plan(measured, machine)
    except MachineTooSlow as error:
        told = re.search(r"reads ([\d.e+]+) and writes ([\d.e+]+) ", str(error))
        assert told is not None
        assert float(told.group(1)) == pytest.approx(measured.generation.read_per_s, rel=0.01)
        assert float(told.group(2)) == pytest.approx(measured.generation.write_per_s, rel=0.01)
        return
    assert found.jobs >= LEAST_JOBS
    assert found.total_s <= 0.95 * BUDGET_S, "a reserve for what is not estimated"
    assert 1 <= found.least_tokens <= found.most_tokens <= workload.MOST_NEW_TOKENS


@few
@given(MEASURED, MACHINES)
def test_the_least_that_is_named_is_enough(measured: MachineSpeeds, machine: Machine) -> None:
    """Protects who buys a faster machine by the number that was printed: it is above what there is, and enough; where
    no engine is fast enough for these cores, that is said instead."""
    refused = refusal(measured, machine)
    told = re.search(r"from about [\d.e+]+ and ([\d.e+]+)", refused or "")
    if told is not None:
        factor = float(told.group(1)) / measured.generation.write_per_s
        assert factor > 0.99
        assert plan(measured.times(factor * 1.01), machine).jobs >= LEAST_JOBS
    elif refused is not None:
        assert "at no speed of the engine" in refused
        assert refusal(measured.times(1000), machine) is not None


def refusal(measured: MachineSpeeds, machine: Machine) -> str | None:
    """Why nothing is run on this machine, if nothing is."""
    try:
        plan(measured, machine)
    except MachineTooSlow as error:
        return str(error)
    return None


def test_two_cores_and_a_busy_loop_do_with_fifteen_tokens_a_second() -> None:
    """Protects small machines: the bar is not raised unseen."""
    assert plan(speeds(15.0, read_factor=15.0), Machine(2, 1.0)).jobs >= LEAST_JOBS
    with pytest.raises(MachineTooSlow):
        plan(speeds(3.0), Machine(2, 1.0))


@few
@given(MEASURED, MACHINES, st.floats(1, 50))
def test_a_faster_machine_does_no_less(measured: MachineSpeeds, machine: Machine, times: float) -> None:
    """Protects the faster machine from the smaller demo."""
    found, faster = planned(measured, machine), plan(measured.times(times), machine)
    assert SIZES.index((faster.jobs, faster.most_tokens)) <= SIZES.index((found.jobs, found.most_tokens))


BURDENS = st.builds(
    Burden, st.integers(1, 2000), st.integers(0, 2000), st.integers(1, 20), st.integers(2, 40), st.integers(0, 2)
)


@few
@given(MEASURED, st.floats(0.1, 4), BURDENS)
def test_the_windows_are_the_contracts_and_the_works(measured: MachineSpeeds, share: float, burden: Burden) -> None:
    """Protects every network of this folder, on the slowest machine too: from a constructor's revert, from orders that
    expire while they wait, and from checks and cases that end after their windows. None is shorter than it must be."""
    found, speed = windows(measured.generation, share, burden), measured.generation
    assert found.misfits() == []
    assert times_fit(LeaseTimes(), found)
    assert found.order_ttl_s >= DEVELOPMENT.order_ttl_s
    job_s = speed.seconds(burden.read, burden.written) / share
    check_s = speed.seconds(burden.read + burden.written, 0) / share
    assert found.order_ttl_s * 0.9 >= 3 * burden.ahead * job_s, "nine tenths are what a client's deadline uses"
    assert found.check_wait_s >= 30
    both = 2 * burden.disputed * (check_s + job_s)
    assert found.check_wait_s >= (burden.rows - burden.disputed) * check_s + both
    assert found.commit_window_s >= burden.disputed * (check_s + job_s)
    assert found.reveal_window_s >= 10


@few
@given(MEASURED, MACHINES)
def test_no_node_refuses_what_was_planned(measured: MachineSpeeds, machine: Machine) -> None:
    """Protects the run from its own nodes, which take no order that they would not finish in time: not even where four
    of them are slowed down by one another."""
    found = planned(measured, machine)
    assert found.constants.misfits() == []
    slowed = max(1.0, 4 / machine.share)
    pace = pace_of(measured.generation.read_per_s / slowed, measured.generation.write_per_s / slowed)
    longest = JobSize(max(len(prompt.encode()) for prompt in PROMPTS) + CHAT_OVERHEAD, found.most_tokens)
    assert needed_s(longest, pace, LENT_MARGIN_PCT) <= found.constants.order_ttl_s * 0.9


@few
@given(MEASURED, MACHINES)
def test_what_it_says_of_cheats_is_so(measured: MachineSpeeds, machine: Machine) -> None:
    """Protects the reader: p is the rate at which the workload's own constants have jobs checked, and the chance to
    miss a cheat follows from it."""
    found = planned(measured, machine)
    costs = Deterrence.model_validate(workload.terms(found.check_rate))
    least = least_threshold(costs, stake_units=10**9, exposure_units=10**6, penalty_multiple=1)
    assert least / CERTAIN == pytest.approx(found.check_rate, abs=1e-5)
    assert least / CERTAIN >= found.check_rate - 1e-12
    assert found.miss_chance <= 0.00101
    assert found.check_rate >= 0.5


def test_every_shortened_window_is_named() -> None:
    """Protects the reader from windows that are shortened in silence: each that differs from production's is named
    with both numbers, and none that does not."""
    found = plan(speeds(100.0), Machine(2))
    words = shortened(found.constants)
    names = {word.split()[0] for word in words}
    differing = {
        name for name in PRODUCTION.model_dump()
        if name.endswith(("_s", "_blocks")) and getattr(found.constants, name) < getattr(PRODUCTION, name)
    }  # fmt: skip
    assert names == differing
    assert f"check_wait_s {found.constants.check_wait_s} ({PRODUCTION.check_wait_s})" in words


def test_a_busy_loop_is_always_assumed() -> None:
    """Protects a run beside which somebody starts to work: an idle machine is promised no more than one with one busy
    loop, and a busier one less."""
    assert Machine(2, 0.0).share == Machine(2, 1.0).share > Machine(2, 2.0).share
    assert Machine(2, 0.0).founding_s == Machine(2, 1.0).founding_s < Machine(2, 2.0).founding_s


@given(
    ttl=st.integers(1, 10_000), check=st.integers(1, 10_000), commit=st.integers(1, 5000), reveal=st.integers(1, 5000)
)
def test_fitted_windows_are_accepted(ttl: int, check: int, commit: int, reveal: int) -> None:
    """Protects every network of this folder: whatever a machine needs, the contracts accept the whole, and nothing that
    was asked for is shortened."""
    asked = {"order_ttl_s": ttl, "check_wait_s": check, "commit_window_s": commit, "reveal_window_s": reveal}
    found = fitted(DEVELOPMENT.model_copy(update=asked))
    assert found.misfits() == []
    assert times_fit(LeaseTimes(), found)
    assert {name: getattr(found, name) for name in asked} == asked
