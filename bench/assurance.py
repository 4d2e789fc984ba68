"""`python -m bench.assurance`: gathers what the long tests of the contracts left in bench/results/raw.

Runs none of them: `make soak-contracts` does. A figure measured on other sources is null, with the reason. Whoever ran
less than the whole command finds the command that ran beside the figure.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.report import RESULTS, Figure, write
from contracts.tools.product import src_sha256

RAW = RESULTS / "raw"


@dataclass(frozen=True)
class Source:
    """Where a figure stands: raw file, key, unit, what has to hold, and the command that measures it anew."""

    file: str
    key: str
    unit: str
    must: float
    holds: Callable[[float, float], bool]
    command: str


def _at_least(value: float, must: float) -> bool:
    return value >= must


def _at_most(value: float, must: float) -> bool:
    return value <= must


_CAMPAIGN = "python -m contracts.tools.campaign --out bench/results/raw/invariant-campaign.json"
_MUTANTS = "python -m contracts.tools.mutation mutants"
_DEFENCES = "python -m contracts.tools.mutation defences"
SOURCES = {
    "invariant_calls": Source("invariant-campaign", "calls", "calls", 1_000_000, _at_least, _CAMPAIGN),
    "invariants": Source("invariant-campaign", "invariants", "invariants", 20, _at_least, _CAMPAIGN),
    "rarest_move_pct": Source("invariant-campaign", "rarest_move_pct", "% of calls", 1, _at_least, _CAMPAIGN),
    "fuzz_inputs_per_property": Source(
        "contracts-fuzz", "fuzz_inputs_per_property", "inputs", 100_000, _at_least,
        "python -m contracts.tools.fuzz_long",
    ),
    "halmos_proved": Source("halmos", "proved", "properties", 15, _at_least, "make halmos"),
    "mutants": Source("contracts-mutants", "mutants", "mutants", 300, _at_least, _MUTANTS),
    "mutants_killed_pct": Source("contracts-mutants", "mutants_killed_pct", "%", 95, _at_least, _MUTANTS),
    "defences_red": Source("contracts-defences", "defences_red", "defences", 80, _at_least, _DEFENCES),
    "line_coverage_pct": Source("coverage", "line_coverage_pct", "%", 100, _at_least, "make coverage-contracts"),
    "branch_coverage_pct": Source("coverage", "branch_coverage_pct", "%", 95, _at_least, "make coverage-contracts"),
    "slither_unexplained": Source("slither", "unexplained", "findings", 0, _at_most, "make slither"),
    "differential_steps": Source(
        "contracts-differential", "differential_steps", "calls", 100_000, _at_least,
        "python -m tests.differential.soak",
    ),
}  # fmt: skip


def figures() -> dict[str, Figure]:
    """Each figure as its raw file has it."""
    return {name: Figure(_value(source), source.unit, must=source.must) for name, source in SOURCES.items()}


def origins() -> dict[str, dict[str, str]]:
    """Where each figure comes from: its raw file, the command that ran, and for a null the reason and the command."""
    return {name: _origin(source) for name, source in SOURCES.items()}


def _origin(source: Source) -> dict[str, str]:
    raw, file = _raw(source), f"raw/{source.file}.json"
    if _value(source) is not None:
        return {"file": file, "ran": raw.get("command", source.command), "whole": source.command}
    measured = raw.get("src_sha256")
    why = f"measured on sources {measured}, not on these" if measured else f"no result in {file}"
    return {"file": file, "null_because": why, "whole": source.command}


def _value(source: Source) -> float | None:
    raw = _raw(source)
    found: float | None = raw.get(source.key)
    return found if raw.get("src_sha256") == src_sha256() else None


def _raw(source: Source) -> dict[str, Any]:
    path = RAW / f"{source.file}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    """Writes, prints; fails where something that must hold does not, or was not measured on this code."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = figures()
    path = write("contracts-assurance", "python -m bench.assurance", found, src_sha256=src_sha256(), raw=origins())
    for name, figure in found.items():
        value = "not measured" if figure.value is None else f"{figure.value:,}"
        print(f"{name:<28}{value:>14} {figure.unit:<12} must {figure.must:,}")
    print(f"written to {path.name}")
    broken = [name for name, one in SOURCES.items() if (v := found[name].value) is None or not one.holds(v, one.must)]
    if broken:
        raise SystemExit(f"does not hold, or was not measured on this code: {', '.join(broken)}")


if __name__ == "__main__":
    main()
