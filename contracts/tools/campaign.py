"""The invariant campaign: runs forge's long form and sums what its runs counted.

Each run writes a line of counts (`contracts/test/invariant/Campaign.t.sol`). This adds them up and fails if a call
reverted, if a move did something in less than one call in a hundred, if a branch in `test/invariant/branches.txt` was
never reached, or if one was reached that is not listed.

It imports the standard library only.

    python -m contracts.tools.campaign --runs 2000 --depth 500 --out bench/results/raw/invariant-campaign.json
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.tools.product import src_sha256

CONTRACTS = Path(__file__).resolve().parent.parent
INVARIANTS = CONTRACTS / "test" / "invariant"
COUNTS = CONTRACTS / "cache" / "campaign.jsonl"
LEAST_SHARE = 0.01
"""The share of all calls in which each move must have done something."""


@dataclass(frozen=True)
class Summary:
    """What a campaign did. `calls_counted`: of all runs that wrote their counts, forge's warm-up run included.
    `refusals`: calls that were refused as predicted. `rarest_move_pct`: the share of calls in which the rarest move did
    something."""

    command: str
    src_sha256: str
    seed: str
    runs: int
    depth: int
    calls: int
    reverts: int
    seconds: int
    invariants: int
    calls_counted: int
    refusals: int
    rarest_move_pct: float
    moves: dict[str, int]
    branches: dict[str, int]


def main() -> int:
    """Runs the campaign, writes its summary and prints what is missing. Returns 0 if nothing is."""
    arguments = parse()
    COUNTS.parent.mkdir(exist_ok=True)
    COUNTS.unlink(missing_ok=True)
    started = time.monotonic()
    forge = run_forge(arguments)
    seconds = round(time.monotonic() - started)
    sys.stdout.write(forge.stdout)
    if forge.returncode != 0:
        return forge.returncode
    summary = summarise(forge.stdout, seconds, arguments)
    missing = complaints(summary)
    if arguments.out:
        arguments.out.write_text(json.dumps(asdict(summary), indent=2) + "\n")
    for line in missing:
        sys.stderr.write(f"campaign: {line}\n")
    return 1 if missing else 0


def parse() -> argparse.Namespace:
    """--runs, --depth, --seed, --out."""
    parser = argparse.ArgumentParser(description="the invariant campaign and its counts")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--depth", type=int, default=500)
    parser.add_argument("--seconds", type=int, help="stop after so long, with the runs that are done by then")
    parser.add_argument("--seed", default="0x61737361795f7631", help="of forge's fuzzer; another one, another campaign")
    parser.add_argument("--out", type=Path, help="where the summary goes as JSON")
    return parser.parse_args()


def run_forge(arguments: argparse.Namespace) -> subprocess.CompletedProcess[str]:
    """Runs one forge process on one thread. It prints its summary."""
    settings = {
        "FOUNDRY_INVARIANT_RUNS": str(arguments.runs),
        "FOUNDRY_INVARIANT_DEPTH": str(arguments.depth),
        "ASSAY_CAMPAIGN": str(COUNTS.relative_to(CONTRACTS)),
    }
    if arguments.seconds:
        settings["FOUNDRY_INVARIANT_TIMEOUT"] = str(arguments.seconds)
    binary = next((CONTRACTS / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    command = [str(binary), "test", "--match-contract", "CampaignTest", "--fuzz-seed", arguments.seed, "-j", "1"]
    return subprocess.run(
        command, cwd=CONTRACTS, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=False
    )


def summarise(printed: str, seconds: int, arguments: argparse.Namespace) -> Summary:
    """Forge's figures and the counts of all completed runs."""
    figures = re.search(r"\(runs: (\d+), calls: (\d+), reverts: (\d+)\)", printed)
    if figures is None:
        raise SystemExit("campaign: forge printed no figures")
    counts: Counter[str] = Counter()
    for line in COUNTS.read_text().splitlines():
        counts.update(json.loads(line))
    return Summary(
        command=" ".join(["python -m contracts.tools.campaign", *sys.argv[1:]]),
        src_sha256=src_sha256(),
        seed=arguments.seed,
        runs=int(figures[1]),
        depth=arguments.depth,
        calls=int(figures[2]),
        reverts=int(figures[3]),
        seconds=seconds,
        invariants=len(invariants()),
        calls_counted=counts["calls"],
        refusals=counts["refusals"],
        rarest_move_pct=100_000 * min(counts[name] for name in moves()) // counts["calls"] / 1000,  # rounded down
        moves={name: counts[name] for name in moves()},
        branches={name: counts[name] for name in sorted(counts) if "." in name},
    )


def complaints(summary: Summary) -> list[str]:
    """What the campaign did not show, one line each."""
    calls = summary.calls_counted
    expected = set((INVARIANTS / "branches.txt").read_text().split())
    rare = {name: count for name, count in summary.moves.items() if count < LEAST_SHARE * calls}
    found = [f"{name} did something in {count} of {calls} calls" for name, count in rare.items()]
    found += [f"the branch {name} was never reached" for name in sorted(expected - set(summary.branches))]
    found += [f"the branch {name} is not listed in branches.txt" for name in sorted(set(summary.branches) - expected)]
    if summary.reverts != 0:
        found.append(f"{summary.reverts} calls reverted")
    return found


def moves() -> list[str]:
    """The moves of the campaign, each counted under its name."""
    return sorted(re.findall(r"everybody\.(\w+)\.selector", (INVARIANTS / "Campaign.t.sol").read_text()))


def invariants() -> set[str]:
    """The invariants' numbers. README.md must explain exactly those that have a function."""
    explained = set(re.findall(r"^\| (I\d\d) \|", (INVARIANTS / "README.md").read_text(), re.MULTILINE))
    asserted = {
        name for path in INVARIANTS.glob("*.sol") for name in re.findall(r"function (I\d\d)_", path.read_text())
    }
    if explained != asserted:
        raise SystemExit(f"campaign: README.md and code differ in {sorted(explained ^ asserted)}")
    return explained


if __name__ == "__main__":
    sys.exit(main())
