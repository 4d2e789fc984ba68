"""Removes each defence of ATTACKS in the contracts once: the tests that show it must fail."""

import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from contracts.tools.mutation import compiler, sources
from contracts.tools.mutation.campaign import ready
from contracts.tools.mutation.mutant_tests import FOLDER, QUICK, MutantTests, only
from contracts.tools.mutation.operators import Mutant

LIST = Path(__file__).with_name("defences.toml")


class DefencesError(Exception):
    """The list does not fit the sources: a text to remove does not occur exactly once."""


@dataclass(frozen=True)
class Defence:
    """A defence: the text `before` in `file`. With `after` in its place every test in `red` fails."""

    id: str
    what: str
    file: str
    before: str
    after: str
    red: tuple[str, ...]

    def removed(self) -> Mutant:
        """The mutant without the defence. Raises DefencesError."""
        text = sources.text_of(self.file)
        if text.count(self.before) != 1:
            raise DefencesError(f"{self.id} {self.what}: found {text.count(self.before)} times in {self.file}")
        start = len(text[: text.index(self.before)].encode())
        end = start + len(self.before.encode())
        line = text[: text.index(self.before)].count("\n") + 1
        return Mutant(self.file, line, self.id, "defence removed", start, end, self.before, self.after)


def defences() -> list[Defence]:
    """The checked-in list."""
    entries = tomllib.loads(LIST.read_text())["defence"]
    return [Defence(**(entry | {"red": tuple(entry["red"])})) for entry in entries]


@cache
def solidity_tests() -> dict[str, str]:
    """Every Solidity test, `Contract.test`, and the comments above it and above its contract. Proofs are no tests."""
    tests = sources.ROOT / "test"
    found: dict[str, str] = {}
    for path in sorted(set(tests.rglob("*.t.sol")) - set((tests / "symbolic").rglob("*"))):
        text = path.read_text()
        contract, said = re.findall(r"((?:^///[^\n]*\n)*)^contract (\w+Test) ", text, re.MULTILINE)[-1][::-1]
        for comment, test in re.findall(r"((?:^ +///[^\n]*\n)*)^ +function ((?:test|invariant)\w*)\(", text, re.M):
            found[f"{contract}.{test}"] = said + comment
    return found


def run() -> dict[str, Any]:
    """Removes each defence and returns the raw result, figures first."""
    tests = MutantTests()
    baseline = ready(tests)
    listed = defences()
    codes = compiler.compile_mutants([defence.removed() for defence in listed], FOLDER / "codes", lambda done: None)
    rows = []
    with tests.holding(baseline):
        for defence in listed:
            mine = codes[defence.removed()]
            if mine is None:
                raise DefencesError(f"{defence.id} {defence.what}: {defence.file} does not compile without it")
            if mine.control is not None:
                tests.require_green(mine.control, QUICK)
            with tests.holding(mine.codes):
                failed = tests.test(only(defence.red)).failed
            green = sorted(set(defence.red) - set(failed))
            sys.stderr.write(f"{defence.id} {defence.what}: red {len(failed)}{f'; GREEN {green}' if green else ''}\n")
            rows.append({
                "id": defence.id, "what": defence.what, "file": defence.file, "line": defence.removed().line,
                "expected_red": list(defence.red), "stayed_green": green, "red": failed,
            })  # fmt: skip
    return {
        "command": "python -m contracts.tools.mutation defences",
        "defences": len(rows),
        "defences_red": sum(not row["stayed_green"] for row in rows),
        "attacks": sorted({row["id"] for row in rows}),
        "rows": rows,
    }
