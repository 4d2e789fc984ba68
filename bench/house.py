"""`make bench-house`: the house by counting, now and at the commit before the public record had a room of its own.

Product is what runs for a party of the network. The model of the contracts, tools, vectors, tests, benchmarks, and the
demo's and `assay up`'s own code are counted apart. All lines count, blank ones and comments too.
"""

import ast
import hashlib
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath

from bench import report

BEFORE = "c389c2e"
SUFFIXES = (".py", ".sol", ".js", ".html", ".css", ".c", ".h")
ROOMS = ("backend", "contracts", "deploy", "node_agent", "verifier")
APART = {
    "model and tools": ("contracts/model", "contracts/tools", "contracts/vectors"),
    "tests": ("tests", "contracts/test"),
    "benchmarks": ("bench",),
    "demo and up": ("deploy/localnet",),
}
FOREIGN = ("backend/web/shared/vendor", "contracts/artifacts")
LONGEST = 450
_DEFINED = "contracts/protocol/log.py"

Files = Mapping[str, str]
"""Path -> text."""


def files_of(commit: str) -> Files:
    """The committed source files of a commit."""
    names = _git("ls-tree", "-r", "--name-only", commit).split("\n")
    return {name: _git("show", f"{commit}:{name}") for name in names if _counts(name)}


def files_here() -> Files:
    """The source files at hand that git knows."""
    names = _git("ls-files").split("\n")
    return {name: (report.ROOT / name).read_text() for name in names if _counts(name) and (report.ROOT / name).exists()}


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=report.ROOT, capture_output=True, text=True, check=True).stdout


def _counts(name: str) -> bool:
    return name.endswith(SUFFIXES) and not _under(name, FOREIGN)


def _under(name: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(name).is_relative_to(folder) for folder in folders)


def label_of(name: str) -> str:
    """Where a file's lines count."""
    apart = next((label for label, folders in APART.items() if _under(name, folders)), None)
    return apart or ("product" if _under(name, ROOMS) else "other")


def lines(files: Files) -> Counter[str]:
    """Lines by label."""
    found: Counter[str] = Counter()
    for name, text in files.items():
        found[label_of(name)] += text.count("\n")
    return found


def _product(files: Files) -> Iterator[tuple[str, ast.Module]]:
    for name, text in files.items():
        if name.endswith(".py") and label_of(name) in ("product", "demo and up"):
            yield name, parsed(text)


@cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a source."""
    return ast.parse(text)


def duplicated_classes(files: Files) -> dict[str, list[str]]:
    """Names of classes that stand for more than one thing in what runs, with their files."""
    found: dict[str, list[str]] = {}
    for name, tree in _product(files):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name)
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


def log_readers(files: Files) -> list[str]:
    """Modules that turn lines of the published log into records themselves."""
    return [
        name for name, tree in _product(files) if name != "contracts/protocol/log.py" and _calls(tree, "parse_line")
    ]


def _calls(tree: ast.Module, function: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == function for node in ast.walk(tree))


def longest_file(files: Files) -> tuple[str, int]:
    """The longest file of what runs, and its lines."""
    sizes = {name: text.count("\n") for name, text in files.items() if label_of(name) in ("product", "demo and up")}
    name = max(sizes, key=sizes.__getitem__)
    return name, sizes[name]


def digest(files: Files) -> str:
    """Hex sha256 of everything that is counted."""
    found = hashlib.sha256()
    for name, text in sorted(files.items()):
        found.update(name.encode() + b"\0" + text.encode() + b"\0")
    return found.hexdigest()


def figures(before: Files, now: Files) -> dict[str, report.Figure]:
    """What the file says."""
    then, here = lines(before), lines(now)
    found = {"lines_of_product": report.Figure(here["product"], "lines", goal=then["product"])}
    runs, ran = (counted["product"] + counted["demo and up"] for counted in (here, then))
    counts: dict[str, tuple[Callable[[Files], float], float]] = {
        "duplicated_class_names": (lambda files: len(duplicated_classes(files)), 0),
        "log_readers": (lambda files: len(log_readers(files)), 1),
        "longest_file": (lambda files: longest_file(files)[1], LONGEST),
    }
    found["lines_of_product_before"] = report.Figure(then["product"], f"lines, at {BEFORE}")
    found["lines_that_run"] = report.Figure(runs, "lines of product, demo and `assay up`", goal=ran)
    found["lines_that_run_before"] = report.Figure(ran, f"lines, at {BEFORE}")
    for name, (count, must) in counts.items():
        found[name] = report.Figure(count(now), "lines" if name == "longest_file" else "", must=must)
        found[f"{name}_before"] = report.Figure(count(before), f"at {BEFORE}")
    for label in APART:
        found["lines_of_" + label.replace(" ", "_")] = report.Figure(here[label], "lines")
    return found


def main() -> None:
    """Counts, writes bench/results/house.json and says what stands in the way of its goals."""
    before, now = files_of(BEFORE), files_here()
    found = figures(before, now)
    for name, figure in found.items():
        print(f"{name:32} {figure.value:8g} {figure.unit}")
    for name, places in duplicated_classes(now).items():
        print(f"two things are called {name}: {', '.join(places)}")
    print(f"read the log: {', '.join(log_readers(now))}; the longest file is {longest_file(now)[0]}")
    print(report.write("house", "python -m bench.house", found, sources_sha256=digest(now)))


if __name__ == "__main__":
    main()
