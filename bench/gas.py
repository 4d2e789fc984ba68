"""Gas a job on chain, measured by forge: every call a transaction of its own, calldata floor (EIP-7623) included.

Runs `contracts/test/gas`, writes bench/results/gas.json and prints the table. A job costs its share of the epoch's post
and settlement, and one claim per 1,000 of its operator's jobs. Needs `npm ci` in contracts/; Python's standard library
is all that it imports.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
COMMAND = ["node_modules/.bin/forge", "test", "--isolate", "--match-contract", "GasTest"]
GOALS = {"epoch_1000x50x50": 1900, "epoch_2900x50x50": 1750}
"""Gas a job that we aim at; the limits that must hold (2,200 and 1,750) are asserted by the forge test."""


def main() -> int:
    """Measure, write the result, print the table. Returns forge's exit status."""
    run = subprocess.run(COMMAND, cwd=CONTRACTS, check=False)
    if run.returncode != 0:
        return run.returncode
    shapes: dict[str, dict[str, int]] = json.loads((CONTRACTS / "cache" / "gas.json").read_text())
    result = {
        "commit": commit(),
        "command": "make bench-gas",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores; gas does not depend on it",
        "figures": figures(shapes),
    }
    target = ROOT / "bench" / "results" / "gas.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    print_table(shapes)
    return 0


def figures(shapes: dict[str, dict[str, int]]) -> dict[str, dict[str, object]]:
    """Each shape's gas a job, with its goal where there is one, and the gas of its three calls."""
    found: dict[str, dict[str, object]] = {}
    for shape, measured in shapes.items():
        found[f"{shape}_per_job"] = {"value": measured["gas_per_job"], "unit": "gas", "goal": GOALS.get(shape)}
        for call in ("post_gas", "settle_gas", "claim_gas"):
            found[f"{shape}_{call}"] = {"value": measured[call], "unit": "gas", "goal": None}
    return found


def print_table(shapes: dict[str, dict[str, int]]) -> None:
    """One line a shape."""
    columns = ("jobs", "lanes", "operators", "calldata_bytes", "post_gas", "settle_gas", "claim_gas", "gas_per_job")
    print("".join(f"{name:>16}" for name in columns))
    for measured in shapes.values():
        print("".join(f"{measured[name]:>16,}" for name in columns))


def commit() -> str:
    """The checked-out commit, or "uncommitted" before the first one."""
    run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True)
    return run.stdout.strip() if run.returncode == 0 else "uncommitted"


if __name__ == "__main__":
    sys.exit(main())
