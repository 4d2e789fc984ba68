"""A campaign over mutants, its results, and the explanations of survivors."""

import json
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.tools.mutation import compiler, operators, sources
from contracts.tools.mutation.mutant_tests import FOLDER, FULL, QUICK, MutantTests, Outcome, whole
from contracts.tools.mutation.operators import Mutant

SURVIVORS = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Explanation:
    """Why a surviving mutant does no harm. Identifies it by its text, so that lines may move."""

    file: str
    function: str
    operator: str
    before: str
    after: str
    why: str

    def explains(self, mutant: Mutant) -> bool:
        mine = (self.file, self.function, self.operator, self.before, self.after)
        return mine == (mutant.file, mutant.function, mutant.operator, mutant.before, mutant.after)


def explanations() -> list[Explanation]:
    return [Explanation(**entry) for entry in tomllib.loads(SURVIVORS.read_text()).get("survivor", ())]


def all_mutants() -> list[Mutant]:
    """All mutants of all files."""
    files = [file for file in sources.mutated_files() if sources.hosts_of(file)]
    found = compiler.trees(files)
    return [mutant for file in files for mutant in operators.find(file, sources.text_of(file), found[file])]


def ready(tests: MutantTests) -> compiler.Codes:
    """Builds, and runs all tests on the unchanged code compiled as mutants are. Raises BaselineError."""
    tests.build()
    baseline = compiler.compile_baseline()
    tests.require_green(baseline, FULL)
    return baseline


def run(wanted: int, seed: int) -> dict[str, Any]:
    """Tests a sample of the mutants and returns the raw result, figures first."""
    started = time.monotonic()
    tests = MutantTests()
    baseline = ready(tests)
    everything = all_mutants()
    chosen = operators.sample(everything, wanted, seed)
    codes = compiler.compile_mutants(chosen, FOLDER / "codes", lambda done: _say(f"compiled {done} of {len(chosen)}"))
    tested: list[tuple[Mutant, Outcome]] = []
    with tests.holding(baseline):
        for mutant in chosen:
            mine = codes[mutant]
            if mine is None:
                continue
            tested.append((mutant, _meet(tests, mutant, mine)))
            verdict = "killed" if tested[-1][1].killed else "SURVIVED"
            _say(f"{len(tested)} {verdict} {mutant.file}:{mutant.line} {mutant.operator}: {mutant.after}")
    command = f"python -m contracts.tools.mutation mutants --count {wanted} --seed {seed}"
    return {"command": command} | report(everything, chosen, tested) | {"seconds": round(time.monotonic() - started)}


def _meet(tests: MutantTests, mutant: Mutant, compiled: compiler.Compiled) -> Outcome:
    """Runs the quick suite and, on survivors, the full one. Known outcomes of the same code are reused, so that an
    interrupted campaign resumes."""
    known = FOLDER / "outcomes" / compiler.key(mutant, sources.product_fingerprint())
    recorded = json.loads(known.read_text()) if known.exists() else {}
    before = recall(recorded)
    if before is not None:
        return before
    if compiled.control is not None:
        tests.require_green(compiled.control, QUICK)
    new = added(recorded)
    with tests.holding(compiled.codes):
        outcome = tests.test(QUICK if new is None else whole(new))
        outcome = outcome if outcome.killed or new is not None else tests.test(FULL)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(record(outcome)))
    return outcome


def record(outcome: Outcome) -> dict[str, Any]:
    """An outcome with the fingerprints of its tests."""
    tests = sources.test_fingerprints()
    return asdict(outcome) | {"tests": tests, "failed": {test: tests[_contract(test)] for test in outcome.failed}}


def recall(recorded: dict[str, Any]) -> Outcome | None:
    """What of a recorded outcome still holds. A failure holds while the test's file and its imports are unchanged; a
    timeout until a test changes; survival only while there is no new or changed test."""
    tests = sources.test_fingerprints()
    same = [test for test, file in recorded.get("failed", {}).items() if file == tests.get(_contract(test))]
    if same:
        return Outcome(same)
    new = added(recorded)
    if new is None or (new and not recorded["timed_out"]):
        return None
    return Outcome(timed_out=recorded["timed_out"])


def added(recorded: dict[str, Any]) -> list[str] | None:
    """The new test contracts that a survivor has to run; None for all, since one that it ran has changed."""
    tests, met = sources.test_fingerprints(), recorded.get("tests")
    if recorded.get("failed") or met is None or not met.items() <= tests.items():
        return None
    return sorted(tests.keys() - met.keys())


def _contract(test: str) -> str:
    return test.split(".")[0]


def report(
    everything: Sequence[Mutant], chosen: Sequence[Mutant], tested: Sequence[tuple[Mutant, Outcome]]
) -> dict[str, Any]:
    """The figures and all mutants."""
    known = explanations()
    rows = [_row(mutant, outcome, known) for mutant, outcome in tested]
    killed = sum(outcome.killed for _, outcome in tested)
    return {
        "mutants": len(tested),
        "mutants_killed": killed,
        "mutants_killed_pct": round(100 * killed / len(tested), 2),
        "killed_by_timeout": sum(outcome.timed_out for _, outcome in tested),
        "survivors_unexplained": sum(row["status"] == "survived" and row["why"] is None for row in rows),
        "did_not_compile": len(chosen) - len(tested),
        "possible": len(everything),
        "functions": len({(mutant.file, mutant.function) for mutant in chosen}),
        "rows": rows,
    }


def _row(mutant: Mutant, outcome: Outcome, known: Sequence[Explanation]) -> dict[str, Any]:
    why = next((entry.why for entry in known if entry.explains(mutant)), None)
    row = {name: value for name, value in asdict(mutant).items() if name not in ("start", "end")}
    status = "timed out" if outcome.timed_out else "killed" if outcome.failed else "survived"
    return row | {"status": status, "killed_by": outcome.failed[:1], "why": None if outcome.killed else why}


def _say(text: str) -> None:
    sys.stderr.write(f"{text.splitlines()[0]}\n")
    sys.stderr.flush()
