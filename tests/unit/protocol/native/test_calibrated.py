"""The thresholds of this release against the real traces that they came from (bench/results/raw/native-*.json)."""

import random

import pytest

from bench.native.__main__ import honest_pairs, thresholds_of
from bench.native.gather import FORGERIES
from bench.native.hosts import CLAIMED, HONEST
from bench.native.raw import read
from contracts.protocol.native import UNIT, WITHHELD_AT, Capital, Evidence, Finding, Thresholds, calibrate, judge
from contracts.protocol.native.calibrated import read as stored
from tests.world.soak import short_or_long

PAIRS = honest_pairs()
VERIFIERS = sorted(CLAIMED)
NEAR = "fp32-avx2"
"""The verifier whose class is near the claimed one: both compute in fp32."""

LIVES = short_or_long(3, 10)
"""Nodes that do the same job after job, each drawing its texts in an order of its own."""

CRUDE = ("int4", "int4-group32", "altered-prompt", "dropped-layer")
FINE = ("int8", "int8-in-fp32")


def thresholds_before(verifier: str) -> Thresholds:
    """Of the class that cheats claim before a verifier."""
    return thresholds_of(PAIRS[f"{CLAIMED[verifier]}--{verifier}"])


def withheld_after(texts: list[Evidence], thresholds: Thresholds, life: int) -> int | None:
    """Tokens checked until a node that does these is withheld; None within 3,000."""
    capital, tokens, drawing = Capital(), 0, random.Random(life)
    while tokens < 3000:
        job = drawing.choice(texts)
        capital, tokens = capital.after(job, thresholds), tokens + job.tokens
        if capital.peak >= WITHHELD_AT * UNIT:
            return tokens
    return None


def test_thresholds_are_what_their_data_says() -> None:
    """Computed anew from the files, bit for bit, and bound to the files' digests: no figure is typed in."""
    computed = [calibrate(data.calibrating, data.pair) for data in PAIRS.values()]
    assert stored() == computed
    classes = {each.node_class for each in stored()}
    assert len(classes) == len(HONEST) == 8, "threads, attention, instruction sets, bf16, fp16"
    assert classes <= {each.node_class for each in stored() if each.node_class == each.verifier_class}


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_no_honest_text_is_suspect(name: str) -> None:
    """Every text of every pair of classes: those that thresholds come from are accepted, of fresh ones none is suspect.

    Covers: A09
    """
    data = PAIRS[name]
    thresholds = thresholds_of(data)
    known = {judge(text, thresholds).finding for text in data.calibrating if text.tokens >= 16}
    assert known == {Finding.ACCEPT}
    assert len(data.fresh) >= 60
    assert Finding.SUSPECT not in {judge(text, thresholds).finding for text in data.fresh}


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_honest_lives_on_fresh_texts_are_never_withheld(name: str) -> None:
    """Lives out of texts that no threshold has seen: far below the bound of 1e-6.

    Covers: A09
    """
    data = PAIRS[name]
    thresholds = thresholds_of(data)
    assert [withheld_after(data.fresh, thresholds, life) for life in range(LIVES // 3)] == [None] * (LIVES // 3)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", FINE)
def test_weights_of_eight_bits_are_caught_within_2000_tokens(verifier: str, cheat: str) -> None:
    """On another grid than the model's own, in every life.

    Covers: A08
    """
    texts, thresholds = read(f"{cheat}--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(LIVES)]
    assert all(tokens is not None and tokens <= 2000 for tokens in found), found


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", CRUDE)
def test_crude_cheats_are_caught_within_a_few_hundred(verifier: str, cheat: str) -> None:
    """Four bits, another prompt.

    Covers: A08
    """
    texts, thresholds = read(f"{cheat}--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(LIVES)]
    assert all(tokens is not None and tokens <= 400 for tokens in found), found


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", ["int4", "int4-group32", "dropped-layer", "ignored-seed"])
def test_prefill_spoofs_are_caught_by_their_tokens(verifier: str, cheat: str) -> None:
    """Perfect activations, tokens of another model or another seed: withheld within 400 checked tokens.

    Covers: A53
    """
    texts, thresholds = read(f"{cheat}+spoof--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(LIVES)]
    assert all(tokens is not None and tokens <= 400 for tokens in found), found


@pytest.mark.parametrize("cheat", FINE)
def test_a_near_class_sees_a_spoof_of_eight_bits(cheat: str) -> None:
    """Perfect activations, tokens of weights rounded to eight bits: withheld within 2,000 checked tokens from its first
    job on. After an honest life it can take more (bench/results/native.json).

    Covers: A53
    """
    texts, thresholds = read(f"{cheat}+spoof--{NEAR}").texts, thresholds_before(NEAR)
    found = [withheld_after(texts, thresholds, life) for life in range(LIVES)]
    assert all(tokens is not None and tokens <= 2000 for tokens in found), found


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", ["int4", "int4-group32", "dropped-layer"])
def test_most_spoofs_are_suspect_in_their_first_job(verifier: str, cheat: str) -> None:
    """Within its 64 tokens, at a false alarm of at most 1e-4 a job: seven of eight. Where a cheap model writes what the
    right one would have written there is nothing to see.

    Covers: A53
    """
    thresholds = thresholds_before(verifier)
    judged = [judge(text, thresholds) for text in read(f"{cheat}+spoof--{verifier}").texts]
    assert 8 * sum(each.finding is Finding.SUSPECT for each in judged) >= 7 * len(judged)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", FORGERIES)
def test_forged_fingerprints_are_caught_in_their_first_job(verifier: str, cheat: str) -> None:
    """Constant, flipped signs, another answer's: on honest tokens, so by the distance alone.

    Covers: A01, A02
    """
    thresholds = thresholds_before(verifier)
    for text in read(f"{cheat}--{verifier}").texts:
        if text.tokens >= 32:
            assert judge(text, thresholds).finding is Finding.SUSPECT
