"""The terms of production keep what `verifier/ECONOMICS.md` promises, from the constants that ship."""

import json

import pytest

from bench.adversaries import collusion, economics, honest
from bench.adversaries.__main__ import JOBS, RAW
from bench.report import RESULTS
from contracts.protocol.sampling import Deterrence
from node_agent.execution import kinds

TERMS = {name: Deterrence(**kinds.find(name).template["deterrence"]) for name in kinds.names()}
COLLUDING = 0.3


@pytest.mark.parametrize("kind", TERMS)
def test_every_cheat_loses_money_with_friends(kind: str) -> None:
    """A wrong answer that costs nothing loses, at 30 % collusion too, for any operator that is leased to at k, whole or
    in parts; at the rate of a smaller penalty it would not. Covers: A02, A04, A05"""
    terms = economics.staked(TERMS[kind], open_jobs=4)
    assert economics.expected(terms, detection=1, colluding=COLLUDING) < -0.05
    assert economics.split(TERMS[kind], parts=4, tries=200, seed=1) < -0.05
    outcome = economics.cheat(terms, 100_000, detection=1, colluding=0.0, seed=2)
    assert outcome.profit + 3 * outcome.half_width < 0
    cheap = economics.Terms(TERMS[kind], terms.stake_units // 4, terms.exposure_units)
    assert cheap.rate > 3 * terms.rate, "less stake is checked more"


def test_checking_costs_less_than_one_percent() -> None:
    """Executions a job at the measured cost of a check, from the first job of a staked operator."""
    figures = json.loads((RESULTS / "exact.json").read_text())["figures"]
    terms = economics.staked(TERMS["generation"])
    for batch in ("verify_pct_batch1", "verify_pct_batch8"):
        assert economics.executions_per_job(terms, figures[batch]["value"] / 100) <= 1.01


def test_every_cheat_of_the_bench_was_caught() -> None:
    """The committed measurements: each way to cheat, each wrong answer. Covers: A01, A02, A08, A53, A55"""
    rows = json.loads(RAW.read_text())["rows"]
    assert len(rows) >= 16
    assert all(row["tried"] == JOBS and row["caught"] == row["wrong"] > 0 for row in rows)


def test_honest_checks_across_settings_convict_nobody() -> None:
    """Real traces of 13 settings: any of them checks any other. Covers: A09"""
    found = honest.checks(2_000, seed=3)
    assert found["false_slashes"] == 0
    assert found["settings"] >= 12


def test_a_minority_in_league_convicts_nobody_and_pays() -> None:
    """At 30 % of the stake: no honest node, and whoever lied loses what it stood for. Covers: A04, A12, A60"""
    found = collusion.cabal(300, COLLUDING, 1.0, 1)
    assert found["honest_nodes_convicted"] == found["cheats_freed"] == 0
    assert found["liars_who_lost_their_exposure"] == 300
    assert collusion.cabal(300, 0.6, 1.0, 1)["honest_nodes_convicted"] > 0, "above half nothing holds, as SPEC says"


def test_trying_many_roots_moves_no_job_out_of_the_sample() -> None:
    """A settler that knows the beacon and tries roots gets the published rate all the same. Covers: A06, A57"""
    found = collusion.grinding(0.25, roots=8, epochs=2_000, chance=4)
    low, high = found["interval"]
    assert low - 0.02 < 0.25 < high + 0.02
