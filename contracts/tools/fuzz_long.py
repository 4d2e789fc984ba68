"""Runs every fuzz property of the Solidity tests with many inputs, one after the other, the quickest first.

What held is written to the raw file after each property, with the hash of the sources, so that a run that was stopped
goes on where it stood (`--afresh` starts over). Fails, naming the property and the input, if one does not hold.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT.parent / "bench" / "results" / "raw" / "contracts-fuzz.json"
UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def main(arguments: list[str]) -> int:
    """Fuzz what the raw file does not have yet. Returns 1 if a property fails."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="inputs a property")
    options.add_argument("--out", type=Path, default=RAW, help="raw results, continued if they are of these sources")
    options.add_argument("--afresh", action="store_true", help="forget earlier results")
    chosen = options.parse_args(arguments)
    sources = sources_hash()
    done = {} if chosen.afresh else read(chosen.out, sources)
    found = sorted(properties(), key=lambda item: item[2])
    names = [f"{contract}.{test}" for contract, test, _ in found]
    for name, (contract, test, _) in zip(names, found, strict=True):
        if done.get(name, {}).get("inputs", 0) >= chosen.inputs:
            continue
        result = fuzz(contract, test, chosen.inputs)
        sys.stdout.write(f"{name}: {result['status']}, {result['inputs']} inputs in {result['seconds']:.0f} s\n")
        sys.stdout.flush()
        if result["status"] != "Success":
            sys.stderr.write(f"{name} fails: {result['reason']} {result['counterexample']}\n")
            return 1
        done[name] = {"inputs": result["inputs"], "seconds": result["seconds"]}
        write(chosen.out, sources, done, names)
    return 0


def properties() -> list[tuple[str, str, float]]:
    """Contract, test and seconds of a short run, for every fuzz property there is."""
    report = forge("--match-test", "^testFuzz_", "--fuzz-runs", "16")
    return [(contract, test, seconds(result["duration"])) for contract, test, result in results(report)]


def fuzz(contract: str, test: str, inputs: int) -> dict[str, Any]:
    """One property with so many inputs."""
    wanted = ("--match-contract", f"^{contract}$", "--match-test", f"^{test}\\(")
    ((_, _, result),) = results(forge(*wanted, "--fuzz-runs", str(inputs)))
    return {
        "status": result["status"],
        "inputs": result["kind"]["Fuzz"]["runs"],
        "seconds": round(seconds(result["duration"]), 1),
        "reason": result["reason"],
        "counterexample": result["counterexample"],
    }


def forge(*arguments: str) -> dict[str, Any]:
    """A test run's report. Raises SystemExit with forge's own words where it has no report to give."""
    binary = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
    if binary is None:
        raise SystemExit("forge is not installed; run `npm ci` in contracts/")
    threads = os.environ.get("FORGE_THREADS", "1")
    command = [str(binary), "test", "--json", "--threads", threads, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(run.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"forge gives no report: {run.stdout[-2000:]} {run.stderr[-2000:]}") from None
    return report


def results(report: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Contract, test and result of each test in a report."""
    return [
        (suite.split(":")[1], test.split("(")[0], result)
        for suite, of_suite in report.items()
        for test, result in of_suite["test_results"].items()
    ]


def seconds(duration: str) -> float:
    """Of forge's "1m 2s 3ms 4µs 5ns"."""
    return sum(float(number) * UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|µs|ns|m|s)", duration))


def sources_hash() -> str:
    """Of every Solidity file: results of other sources do not count."""
    files = sorted([*ROOT.glob("src/**/*.sol"), *ROOT.glob("test/**/*.sol")])
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def read(out: Path, sources: str) -> dict[str, dict[str, Any]]:
    """What held before, with the same sources."""
    if not out.exists():
        return {}
    raw = json.loads(out.read_text())
    found: dict[str, dict[str, Any]] = raw["properties"] if raw["sources_sha256"] == sources else {}
    return found


def write(out: Path, sources: str, done: dict[str, dict[str, Any]], names: list[str]) -> None:
    """The raw file anew. A property that was not run yet counts as 0 inputs."""
    out.parent.mkdir(parents=True, exist_ok=True)
    raw = {
        "command": "python contracts/tools/fuzz_long.py",
        "sources_sha256": sources,
        "fuzz_inputs_per_property": min(done[name]["inputs"] if name in done else 0 for name in names),
        "properties": dict(sorted(done.items())),
    }
    out.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
