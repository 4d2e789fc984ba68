"""Runs every fuzz property of the Solidity tests with many inputs, one after the other, the quickest first.

Each result is written at once with the hash of its sources (the contracts, the tests' helpers, its own file): an
interrupted run resumes, and changed properties run again. `--afresh` starts over. Fails with the property and the
input if one does not hold.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.tools.product import code_sha256, src_sha256

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT.parent / "bench" / "results" / "raw" / "contracts-fuzz.json"
UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Property:
    """One fuzz property: its test file, contract and name, and how long a few inputs take."""

    file: str
    contract: str
    test: str
    seconds: float

    @property
    def name(self) -> str:
        """The name in the raw file."""
        return f"{self.contract}.{self.test}"


def main(arguments: list[str]) -> int:
    """Fuzzes what the raw file lacks. Returns 1 if a property fails."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="inputs a property")
    options.add_argument("--out", type=Path, default=RAW, help="raw results, continued where they still hold")
    options.add_argument("--afresh", action="store_true", help="forget earlier results")
    options.add_argument("--match", default="", help="only properties whose name contains this")
    chosen = options.parse_args(arguments)
    found = sorted(properties(), key=lambda one: one.seconds)
    done = {} if chosen.afresh or not chosen.out.exists() else json.loads(chosen.out.read_text())["properties"]
    hashes = {one.name: sources_hash(one.file) for one in found}
    done = {name: held for name, held in done.items() if held["sources_sha256"] == hashes.get(name)}
    for one in found:
        known = one.name in done and done[one.name]["inputs"] >= chosen.inputs
        if known or chosen.match not in one.name:
            continue
        result = fuzz(one, chosen.inputs)
        inputs, seconds_ = result["kind"]["Fuzz"]["runs"], round(seconds(result["duration"]), 1)
        if result["status"] != "Success":
            sys.stderr.write(f"{one.name} fails: {result['reason']} {result['counterexample']}\n")
            return 1
        sys.stdout.write(f"{one.name}: holds for {inputs} inputs, {seconds_} s\n")
        sys.stdout.flush()
        done[one.name] = {"inputs": inputs, "seconds": seconds_, "sources_sha256": hashes[one.name]}
        write(chosen.out, done, list(hashes))
    write(chosen.out, done, list(hashes))
    return 0


def properties() -> list[Property]:
    """All fuzz properties."""
    report = forge("--match-test", "^testFuzz_", "--fuzz-runs", "16")
    return [
        Property(file, contract, test, seconds(found["duration"])) for file, contract, test, found in results(report)
    ]


def fuzz(one: Property, inputs: int) -> dict[str, Any]:
    """Its result with this many inputs."""
    # Not by path: forge would compile what it left out, again for each property.
    wanted = ("--match-contract", f"^{one.contract}$", "--match-test", f"^{one.test}\\(")
    ((*_, result),) = results(forge(*wanted, "--fuzz-runs", str(inputs)))
    return result


def forge(*arguments: str) -> dict[str, Any]:
    """A test run's report. Raises SystemExit with forge's output if there is none."""
    binary = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
    if binary is None:
        raise SystemExit("forge is not installed; run `npm ci` in contracts/")
    threads = os.environ.get("FORGE_THREADS", "1")
    command = [str(binary), "test", "--json", "--threads", threads, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(run.stdout)
    except json.JSONDecodeError:
        said = f"{run.stdout[-2000:]} {run.stderr[-2000:]}"
        raise SystemExit(f"forge ends with {run.returncode} and gives no report: {said}") from None
    return report


def results(report: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """File, contract, test and result of each test in a report."""
    found = []
    for suite, of_suite in report.items():
        file, contract = suite.split(":")
        found += [(file, contract, test.split("(")[0], result) for test, result in of_suite["test_results"].items()]
    return found


def seconds(duration: str) -> float:
    """Seconds in forge's "1m 2s 3ms 4µs 5ns"."""
    return sum(float(number) * UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|µs|ns|m|s)", duration))


def sources_hash(file: str) -> str:
    """Hash of the sources of a test file's properties."""
    return code_sha256([*ROOT.glob("src/**/*.sol"), *ROOT.glob("test/utils/*.sol"), ROOT / file])


def write(out: Path, done: dict[str, dict[str, Any]], names: list[str]) -> None:
    """Writes the raw file. A property that was not run yet counts as 0 inputs."""
    out.parent.mkdir(parents=True, exist_ok=True)
    raw = {
        "command": "python -m contracts.tools.fuzz_long",
        "src_sha256": src_sha256(),
        "fuzz_inputs_per_property": min(done[name]["inputs"] if name in done else 0 for name in names),
        "not_run_yet": sorted(name for name in names if name not in done),
        "properties": dict(sorted(done.items())),
    }
    out.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
