"""Comparator `native`, arithmetic: integers, monotone, and a sequential test whose bound holds for honest streams."""

import random
from fractions import Fraction
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native import (
    SUSPECT_AT,
    UNIT,
    WITHHELD_AT,
    Capital,
    Check,
    Evidence,
    Finding,
    Pair,
    Score,
    State,
    Thresholds,
    calibrate,
    compare,
    job_course,
    judge,
    standing,
)
from contracts.protocol.native.evidence import MOST_DISTANCE
from contracts.protocol.native.fingerprint import (
    CIRCLE,
    FARTHEST,
    MARGIN_CLIP_MILLI,
    PROJECTIONS,
    NativeOpening,
    distance,
)
from contracts.protocol.native.sequential_test import BETS, numerators
from contracts.protocol.native.thresholds import MOST_MEAN_PPM, VERSION, WHOLE_PPM, upper_limit_ppm

PAIR = Pair("11" * 32, "22" * 32, "33" * 32, "44" * 32)
THRESHOLDS = Thresholds(
    version=VERSION,
    **vars(PAIR),
    texts=200,
    tokens=12_800,
    distance=Score(low=50, high=100, mean_ppm=60_000),
    margin=Score(low=0, high=200, mean_ppm=50_000),
    outlier=Score(low=300, high=600, mean_ppm=2_000),
)

byte = st.integers(0, 255)
evidence = st.lists(st.tuples(st.integers(0, MOST_DISTANCE), st.integers(0, MARGIN_CLIP_MILLI)), max_size=80).map(
    lambda pairs: Evidence(tuple(d for d, _ in pairs), tuple(m for _, m in pairs))
)


def job(distance_: int, margin: int, tokens: int = 64, *, well_formed: bool = True) -> Evidence:
    """A job whose tokens all look alike."""
    return Evidence((distance_,) * tokens, (margin,) * tokens, well_formed)


HONEST, CHEAT = job(20, 0), job(90, 40)


@given(byte, byte, byte)
def test_distance_is_a_metric_on_the_circle(a: int, b: int, c: int) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert distance((a + c) % CIRCLE, (b + c) % CIRCLE) == distance(a, b) <= FARTHEST


@given(st.binary(min_size=64, max_size=64), st.lists(st.integers(0, 500), min_size=32, max_size=32))
def test_a_fingerprint_compared_with_itself_is_at_no_distance(own: bytes, margins: list[int]) -> None:
    found = compare(own, own, margins, ended=True)
    assert found.distances == (0,) * 32
    assert found.margins_milli == tuple(margins)


@given(st.binary(max_size=80))
def test_a_node_may_open_any_bytes(node: bytes) -> None:
    """A fingerprint of the wrong length is as far as can be, and no error: it must not stop a verdict.

    Covers: A58
    """
    found = compare(node, bytes(64), [0] * 32, ended=True)
    assert found.tokens == 32
    assert found.well_formed == (len(node) == 64)
    if len(node) != 64:
        assert set(found.distances) == {MOST_DISTANCE}
        assert judge(found, THRESHOLDS).finding is Finding.SUSPECT


def test_a_verifier_that_contradicts_itself_is_an_error() -> None:
    with pytest.raises(BadFingerprint):
        compare(bytes(64), bytes(62), [0] * 32, ended=True)


@pytest.mark.parametrize(("distances", "margins"), [((1,), ()), ((-1,), (0,)), ((257,), (0,)), ((0,), (10_001,))])
def test_evidence_out_of_range_is_refused(distances: tuple[int, ...], margins: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"margins|outside"):
        Evidence(distances, margins)


