"""The thresholds of this release against the real traces that they came from (bench/results/raw/native-*.json)."""

import random

import pytest

from bench.native.__main__ import honest_pairs
from bench.native.gather import CLAIMED, FORGERIES
from bench.native.raw import PairData, read
from contracts.protocol.native import UNIT, WITHHELD_AT, Capital, Evidence, Finding, Thresholds, calibrate, judge
from contracts.protocol.native.calibrated import find
from contracts.protocol.native.calibrated import read as stored

PAIRS = honest_pairs()
VERIFIERS = sorted(CLAIMED)
CRUDE = ("int4", "int4-group32", "altered-prompt")
FINE = ("int8", "int8-in-fp32")


def thresholds_before(verifier: str) -> Thresholds:
    """Of the class that cheats claim before a verifier."""
    pair = PAIRS[f"{CLAIMED[verifier]}--{verifier}"].pair
    found = find(pair.weights_sha256, pair.node_class, pair.verifier_class)
    assert found is not None
    return found


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
    computed = {data.sha256: calibrate(data.texts, data.pair) for data in PAIRS.values()}
    assert stored()
    for each in stored():
        assert each == computed[each.data_sha256]


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_no_honest_text_is_suspect(name: str) -> None:
    """Every text of every pair of classes, under the thresholds of its pair.

    Covers: A09
    """
    data = PAIRS[name]
    thresholds = calibrate(data.texts, data.pair)
    findings = {judge(text, thresholds).finding for text in data.texts if text.tokens >= 16}
    assert findings == {Finding.ACCEPT}


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_honest_lives_on_unseen_texts_are_never_withheld(verifier: str) -> None:
    """Thresholds of one half of the texts, lives out of the other: far below the bound of 1e-6.

    Covers: A09
    """
    data: PairData = PAIRS[f"{CLAIMED[verifier]}--{verifier}"]
    thresholds = calibrate(data.texts[0::2], data.pair)
    for life in range(10):
        assert withheld_after(data.texts[1::2], thresholds, life) is None


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", FINE)
def test_weights_of_eight_bits_are_caught_within_2000_tokens(verifier: str, cheat: str) -> None:
    """On another grid than the model's own, in every one of ten lives.

    Covers: A08
    """
    texts, thresholds = read(f"{cheat}--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(10)]
    assert all(tokens is not None and tokens <= 2000 for tokens in found), found


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", CRUDE)
def test_crude_cheats_are_caught_within_a_few_hundred(verifier: str, cheat: str) -> None:
    """Four bits, another prompt.

    Covers: A08
    """
    texts, thresholds = read(f"{cheat}--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(10)]
    assert all(tokens is not None and tokens <= 400 for tokens in found), found


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("cheat", ["int4", "int4-group32", "ignored-seed"])
def test_prefill_spoofs_are_caught_by_their_tokens(verifier: str, cheat: str) -> None:
    """Perfect activations, tokens of another model or another seed: withheld within 400 checked tokens.

    Covers: A53
    """
    texts, thresholds = read(f"{cheat}+spoof--{verifier}").texts, thresholds_before(verifier)
    found = [withheld_after(texts, thresholds, life) for life in range(10)]
    assert all(tokens is not None and tokens <= 400 for tokens in found), found


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
