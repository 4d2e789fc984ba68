"""What cheating earns at the published check rate, and what can be known without doing the work."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.records import Opening
from contracts.protocol.sampling import CERTAIN, Deterrence, draw_verifiers, is_sampled, least_threshold, seed
from contracts.protocol.typed_data import agrees, answer_commit
from tests.unit.record.records import job, opening

REWARD = 1_000_000
JOBS = 20_000
CONSTANTS = Deterrence(
    honest_cost_ppm=700_000, cheat_cost_ppm=100_000, detection_ppm=990_000, collusion_ppm=300_000, false_alarm_ppm=1_000
)


def profit(threshold: int, multiple: float, *, lazy: bool, luck: random.Random) -> float:
    """What `JOBS` jobs leave to a node, per job and part of the reward, its penalties paid."""
    c = CONSTANTS
    cost = (c.cheat_cost_ppm if lazy else c.honest_cost_ppm) / 1e6
    convicted = c.detection_ppm / 1e6 * (1 - c.collusion_ppm / 1e6) if lazy else c.false_alarm_ppm / 1e6
    total = 0.0
    for number in range(JOBS):
        checked = is_sampled(b"\3" * 32, keccak(number.to_bytes(8, "big")), threshold)
        lost = checked and luck.random() < convicted
        total += (-multiple if lost else 1.0) - cost
    return total / JOBS


@pytest.mark.parametrize(("stake", "exposure"), [(9, 1), (18, 1), (9, 3), (5, 1)])
def test_a_lazy_node_loses_against_honest_work_at_the_published_rate(stake: int, exposure: int) -> None:
    """Twenty thousand random answers earn less than honest work at p, and would earn more at half of p. Covers: A02"""
    threshold = least_threshold(
        CONSTANTS, stake_units=stake * REWARD, exposure_units=exposure * REWARD, penalty_multiple=9
    )
    multiple = min(9.0, stake / exposure)
    honest = profit(threshold, multiple, lazy=False, luck=random.Random(1))
    lazy = profit(threshold, multiple, lazy=True, luck=random.Random(1))
    assert threshold < CERTAIN
    assert lazy < honest + 0.03  # p makes both equal; the rest is the noise of 20,000 draws
    assert profit(threshold // 2, multiple, lazy=True, luck=random.Random(1)) > honest + 0.1
    doubled = profit(min(CERTAIN, 2 * threshold), multiple, lazy=True, luck=random.Random(1))
    assert doubled < honest


def test_thirty_percent_in_league_make_cheating_no_better_than_work() -> None:
    """Checks that fall to friends of the node show nothing; the rate has them priced in. Covers: A04"""
    verifiers = {account: 10**9 for account in range(1, 11)}
    cabal = {1, 2, 3}
    threshold = least_threshold(CONSTANTS, stake_units=9 * REWARD, exposure_units=REWARD, penalty_multiple=9)
    digests = [keccak(number.to_bytes(8, "big")) for number in range(JOBS)]
    sampled = [digest for digest in digests if is_sampled(b"\4" * 32, digest, threshold)]
    caught = sum(draw_verifiers(b"\4" * 32, digest, verifiers)[0] not in cabal for digest in sampled)
    saved = JOBS * (CONSTANTS.honest_cost_ppm - CONSTANTS.cheat_cost_ppm) / 1e6
    assert abs(caught / len(sampled) - 0.7) < 0.03
    assert caught * (1 + 9) > 0.97 * saved


@given(
    stake=st.integers(1, 10**12),
    exposure=st.integers(2, 10**12),
    stake_part=st.fractions(0, 1),
    exposure_part=st.fractions(0, 1),
)
def test_splitting_an_operator_never_lowers_the_rate_of_all_its_parts(
    stake: int, exposure: int, stake_part: float, exposure_part: float
) -> None:
    """However stake and work are divided, some part is checked at least as much as the whole. Covers: A05"""

    def rate(stake_units: int, exposure_units: int) -> int:
        return least_threshold(CONSTANTS, stake_units=stake_units, exposure_units=exposure_units, penalty_multiple=9)

    first_stake, first_exposure = int(stake * stake_part), max(1, min(exposure - 1, int(exposure * exposure_part)))
    parts = (rate(first_stake, first_exposure), rate(stake - first_stake, exposure - first_exposure))
    assert max(parts) >= rate(stake, exposure)


@given(guess=st.binary(min_size=32, max_size=32))
def test_whoever_knows_only_what_is_public_cannot_agree(guess: bytes) -> None:
    """Commitment, output and units are public; the trace is not, so a rubber stamp does not match. Covers: A13"""
    commitment = job(0).commitment.commitment
    stamp = Opening(trace_hash=to_hex(guess), output_root=commitment.output_root, units=commitment.units)
    assert not agrees(stamp, commitment)
    copied = Opening(trace_hash=commitment.trace_commit, output_root=commitment.output_root, units=commitment.units)
    assert not agrees(copied, commitment)


def test_an_answer_is_bound_to_its_verifier_and_its_job() -> None:
    """The same answer hides differently for each verifier and each commitment: copying it says nothing. Covers: A13"""
    answer, own, other = opening(0), "0x" + "01" * 20, "0x" + "02" * 20
    hidden = {answer_commit(answer, digest, key) for digest in (b"\1" * 32, b"\2" * 32) for key in (own, other)}
    assert len(hidden) == 4


@given(parts=st.lists(st.binary(min_size=32, max_size=32), min_size=3, max_size=3), which=st.integers(0, 2))
def test_the_seed_needs_the_block_hash_the_beacon_and_the_root(parts: list[bytes], which: int) -> None:
    """Who lacks one of the three, the leaky beacon's friend too, knows nothing of the sample. Covers: A57, A06"""
    digest = from_hex(job(0).row.digest)
    changed = [keccak(part) if index == which else part for index, part in enumerate(parts)]
    assert seed(*changed) != seed(*parts)
    assert keccak(seed(*changed) + digest) != keccak(seed(*parts) + digest)
