"""Generating, and checking by one pass: what a verifier sees of an honest node, and of others."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.native.fingerprint import FARTHEST, MARGIN_CLIP_MILLI, PROJECTIONS, distances
from node_agent.execution.errors import NumericFailure
from node_agent.execution.native.calibration import class_digest, results
from node_agent.execution.native.generation import GenerationTask, generate, recheck
from node_agent.execution.native.projection import directions, project
from node_agent.execution.native.sampling import NativeSampling, best, gumbel, margin_milli, scores
from tests.unit.node_agent.execution.native.conftest import MakeModel

SEED = hashlib.sha256(b"order").digest()
PROMPT = [(5 * index + 1) % 512 for index in range(40)]


def task(temperature_milli: int = 1000, limit: int = 24, seed: bytes = SEED, text: int = 0) -> GenerationTask:
    """One text of PROMPT."""
    return GenerationTask(PROMPT, limit, sampling=NativeSampling(temperature_milli, seed), text=text)


@pytest.mark.parametrize("temperature_milli", [0, 700, 1000])
def test_a_verifier_of_the_same_settings_finds_no_margin(make_model: MakeModel, temperature_milli: int) -> None:
    """One pass re-derives every token and nearly the same fingerprint, greedy and seeded."""
    model = make_model()
    run = generate(model, [task(temperature_milli)])[0]
    seen = recheck(model, run.task, run.chosen)
    assert seen.margins_milli == [0] * 24
    assert max(distances(run.fingerprint, seen.fingerprint)) <= PROJECTIONS
    assert run.done
    assert len(run.fingerprint) == PROJECTIONS * len(run.chosen)


def test_another_model_is_far_off(make_model: MakeModel) -> None:
    """Other weights: other tokens by large margins, and activations as far as random ones.

    Covers: A08
    """
    run = generate(make_model(seed=2), [task()])[0]
    seen = recheck(make_model(), run.task, run.chosen)
    assert sum(margin > 1000 for margin in seen.margins_milli) > 12
    assert sum(distances(run.fingerprint, seen.fingerprint)) / 24 > PROJECTIONS * FARTHEST / 4


def test_prefill_spoof_shows_in_the_margins_alone(make_model: MakeModel) -> None:
    """Another model's tokens read once by the right one: perfect fingerprints, impossible choices.

    Covers: A53
    """
    honest, cheap = make_model(), make_model(seed=2)
    run = generate(cheap, [task()])[0]
    spoof = recheck(honest, run.task, run.chosen).fingerprint
    seen = recheck(honest, run.task, run.chosen)
    assert distances(spoof, seen.fingerprint) == [0] * 24
    assert sum(seen.margins_milli) > 24 * 500


def test_a_seed_of_its_own_shows_in_the_margins(make_model: MakeModel) -> None:
    """Tokens drawn with another seed are as likely, and still not the ones that the order's seed gives."""
    model = make_model()
    run = generate(model, [task(seed=bytes(32))])[0]
    assert sum(recheck(model, task(), run.chosen).margins_milli) > 24 * 200


def test_constants_flipped_signs_and_replays_are_as_far_as_random_bytes(make_model: MakeModel) -> None:
    """Low bits carry sign and size alike: nothing is near but the activations themselves.

    Covers: A02
    """
    model = make_model()
    run, other = generate(model, [task(limit=200)])[0], generate(model, [task(limit=200, seed=bytes(32))])[0]
    flipped = bytes(-byte % 256 for byte in run.fingerprint)
    for claimed in (bytes(400), bytes([77]) * 400, flipped, other.fingerprint, run.fingerprint[2:] + b"ab"):
        mean = sum(distances(claimed, run.fingerprint)) / 400
        assert abs(mean - FARTHEST / 2) < 10, mean


def test_a_batch_is_repeated_bit_for_bit(make_model: MakeModel) -> None:
    """The same input twice: tokens, fingerprints and logits of every text; a text that ends early stays silent."""
    model = make_model()
    first = generate(model, [task(limit=4), task(0, 20, text=1), task(500, 9, text=2)])
    again = generate(model, [task(limit=4), task(0, 20, text=1), task(500, 9, text=2)])
    assert [run.rows_digest for run in first] == [run.rows_digest for run in again]
    assert [run.chosen for run in first] == [run.chosen for run in again]
    assert [len(run.chosen) for run in first] == [4, 20, 9]


