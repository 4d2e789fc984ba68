"""Measures which lines and branches of src the tests reach: by `forge coverage`, and by faults where that is blind.

forge must compile through the intermediate representation (the row loop of PackedEpoch does not fit the stack
otherwise). Its source maps do not reach into assembly, nor to a line that leaves no instruction of its own. BLIND names
these lines, each with a point that cannot be run unless they are: a fault put there must turn a test red. A line that
neither forge nor a fault shows counts as missed, and so does every branch that forge does not see taken.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from contracts.tools.product import src_sha256

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT.parent / "bench" / "results" / "raw" / "coverage.json"
LCOV = ROOT / "out-coverage" / "lcov.info"
NOT_RUN = "test/{invariant,gas}/*"  # they reach nothing more, and take the longest
LEAST_LINES_PCT, LEAST_BRANCHES_PCT = 100, 95


class Blind(NamedTuple):
    """Lines `first` to `last`. If the tests fail with `fault` in the place of `point`, these lines run."""

    file: str
    first: str
    last: str
    point: str
    fault: str
    test: str


WORD = "value := calldataload(add(packed.offset, offset))"
FAULT = "if calldatasize() { revert(0, 0) }"  # as good as always, yet the compiler finds nothing unreachable after it
READER = "test/escrow/PackedEpoch.t.sol"
BLIND = (
    Blind("src/libraries/Merkle.sol", "let base := add(nodes", "parent := add(parent, 0x80)",
          "mstore(add(parent, 0x20), keccak256(add(pair, 0x40), 0x40))", FAULT, READER),
    Blind("src/libraries/Merkle.sol", "for {} lt(pair, pairsEnd)", "parent := add(parent, 0x20)",
          "parent := add(parent, 0x20)", FAULT, READER),
    Blind("src/libraries/Merkle.sol", "if and(width, 1) {", "width := shr(1, add(width, 1))",
          "mstore(parent, mload(pairsEnd))", FAULT, READER),
    Blind("src/libraries/PackedEpoch.sol", "let free := mload(0x40)", "sumUnits := add(sumUnits, units)",
          "sumUnits := add(sumUnits, units)", FAULT, READER),
    Blind("src/libraries/PackedEpoch.sol", "let tallyAt := add(tallies", "if eq(leafAt, leavesEnd) { break }",
          "mstore(leafAt, keccak256(0, 0x60))", FAULT, READER),
    Blind("src/libraries/PackedEpoch.sol", "mstore(0x40, free)", "mstore(0x40, free)",
          "mstore(0x40, free)", FAULT, READER),
    Blind("src/libraries/PackedEpoch.sol", WORD, WORD, WORD, f"{FAULT} {WORD}", READER),
    Blind("src/Lanes.sol", "return SkipReason.NONE;", "return SkipReason.NONE;",
          "return SkipReason.NONE;", "revert JobEscrow_IsPaused();", "test/escrow/Leaves.t.sol"),
)  # fmt: skip

Missed = dict[str, set[int]]


def main() -> int:
    """Returns 1 if too little is covered, or a fault goes unnoticed."""
    measure()
    lines, missed_lines, branches, missed_branches = read(LCOV.read_text())
    shown = 0
    unnoticed = []
    for blind in BLIND:
        hidden = missed_lines.get(blind.file, set()) & span(blind)
        if not hidden:
            continue
        if is_noticed(blind):
            missed_lines[blind.file] -= hidden
            shown += len(hidden)
        else:
            unnoticed.append(f"{blind.file}: {blind.point}")
    lines_left = sum(map(len, missed_lines.values()))
    summary: dict[str, Any] = {
        "src_sha256": src_sha256(),
        "lines": lines, "lines_missed": lines_left, "lines_shown_by_faults": shown,
        "branches": branches, "branches_missed": sum(map(len, missed_branches.values())),
        "line_coverage_pct": round(100 * (lines - lines_left) / lines, 2),
        "branch_coverage_pct": round(100 * (1 - sum(map(len, missed_branches.values())) / branches), 2),
        "missed_lines": {file: sorted(numbers) for file, numbers in missed_lines.items() if numbers},
        "missed_branches_at": {file: sorted(numbers) for file, numbers in missed_branches.items() if numbers},
        "faults_unnoticed": unnoticed,
    }  # fmt: skip
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(summary, indent=1) + "\n")
    sys.stdout.write(json.dumps(summary, indent=1) + "\n")
    enough = summary["line_coverage_pct"] >= LEAST_LINES_PCT and summary["branch_coverage_pct"] >= LEAST_BRANCHES_PCT
    return 0 if enough and not unnoticed else 1


def forge(*arguments: str, root: Path = ROOT, profile: str = "default") -> subprocess.CompletedProcess[str]:
    """Runs forge and captures its output."""
    binary = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    environment = os.environ | {"FOUNDRY_PROFILE": profile}
    return subprocess.run([str(binary), *arguments], cwd=root, env=environment, capture_output=True, text=True)


def measure() -> None:
    """Writes LCOV. Raises SystemExit with forge's output if a test fails or does not compile."""
    LCOV.parent.mkdir(exist_ok=True)
    done = forge(
        "coverage", "--ir-minimum", "--report", "lcov", "--report-file", str(LCOV), "--no-match-path", NOT_RUN,
        profile="coverage",
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def read(lcov: str) -> tuple[int, Missed, int, dict[str, list[int]]]:
    """Number of lines in src, missed lines by file, number of branches, lines of untaken branches by file."""
    lines = branches = 0
    missed_lines: Missed = {}
    missed_branches: dict[str, list[int]] = {}
    file = ""
    for record in lcov.splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            file = rest
        if not file.startswith("src/"):
            continue
        if kind == "DA":
            number, hits = rest.split(",")[:2]
            lines += 1
            if hits == "0":
                missed_lines.setdefault(file, set()).add(int(number))
        elif kind == "BRDA":
            number, _, _, taken = rest.split(",")
            branches += 1
            if taken in ("-", "0"):
                missed_branches.setdefault(file, []).append(int(number))
    if not lines or not branches:
        raise SystemExit(f"{LCOV} names no line of src")
    return lines, missed_lines, branches, missed_branches


def span(blind: Blind) -> set[int]:
    """The line numbers of a block. Raises SystemExit unless first, last and point occur exactly once."""
    text = (ROOT / blind.file).read_text()
    for part in (blind.first, blind.last, blind.point):
        if len(re.findall(re.escape(part) + r"(?!\w)", text)) != 1:
            raise SystemExit(f"tools/coverage.py: not exactly once in {blind.file}: {part}")
    numbers = [1 + text[: text.index(part)].count("\n") for part in (blind.first, blind.last)]
    return set(range(numbers[0], numbers[1] + 1))


def is_noticed(blind: Blind) -> bool:
    """Whether the test fails with the fault. Raises SystemExit if the fault does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "contracts"
        copy.mkdir()
        for name in ("src", "test", "tools"):
            shutil.copytree(ROOT / name, copy / name)
        shutil.copy(ROOT / "foundry.toml", copy)
        (copy / "node_modules").symlink_to(ROOT / "node_modules")
        file = copy / blind.file
        file.write_text(file.read_text().replace(blind.point, blind.fault))
        done = forge("test", "--match-path", blind.test, root=copy)
        if "Compiler run failed" in done.stdout + done.stderr:
            raise SystemExit(done.stdout + done.stderr)
        return done.returncode != 0 and "[FAIL" in done.stdout


if __name__ == "__main__":
    sys.exit(main())
