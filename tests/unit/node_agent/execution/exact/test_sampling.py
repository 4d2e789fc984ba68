"""Drawing tokens from integer distributions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.execution.exact import tables
from node_agent.execution.exact.sampling import ExactSampling, choose, draw, weigh

EXP2 = tables.exp2_table().astype(np.int64)
SEED = bytes(range(32))


def spelled_out(logits: list[int], sampling: ExactSampling, text: int, step: int) -> int:
    """SPEC.md, "Choosing a token", in Python integers."""
    factor = (round(math.log2(math.e) * 2**32) * 1000 // sampling.temperature_milli) >> 16
    weights = []
    for logit in logits:
        z = min(((max(logits) - logit) * factor) >> 20, 2**17 - 1)
        weights.append(int(EXP2[z & 4095]) >> (z >> 12))
    order = sorted(range(len(logits)), key=lambda token: (-weights[token], token))
    wanted = -(-sampling.top_p_ppm * sum(weights) // 10**6)
    prefix, kept = [], 0
    while kept < wanted:
        prefix.append(order[len(prefix)])
        kept += weights[prefix[-1]]
    point, running = draw(sampling.seed, text, step) * kept >> 128, 0
    for token in prefix:
        running += weights[token]
        if running > point:
            return token
    raise AssertionError("the prefix holds the point")


@given(
    logits=st.lists(st.integers(-(2**31) + 1, 2**31 - 1) | st.integers(-300_000, 300_000), min_size=1, max_size=30),
    temperature=st.integers(1, 5000),
    top_p=st.integers(1, 1_000_000),
    step=st.integers(0, 1000),
)
def test_choice_is_the_specifications(logits: list[int], temperature: int, top_p: int, step: int) -> None:
    """numpy's path and the specification spelled out agree, extreme logits included."""
    sampling = ExactSampling(temperature, top_p, SEED)
    assert choose(np.array(logits, np.int32), EXP2, sampling, 2, step) == spelled_out(logits, sampling, 2, step)


def test_draws_follow_the_distribution() -> None:
    """Over many steps each token comes as often as its weight says."""
    logits = np.array([65536 * 2, 65536, 0, -65536], np.int32)
    counts = np.bincount(
        [choose(logits, EXP2, ExactSampling(1000, 1_000_000, SEED), 0, n) for n in range(8000)], minlength=4
    )
    expected = np.exp([2, 1, 0, -1]) / np.exp([2, 1, 0, -1]).sum() * 8000
    assert np.abs(counts - expected).max() < 4 * math.sqrt(8000 / 4)


def test_weights_are_exponentials() -> None:
    """Table and shift come within 2^-11 of exp."""
    logits = np.arange(0, -9 * 65536, -777, dtype=np.int32)
    found = weigh(logits, EXP2, 700) / 2**24
    assert np.allclose(found, np.exp(logits / 65536 / 0.7), rtol=2**-11, atol=2**-23)


def test_top_p_cuts_the_tail() -> None:
    """Only the shortest prefix that holds the share can be drawn."""
    logits = np.array([0, 65536 * 3, 65536 * 2], np.int32)
    drawn = {choose(logits, EXP2, ExactSampling(1000, 700_000, SEED), 0, step) for step in range(200)}
    assert drawn == {1}


def test_ties_go_to_the_lowest_id() -> None:
    """Greedy choice among equals."""
    assert choose(np.array([1, 5, 5, 2], np.int32), EXP2, ExactSampling(), 0, 0) == 1


@pytest.mark.parametrize("bad", [(-1, 1, SEED), (1, 0, SEED), (1, 1_000_001, SEED), (1, 1, b"short")])
def test_senseless_settings_are_refused(bad: tuple[int, int, bytes]) -> None:
    """No silent default for a temperature, top-p or seed that means nothing."""
    with pytest.raises(ValueError, match="no way to choose"):
        ExactSampling(*bad)
