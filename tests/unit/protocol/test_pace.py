"""How long a job takes: a bound that more work, a slower host and a wider margin never lower."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from contracts.protocol.pace import (
    LENT_MARGIN_PCT,
    OVERHEAD_S,
    TAKEN_MARGIN_PCT,
    JobSize,
    Pace,
    most_work,
    needed_s,
    pace_of,
)
from contracts.protocol.records import U32
from tests.world.node_fakes import fake_manifest

PACES = st.builds(Pace, read_milli_per_s=st.integers(1, U32), write_milli_per_s=st.integers(1, U32))
SIZES = st.builds(JobSize, st.integers(0, 10**6), st.integers(0, 10**5))


def test_the_size_of_a_job_is_what_it_reads_and_the_most_that_it_writes() -> None:
    """Protects nodes from jobs that are longer than they were thought to be: each text may write all that was asked
    for, and nothing is written where nothing is generated."""
    manifest = fake_manifest()
    assert most_work(manifest, [15], 16) == JobSize(15, 16)
    assert most_work(manifest, [15, 12, 50], 16) == JobSize(15 + 12 + 50, 48)
    assert most_work(manifest.model_copy(update={"meter": "input_tokens"}), [15], 0) == JobSize(15, 0)


def test_seconds_by_hand() -> None:
    """Protects the formula that the agreement prints: 100 tokens at 50/s and 32 at 5/s are 8.4 s, half as much again is
    12.6 s, rounded up, and the overhead."""
    pace = pace_of(read_per_s=50, write_per_s=5)
    assert needed_s(JobSize(100, 32), pace, LENT_MARGIN_PCT) == 13 + OVERHEAD_S
    assert needed_s(JobSize(100, 32), pace, 100) == 9 + OVERHEAD_S
    assert needed_s(JobSize(), pace, 100) == OVERHEAD_S


@given(pace=PACES, size=SIZES, more=SIZES)
def test_more_work_never_takes_less(pace: Pace, size: JobSize, more: JobSize) -> None:
    """Protects whoever adds texts or tokens to an order from a bound that shrinks."""
    larger = JobSize(size.read_tokens + more.read_tokens, size.written_tokens + more.written_tokens)
    assert needed_s(larger, pace, LENT_MARGIN_PCT) >= needed_s(size, pace, LENT_MARGIN_PCT)


@given(pace=PACES, size=SIZES)
def test_who_was_lent_a_job_takes_it(pace: Pace, size: JobSize) -> None:
    """Protects jobs from going back and forth: a node never asks for more time than the backend did."""
    assert needed_s(size, pace, TAKEN_MARGIN_PCT) <= needed_s(size, pace, LENT_MARGIN_PCT)


@given(read=st.floats(1e-6, 1e12), write=st.floats(1e-6, 1e12))
def test_any_measured_speed_can_be_stated(read: float, write: float) -> None:
    """Protects hosts at both ends from a request that is refused for its numbers."""
    pace = pace_of(read, write)
    assert min(pace.read_milli_per_s, pace.write_milli_per_s) >= 1


@pytest.mark.parametrize("wrong", [0, -1, U32 + 1, 1.5, "5"])
def test_no_other_numbers_are_a_pace(wrong: object) -> None:
    """Protects the backend from a division by nothing."""
    with pytest.raises(ValidationError):
        Pace.model_validate({"read_milli_per_s": wrong, "write_milli_per_s": 1})
