"""`make attacks`: which tests show which attack, read from their docstrings (`Covers: A16, A45`), and what is missing.

Python tests name ids in the docstring of a test or of its module, Solidity tests in the comment above a function.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
IDS = [f"A{number:02d}" for number in range(1, 67)]
_COVERS = re.compile(r"Covers:\s*((?:A\d\d)(?:\s*,\s*A\d\d)*)")
_SOLIDITY = re.compile(r"((?:[ \t]*///[^\n]*\n)+)\s*function\s+(test\w*|invariant\w*)")


def covered() -> dict[str, list[str]]:
    """Attack id -> the tests that name it, as `file::test`."""
    found: dict[str, list[str]] = {name: [] for name in IDS}
    for test, text in [*_python_tests(), *_solidity_tests()]:
        for group in _COVERS.findall(text):
            for name in re.split(r"\s*,\s*", group):
                if name not in found:
                    raise SystemExit(f"{test} names {name}; ids go from {IDS[0]} to {IDS[-1]}")
                found[name].append(test)
    return found


def _python_tests() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                yield f"{path.relative_to(ROOT)}::{node.name}", ast.get_docstring(node) or ""


def _solidity_tests() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "contracts" / "test").rglob("*.t.sol")):
        for comment, name in _SOLIDITY.findall(path.read_text()):
            yield f"{path.relative_to(ROOT)}::{name}", comment


def main() -> None:
    """Prints the table and, last, the ids without a test."""
    found = covered()
    for name, tests in found.items():
        for position, test in enumerate(tests):
            sys.stdout.write(f"{name if position == 0 else '   '}  {test}\n")
    sys.stdout.write(f"missing: {' '.join(name for name, tests in found.items() if not tests)}\n")


if __name__ == "__main__":
    main()