def test_answers_end_at_their_first_stop_or_at_the_limit() -> None:
    """The stop decision is no float's."""
    asked = GenerationTask(PROMPT, 3, frozenset({7}))
    good = ([1, 2, 3], [7], [1, 7], [1, 2, 7])
    bad = ([], [1], [1, 2], [7, 1], [7, 7], [1, 2, 3, 4], [1, 7, 2])
    assert all(asked.ended(answer) for answer in good)
    assert not any(asked.ended(answer) for answer in bad)


def test_tokens_outside_the_vocabulary_are_as_wrong_as_can_be(make_model: MakeModel) -> None:
    """A claimed token may be any integer."""
    seen = recheck(make_model(), task(limit=3), [-1, 10**9, 5])
    assert seen.margins_milli[:2] == [MARGIN_CLIP_MILLI] * 2


def test_gumbel_max_draws_from_the_softmax() -> None:
    """Frequencies over seeds against the distribution: 4,000 draws of five tokens, within five standard errors."""
    logits = np.array([0.0, 1.0, 2.0, -1.0, 0.5], dtype=np.float32)
    weights = np.exp(logits / 0.7)
    expected = weights / weights.sum()
    sampling = NativeSampling(700, SEED)
    drawn = np.bincount([best(scores(logits, sampling, 0, step)) for step in range(4000)], minlength=5) / 4000
    assert (np.abs(drawn - expected) < 5 * np.sqrt(expected / 4000)).all()


def test_noise_is_pinned() -> None:
    """The generator is part of what two hosts must share: Philox 4x64-10 under a sha256 key."""
    found = gumbel(SEED, 1, 2, 4)
    assert np.allclose(found, gumbel(SEED, 1, 2, 1000)[:4], rtol=0, atol=0)
    assert not np.allclose(found, gumbel(SEED, 2, 1, 4))
    assert [round(float(each), 9) for each in gumbel(bytes(32), 0, 0, 3)] == PINNED_NOISE


PINNED_NOISE = [-1.006913338, 0.580103504, 2.058971693]


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40), st.integers(0, 50))
def test_margins_are_not_negative_and_zero_for_the_best(logits: list[float], claimed: int) -> None:
    """And never above the clip."""
    found = scores(np.array(logits, dtype=np.float32), NativeSampling(900, SEED), 0, 0)
    assert margin_milli(found, best(found)) == 0
    assert 0 <= margin_milli(found, claimed) <= MARGIN_CLIP_MILLI


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_projection_does_not_depend_on_size_and_has_both_signs(seed: int, power: int) -> None:
    """Scaled states have the same bytes, negated states have negated bytes."""
    hidden = np.random.default_rng(seed).normal(size=64).astype(np.float32)
    here = project(hidden, SEED, 0, 5)
    assert project(hidden * np.float32(2.0**power), SEED, 0, 5) == here
    assert project(-hidden, SEED, 0, 5) == bytes(-byte % 256 for byte in here)


def test_directions_are_signs_that_change_with_everything() -> None:
    """+1 or -1, evenly; another seed, text or step has others."""
    found = directions(SEED, 0, 0, 576)
    assert set(found.flatten().tolist()) == {-1.0, 1.0}
    assert abs(found.sum()) < 5 * found.size**0.5
    for other in (directions(bytes(32), 0, 0, 576), directions(SEED, 1, 0, 576), directions(SEED, 0, 1, 576)):
        assert abs((found * other).sum()) < 5 * found.size**0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_broke_down_signs_nothing(value: float) -> None:
    """NaN and infinity end the run with an error."""
    with pytest.raises(NumericFailure):
        scores(np.array([0.0, value], dtype=np.float32), NativeSampling(), 0, 0)
    with pytest.raises(NumericFailure):
        project(np.array([0.0, value], dtype=np.float32), SEED, 0, 0)


def test_a_class_is_what_the_calibration_jobs_gave(make_model: MakeModel) -> None:
    """Equal work, equal class; another type or model is another; a challenge tells members from those with a name.

    Covers: A09
    """
    model, twin = make_model(), make_model()
    assert class_digest(model) == class_digest(twin)
    assert class_digest(model) != class_digest(make_model(dtype="bfloat16"))
    assert class_digest(model) != class_digest(make_model(seed=2))
    answer = results(model, b"fresh")
    assert answer == results(twin, b"fresh")
    assert answer != results(twin, b"other")
    assert answer != results(make_model(dtype="bfloat16"), b"fresh")
