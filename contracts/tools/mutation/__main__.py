"""`python -m contracts.tools.mutation mutants | defences`: runs one campaign and writes its raw result as JSON.

Exits with 1 where fewer than 95 % of the mutants were killed, a survivor is not explained in survivors.toml, or a test
stayed green without the defence that it shows.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from contracts.tools.mutation import campaign, defences
from contracts.tools.product import src_sha256

RESULTS = Path(__file__).resolve().parents[3] / "bench" / "results" / "raw"
LEAST_KILLED_PCT = 95


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.tools.mutation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    mutants = commands.add_parser("mutants", help="a seeded sample of small changes over every function")
    mutants.add_argument("--count", type=int, default=410, help="at most so many")
    mutants.add_argument("--seed", type=int, default=1)
    commands.add_parser("defences", help="every defence in defences.toml taken out once")
    arguments = parser.parse_args()
    if arguments.command == "mutants":
        result = campaign.run(arguments.count, arguments.seed)
        sound = result["mutants_killed_pct"] >= LEAST_KILLED_PCT and result["survivors_unexplained"] == 0
    else:
        result = defences.run()
        sound = result["defences_red"] == result["defences"]
    _write(RESULTS / f"contracts-{arguments.command}.json", result)
    sys.stdout.write(json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1) + "\n")
    return 0 if sound else 1


def _write(file: Path, result: dict[str, Any]) -> None:
    file.write_text(json.dumps({"src_sha256": src_sha256()} | result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
