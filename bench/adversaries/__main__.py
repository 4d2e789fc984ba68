"""`python -m bench.adversaries [exact]`: prints the table and writes bench/results/adversaries.json.

`exact` measures the cheats on the real model again (about a quarter of an hour on one core) and keeps them in
bench/results/raw/adversaries-exact.json; without it those of the last run are taken. All else is simulated each time,
from the seeds that the file names.
"""

import argparse
import json
import sys
from typing import Any

from bench.adversaries import collusion, economics, equivocation, exact_cheats, honest, native
from bench.report import RESULTS, Figure, write
from contracts.protocol.constants import PRODUCTION
from contracts.protocol.sampling import Deterrence
from contracts.protocol.trace import CHUNK_ROWS, ShownText, encode_shown
from node_agent.execution.kinds import generation

RAW = RESULTS / "raw" / "adversaries-exact.json"
JOBS = 32
SIMULATED = 400_000
HONEST_CHECKS = 200_000
COLLUDING = 0.3
SEED = 20_260
COMMITMENT_BYTES = 32 + 32 + 4 + 65
"""Of a node's proof: trace commitment, output root, units, signature. Openings are 32 bytes more, for checked jobs."""
SHOWN = ShownText(exact_cheats.NEW, [bytes(32)] * -(-exact_cheats.NEW // CHUNK_ROWS))
"""As long as what is shown of an answer of so many tokens."""
PEERS = {
    "TOPLOC": "accepted int4 tokens with one honest prefill in 24 of 24 chunks, int8 weights in 24 of 24; 8.06 bytes a "
    "token; a constant polynomial passes its exponent test in 4 of 6, sign flips in all (toploc 0.1.6, our runs)",
    "Gonka": "its float path rejects 14-77 % of honest positions (gonka-ai/gonka #1199)",
    "Crynux": "identical cards only, 1.2 executions a job (docs.crynux.ai)",
    "BOINC": "1.047 executions a job after 1,000 jobs (sched/, set_trust)",
}


def main() -> None:
    """Measures, simulates, writes, prints; fails where a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.adversaries", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["exact"], help="what is measured again")
    if parser.parse_args().part == "exact":
        measure_exact()
    cheats = json.loads(RAW.read_text())
    constants = Deterrence(**generation.TEMPLATE["deterrence"])
    check_cost = json.loads((RESULTS / "exact.json").read_text())["figures"]
    costs = {name: check_cost[f"verify_pct_{name}"]["value"] / 100 for name in ("batch1", "batch8")}
    simulated = simulate(constants, costs)
    profits = profit_rows(constants, cheats["rows"])
    found = figures(cheats["rows"], profits, simulated)
    path = write(
        "adversaries", "make bench-adversaries", found,
        seed=SEED, deterrence=constants.model_dump(), penalty_multiple=PRODUCTION.penalty_multiple,
        cheats=profits, simulated=simulated, peers=PEERS, raw=f"bench/results/raw/{RAW.name}",
    )  # fmt: skip
    show(profits, simulated, found)
    print(f"written to {path.name}")
    if broken := [name for name, holds in bars(found).items() if not holds]:
        raise SystemExit(f"bars that do not hold: {', '.join(broken)}")


def measure_exact() -> None:
    """The cheats on the real model."""
    rows, seconds = exact_cheats.measure(JOBS)
    record = {"jobs": JOBS, "new_tokens": exact_cheats.NEW, "seconds_of_generating": seconds}
    RAW.write_text(json.dumps(record | {"rows": [row.record() for row in rows]}, indent=1) + "\n")


def profit_rows(constants: Deterrence, cheats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cheat with what it earns a job at the published rate, alone and with friends; its work counted as free."""
    terms, known, found = economics.staked(constants), dict[float, dict[str, Any]](), []
    for cheat in cheats:
        detection = cheat["rate"]
        if detection not in known:
            known[detection] = {
                f"colluding_{share}": economics.cheat(
                    terms, SIMULATED, detection=detection, colluding=share, seed=SEED
                ).record()
                | {"ev_pct_expected": 100 * economics.expected(terms, detection=detection, colluding=share)}
                for share in (0.0, COLLUDING)
            }
        found.append(cheat | {"profit": known[detection]})
    return found


def simulate(constants: Deterrence, check_costs: dict[str, float]) -> dict[str, Any]:
    """What needs no model: stake, time, names, verifiers, seeds, honest checks."""
    terms = economics.staked(constants)
    return {
        "check_rate": terms.rate,
        "check_cost_of_a_job": check_costs,
        "executions_per_job": {name: economics.executions_per_job(terms, cost) for name, cost in check_costs.items()},
        "executions_per_job_first_1000_without_stake": {
            name: economics.first_jobs(constants, cost, 1_000) for name, cost in check_costs.items()
        },
        "table": economics.table(constants, list(check_costs.values())),
        "stake_then_cheat_once": economics.once_and_away(
            constants, open_jobs=20, runs=SIMULATED // 20, colluding=COLLUDING, seed=SEED + 1
        ).record(),
        "sybil_split_ev_pct": 100 * economics.split(constants, parts=5, tries=2_000, seed=SEED),
        "newcomer": economics.newcomer(constants, colluding=COLLUDING) | register_gas(),
        "cabal": [collusion.cabal(10_000, COLLUDING, answering, SEED) for answering in (1.0, 0.9, 0.8)],
        "without_work": collusion.without_work(20_000, SEED),
        "grinding": collusion.grinding(terms.rate, 50, 10_000, SEED),
        "equivocation": equivocation.twice(500, SEED),
        "honest": honest.checks(HONEST_CHECKS, SEED),
        "native": native.summary(),
    }


def register_gas() -> dict[str, float]:
    """What a name costs: gas, and how many settled jobs' gas that is."""
    gas = json.loads((RESULTS / "gas.json").read_text())["figures"]
    name, job = gas["gas_register_node"]["value"], gas["gas_per_job_1000x50x50"]["value"]
    return {"gas_of_a_name": name, "settled_jobs_of_that_gas": name / job}


def figures(rows: list[dict[str, Any]], profits: list[dict[str, Any]], simulated: dict[str, Any]) -> dict[str, Figure]:
    """What the file's readers compare."""
    named = {row["name"]: row for row in rows}
    expected = [row["profit"][f"colluding_{COLLUDING}"]["ev_pct_expected"] for row in profits]
    apart = [simulated[name]["ev_pct_of_reward"] for name in ("stake_then_cheat_once", "equivocation")]
    worst = max(*expected, *apart, simulated["sybil_split_ev_pct"], simulated["newcomer"]["ev_pct_of_the_dearest_job"])
    int8 = [gap for name in ("int8, another grid", "prefill spoof, int8, another grid") for gap in named[name]["gaps"]]
    return {
        "honest_checks": Figure(simulated["honest"]["checks"], "checks of the exact engine", goal=100_000),
        "false_slashes": Figure(simulated["honest"]["false_slashes"], "slashes", goal=0, must=0),
        "worst_cheat_ev_pct_of_reward": Figure(worst, "% of the reward, at 30 % collusion", goal=0),
        "spoof_int4_caught_within_tokens": Figure(
            max(named["prefill spoof, int4"]["tokens"]), "tokens, exact engine", goal=64
        ),
        "int8_caught_within_tokens": Figure(max(int8), "checked tokens, exact engine", goal=2_000),
        "executions_per_job": Figure(max(simulated["executions_per_job"].values()), "executions", goal=1.01),
        "proof_bytes_per_token": Figure(
            max(COMMITMENT_BYTES / exact_cheats.NEW, simulated["native"]["proof_bytes_per_token"]),
            "bytes that a check needs, the dearer engine's",
            goal=4,
        ),
        "shown_trace_bytes_per_token": Figure(
            len(encode_shown([SHOWN])) / exact_cheats.NEW,
            "bytes that locate a difference, shown when all checks are over; exact engine",
        ),
    }


def bars(found: dict[str, Figure]) -> dict[str, bool]:
    """Which of the bars hold."""
    value = {name: float(one.value or 0) for name, one in found.items()}
    least = {"honest_checks": value["honest_checks"] >= 100_000, "worst": value["worst_cheat_ev_pct_of_reward"] < 0}
    return least | {
        name: value[name] <= float(one.goal)
        for name, one in found.items()
        if one.goal is not None and name not in ("honest_checks", "worst_cheat_ev_pct_of_reward")
    }


def show(profits: list[dict[str, Any]], simulated: dict[str, Any], found: dict[str, Figure]) -> None:
    """The tables, for people."""
    print(f"seed {SEED}; p = {simulated['check_rate']:.4f} at k = {PRODUCTION.penalty_multiple}; cheats' work is free")
    print(f"{'cheat':36} {'wrong':>6} {'caught':>6} {'interval':>14} {'EV %':>8} {'EV % at 30 %':>14} {'jobs':>6}")
    for row in profits:
        alone, together = (row["profit"][f"colluding_{share}"] for share in (0.0, COLLUDING))
        low, high = row["interval"]
        print(
            f"{row['name']:36} {row['wrong']:6} {row['caught']:6} {low:6.3f}-{high:6.3f} "
            f"{alone['ev_pct_of_reward']:8.1f} {together['ev_pct_of_reward']:7.1f}±{together['ev_half_width_pct']:.1f} "
            f"{together['jobs_until_caught']:8}"
        )
    json.dump({name: part for name, part in simulated.items() if name not in ("table", "native")}, sys.stdout, indent=1)
    print()
    print("native engine, one prefill on another class: texts found suspect, tokens until withheld, other output")
    for name, row in simulated["native"]["honest"].items():
        print(f"honest {name:37} withheld {row['withheld']} of {row['lives']} lives   {row['other_output_pct']:5.1f} %")
    for name, row in simulated["native"]["cheats"].items():
        suspect, until = row["findings"]["suspect"], row["from_the_start"].get("tokens_until_withheld", "never")
        print(f"{name:44} {suspect:3} of {row['texts']}   {until}   {row['other_output_pct']:5.1f} %")
    for row in simulated["table"]:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    for name, said in PEERS.items():
        print(f"{name}: {said}")
    for name, one in found.items():
        print(f"{name:34} {one.value:,.4g} {one.unit}")


if __name__ == "__main__":
    main()