@given(st.integers(0, 300), st.integers(0, 300))
def test_scores_never_fall_as_the_value_grows(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 0 <= THRESHOLDS.distance.of(low) <= THRESHOLDS.distance.of(high) <= WHOLE_PPM


@given(evidence, st.data())
def test_nothing_that_looks_worse_makes_a_job_look_better(seen: Evidence, data: st.DataObject) -> None:
    """Every stake after every token is at least what it was with a smaller distance or margin anywhere."""
    if not seen.tokens:
        return
    at = data.draw(st.integers(0, seen.tokens - 1))
    further = data.draw(st.integers(seen.distances[at], MOST_DISTANCE))
    worse = Evidence((*seen.distances[:at], further, *seen.distances[at + 1 :]), seen.margins_milli)
    better_course, worse_course = list(job_course(seen, THRESHOLDS)), list(job_course(worse, THRESHOLDS))
    assert all(one <= other for one, other in zip(better_course, worse_course, strict=True))


@given(evidence)
def test_stakes_are_what_exact_fractions_say_rounded_down(seen: Evidence) -> None:
    """The integer course against rational arithmetic: never above, and not below by more than its roundings."""
    exact = {(part, bet): Fraction(UNIT // 12) for part in (0, 1, 2) for bet in BETS}
    for token, worth in enumerate(job_course(seen, THRESHOLDS)):
        scored = (
            Fraction(THRESHOLDS.distance.of(seen.distances[token]), THRESHOLDS.distance.mean_ppm),
            Fraction(THRESHOLDS.margin.of(seen.margins_milli[token]), THRESHOLDS.margin.mean_ppm),
            Fraction(THRESHOLDS.outlier.of(seen.margins_milli[token]), THRESHOLDS.outlier.mean_ppm),
        )
        for part, bet in exact:
            exact[part, bet] *= 1 + Fraction(bet, 256) * (scored[part] - 1)
        if max(exact.values()) >= UNIT * 10**12:
            return  # from here on bets are cut off
        total = sum(exact.values())
        assert total * (1 - Fraction(1, 10**15)) - 10**6 <= worth <= total


@given(st.lists(st.tuples(st.integers(0, WHOLE_PPM), st.integers(1, 100)), min_size=1, max_size=12))
def test_no_bet_gains_where_the_mean_is_at_most_the_bound(weighted: list[tuple[int, int]]) -> None:
    """Over any distribution of scores with mean m: the expected factor is at most one, in integers.

    Covers: A09
    """
    total = sum(weight for _, weight in weighted)
    mean = -(-sum(score * weight for score, weight in weighted) // total)  # rounded up: the bound holds
    if not 0 < mean <= MOST_MEAN_PPM:
        return
    ramp = Score(low=0, high=WHOLE_PPM, mean_ppm=mean)  # a value is its own score
    for at in range(len(BETS)):
        expected = sum(numerators(ramp, score)[at] * weight for score, weight in weighted)
        assert expected <= 256 * mean * total


def test_the_false_alarm_bound_holds_at_the_worst_distribution() -> None:
    """Scores that are whole with exactly the allowed probability, the distribution that such a test is worst at.

    600 lives of 20 jobs of 16 tokens: a share of at most 1/20 ever reaches 20 (Ville), within three standard errors.

    Covers: A09
    """
    drawing, reached, lives = random.Random(7), 0, 600
    for _ in range(lives):
        capital = Capital()
        for _ in range(20):
            far = tuple(MOST_DISTANCE if drawing.random() < 0.06 else 0 for _ in range(16))
            wrong = tuple(_margin_at_its_bounds(drawing.random()) for _ in range(16))
            capital = capital.after(Evidence(far, wrong), THRESHOLDS)
        reached += capital.peak >= 20 * UNIT
    assert reached / lives <= 1 / 20 + 3 * (1 / 20 / lives) ** 0.5


def _margin_at_its_bounds(chance: float) -> int:
    """Outliers and margins, each as often as allowed."""
    return MARGIN_CLIP_MILLI if chance < 0.002 else 200 if chance < 0.05 else 0


def test_a_long_honest_life_makes_nobody_immune() -> None:
    """After 2,000 honest jobs a cheat needs some more tokens than at the start, not for ever.

    Covers: A08
    """
    capital = Capital()
    for _ in range(2000):
        capital = capital.after(job(20, 0, 8), THRESHOLDS)
    late = jobs_until_withheld(capital)
    assert jobs_until_withheld(Capital()) <= late <= jobs_until_withheld(Capital()) + 2


def jobs_until_withheld(capital: Capital) -> int:
    """How many jobs of CHEAT until the bound is reached."""
    jobs = 0
    while capital.peak < WITHHELD_AT * UNIT:
        capital, jobs = capital.after(CHEAT, THRESHOLDS), jobs + 1
    return jobs


def test_what_is_put_down_never_exceeds_the_stake() -> None:
    """The parts for all jobs of a life sum to less than one."""
    one = Thresholds.model_validate(THRESHOLDS.model_dump() | {"texts": 1})
    capital = Capital()
    for _ in range(2000):
        capital = capital.after(Evidence((), ()), one)
    assert UNIT * 999 // 1000 < capital.worth <= UNIT


@pytest.mark.parametrize(
    ("seen", "finding"),
    [
        (HONEST, Finding.ACCEPT),
        (CHEAT, Finding.SUSPECT),
        (job(90, 0), Finding.SUSPECT),
        (job(0, 200), Finding.SUSPECT),
        (job(54, 0), Finding.INCONCLUSIVE),
        (job(20, 0, 8), Finding.INCONCLUSIVE),
        (job(0, 0, 0), Finding.INCONCLUSIVE),
        (job(20, 0, well_formed=False), Finding.SUSPECT),
    ],
)
def test_findings(seen: Evidence, finding: Finding) -> None:
    """Near enough, too far, tokens alone too unlikely, between, too short, empty, ended at no stop."""
    judgement = judge(seen, THRESHOLDS)
    assert judgement.finding is finding
    assert judgement.version == VERSION
    assert (judgement.worth >= SUSPECT_AT) == (judgement.caught_at is not None)


def test_a_pair_that_was_never_calibrated_is_inconclusive() -> None:
    """Without thresholds nothing can be said, whatever it looks like.

    Covers: A09
    """
    assert judge(CHEAT, None).finding is Finding.INCONCLUSIVE


def test_a_judgement_is_recomputed_bit_for_bit() -> None:
    """Pinned: whoever recomputes this verdict gets these bytes."""
    seen = Evidence(tuple(range(30, 94)), tuple(5 * each for each in range(64)))
    assert judge(seen, THRESHOLDS).model_dump_json() == PINNED_JUDGEMENT


PINNED_JUDGEMENT = (
    '{"version":2,"finding":"suspect","tokens":64,"worth":3000119274033,"caught_at":17,'
    '"distance_ppm":295625,"margin_ppm":679687,"outlier_ppm":1562}'
)


def checks(*of: tuple[str, Evidence]) -> list[Check]:
    """Checks under THRESHOLDS."""
    return [Check(verifier, seen, THRESHOLDS) for verifier, seen in of]


def test_a_cheat_is_watched_then_withheld() -> None:
    """The states in their order; p is raised and reputation falls on the way.

    Covers: A08
    """
    history = [(name, seen) for seen in (HONEST, job(75, 8), CHEAT, CHEAT, CHEAT) for name in ("v1", "v2", "v3")]
    seen = [standing(checks(*history[:count])) for count in range(len(history) + 1)]
    states = [each.state for each in seen]
    assert states[0] is State.CLEAR
    assert states[-1] is State.WITHHELD
    assert [key for key in dict.fromkeys(states)] == [State.CLEAR, State.WATCH, State.WITHHELD]
    assert [each.leases for each in (seen[0], seen[-1])] == [True, False]
    assert seen[0].least_rate_ppm < WHOLE_PPM == seen[-1].least_rate_ppm
    assert seen[0].reputation_ppm == WHOLE_PPM > seen[-1].reputation_ppm


def test_no_verifier_alone_withholds_anybody() -> None:
    """One verifier's lies, however many, leave the node its leases; it is checked more.

    Covers: A12
    """
    lies = [("liar", CHEAT)] * 40
    alone = standing(checks(*lies))
    among = standing(checks(*lies, *[("honest", HONEST)] * 5, *[("other", HONEST)] * 5))
    assert alone.leases
    assert among.leases
    assert among.state is State.WATCH
    broken = job(0, 0, well_formed=False)
    assert standing(checks(*[("liar", broken)] * 40)).leases
    assert not standing(checks(("one", broken), ("two", broken))).leases


def test_who_says_nothing_changes_nothing() -> None:
    """A verifier without the model adds no check, and no thresholds no evidence.

    Covers: A60
    """
    assert standing([]).state is State.CLEAR
    history = checks(("v1", HONEST), ("v2", HONEST))
    assert standing(history) == standing([*history, Check("v3", Evidence((), ()), THRESHOLDS)])


@pytest.mark.parametrize("count", [1, 30, 200])
@pytest.mark.parametrize("mean", [0, 10_000, 300_000])
def test_upper_limits_are_chernoffs(mean: int, count: int) -> None:
    """Against floats: n kl(mean, m) = ln 1000, to a millionth."""
    limit = upper_limit_ppm(mean, count)
    assert limit >= mean
    if limit == WHOLE_PPM:
        return
    p = mean / 1e6

    def kl(q: float) -> float:
        return (p * log(p / q) if p else 0.0) + (1 - p) * log((1 - p) / (1 - q))

    assert kl(limit / 1e6) >= log(1000) / count - 1e-9
    assert kl((limit - 1) / 1e6) < log(1000) / count + 1e-9


@given(st.integers(0, 400_000), st.integers(1, 500))
def test_more_data_never_loosens_a_limit(mean: int, count: int) -> None:
    assert upper_limit_ppm(mean, count + 1) <= upper_limit_ppm(mean, count)


def test_thresholds_cover_the_worst_text_they_came_from() -> None:
    """One noisy text among quiet ones raises the bound to its own mean."""
    quiet = [Evidence(tuple(range(40)), (0,) * 40) for _ in range(300)]
    noisy = Evidence((48,) * 40, (10,) * 40)
    found = calibrate([*quiet, noisy], PAIR)
    assert judge(noisy, found).distance_ppm <= found.distance.mean_ppm
    assert judge(noisy, found).finding is Finding.ACCEPT
    assert found.texts == 301


def test_too_little_data_gives_no_thresholds() -> None:
    """A handful of texts bounds nothing: better none than loose ones."""
    with pytest.raises(ValueError, match="0 texts have 16 tokens or more, thresholds take 30"):
        calibrate([job(0, 0, 4)] * 40, PAIR)
    with pytest.raises(ValueError, match="29 texts"):
        calibrate([job(0, 0)] * 29, PAIR)
    assert calibrate([job(0, 0)] * 30, PAIR).texts == 30


def test_trace_hash_binds_class_rows_and_fingerprint() -> None:
    """What a node signs changes with each of the three: nothing can be opened but what was committed.

    Covers: A01, A13
    """
    base = NativeOpening("ab" * 32, bytes(32), b"12")
    others = (
        NativeOpening("ac" * 32, bytes(32), b"12"),
        NativeOpening("ab" * 32, b"\1" * 32, b"12"),
        NativeOpening("ab" * 32, bytes(32), b"13"),
        NativeOpening("ab" * 32, bytes(32), b""),
    )
    assert len({each.trace_hash for each in (base, *others)}) == 5
    assert NativeOpening.decode(base.encode()) == base
    with pytest.raises(BadFingerprint):
        NativeOpening.decode(base.encode()[:63])


def test_a_proof_takes_at_most_four_bytes_a_token_from_32_tokens_on() -> None:
    """All that is published of an answer, its head included."""
    for tokens in range(32, 300):
        assert len(NativeOpening("ab" * 32, bytes(32), bytes(PROJECTIONS * tokens)).encode()) <= 4 * tokens
