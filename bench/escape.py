"""`make bench-escape`: what denies each attempt to leave the confined process, for root and for nobody, and its cost.

The probes are those of tests/escape. Run as root, so that both users can be tried; the model has to be in the store.
Fuzzing is told by bench/results/raw/escape-fuzz.json, {"frames_fuzzed": n, "headers_fuzzed": n}, if it exists.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from contracts.protocol.manifest import MAX_NEW_TOKENS
from contracts.protocol.packed import pack
from deploy.localnet import workload
from node_agent.execution.sandbox import Executor, client, confinement, process
from node_agent.execution.sandbox.launch import environment, launch
from node_agent.execution.sandbox.needs import Needs
from node_agent.models import ModelStore
from tests.escape.cage import NOBODY, is_denied, other_user
from tests.escape.probes import PROBES, Probe
from tests.escape.rules import Cages, Shown, look, taken_out

FUZZED = report.RESULTS / "raw" / "escape-fuzz.json"
SOURCES = ("node_agent/execution/sandbox", "tests/escape")
STARTS, ANSWERS, NEW_TOKENS = 40, 80, 8
WAYS, PROGRAM = ("confined", "plain"), client._PROGRAM

UNCONFINED = """
from node_agent.execution.sandbox import executor
from node_agent.execution.sandbox.confinement import Layers
executor.confine = lambda needs: Layers(0, "not confined")
executor.main()
"""


def main() -> None:
    """Measures, and writes bench/results/escape.json."""
    if os.getuid() != 0 or (why := other_user()):
        raise SystemExit("Run this as root." if os.getuid() != 0 else f"Nobody's cage cannot be tried: {why}.")
    cages = [look(0), look(NOBODY)]
    shown = [taken_out(one) for one in cages]
    found = figures(cages, [each for some in shown for each in some]) | costs()
    for name, figure in found.items():
        print(f"{name:28} {'-' if figure.value is None else f'{figure.value:10.1f}'} {figure.unit}")
    print(
        report.write(
            "escape", "python -m bench.escape", found, kernel=os.uname().release, landlock=confinement.landlock_abi(),
            sources_sha256=digest(), probes={probe.name: row(probe, cages) for probe in PROBES},
            rules=rules(shown),
        )
    )  # fmt: skip


def figures(cages: Sequence[Cages], shown: Iterable[Shown]) -> dict[str, report.Figure]:
    """How many probes are denied in both layers of those that succeed outside, and how many rules are needed."""
    denied = [sum(is_denied(said) for _, said in one.of(one.both)) for one in cages]
    floor = [sum(is_denied(said) for _, said in one.of(one.floor)) for one in cages]
    opened = [len(one.opened) for one in cages]
    out = {each.rule for each in shown}
    red = {each.rule for each in shown if each.red}
    fuzzed: dict[str, float] = json.loads(FUZZED.read_bytes()) if FUZZED.exists() else {}
    found = {
        "probes": report.Figure(len(PROBES), "probes", must=60),
        "probes_denied_root": report.Figure(denied[0], "of those that succeed outside as root", must=opened[0]),
        "probes_denied_user": report.Figure(denied[1], "of those that succeed outside as nobody", must=opened[1]),
        "probes_denied_root_floor": report.Figure(floor[0], "by the floor alone, as root"),
        "probes_denied_user_floor": report.Figure(floor[1], "by the floor alone, as nobody"),
        "rules_removed": report.Figure(len(out), "rules, each taken out in turn"),
        "rules_removed_red": report.Figure(len(red), "rules whose probes then succeed", must=len(out)),
    }
    units = {"frames_fuzzed": "frames", "headers_fuzzed": "headers of files"}
    return found | {name: report.Figure(fuzzed.get(name), unit) for name, unit in units.items()}


def row(probe: Probe, cages: Sequence[Cages]) -> dict[str, Any]:
    """One probe: its rules, and what became of it."""
    number, users = PROBES.index(probe), ("root", "nobody")
    said = {
        user: {"outside": one.outside, "floor": one.floor, "both": one.both}
        for user, one in zip(users, cages, strict=True)
    }
    outcomes = {user: {name: found.outcomes[number] for name, found in of.items()} for user, of in said.items()}
    return {"rules": sorted(probe.denied_by), **outcomes}


def rules(shown: Sequence[Sequence[Shown]]) -> dict[str, dict[str, list[str]]]:
    """By rule and user, the probes that it denies alone and that succeed without it."""
    every = sorted({each.rule for some in shown for each in some})
    return {
        rule: {
            user: [each.probe for each in some if each.rule == rule and each.red]
            for user, some in zip(("root", "nobody"), shown, strict=True)
        }
        for rule in every
    }


def costs() -> dict[str, report.Figure]:
    """A start and an answer, confined and not, one after the other in turn, on one thread."""
    os.environ["ASSAY_THREADS"] = "1"
    starts = _pairs(STARTS, dict.fromkeys(WAYS, _started))
    loaded = {way: _loaded(way) for way in WAYS}
    answers = _pairs(ANSWERS, {way: partial(_answered, answer) for way, (_, answer) in loaded.items()})
    for executor, _ in loaded.values():
        executor.close()
    start_ms = statistics.median(1000 * (confined - plain) for confined, plain in starts)
    answer_pct = statistics.median(100 * (confined / plain - 1) for confined, plain in answers)
    model = f"of an answer of SmolLM2-135M, {NEW_TOKENS} tokens"
    return {
        "start_overhead_ms": report.Figure(start_ms, f"ms of a start, median of {STARTS} pairs", must=100),
        "answer_overhead_pct": report.Figure(answer_pct, f"% {model}, median of {ANSWERS} pairs", must=10),
    }


def _pairs(number: int, timed: Mapping[str, Callable[[str], float]]) -> list[tuple[float, float]]:
    """Seconds (confined, plain); each goes first in every second pair."""
    found = []
    for each in range(number):
        seconds = {way: timed[way](way) for way in (WAYS if each % 2 else WAYS[::-1])}
        found.append((seconds["confined"], seconds["plain"]))
    return found


def _executor(way: str) -> Executor:
    """One whose processes are the product's, or the same that give nothing up."""
    process.launch = launch if way == "confined" else _plain
    client._PROGRAM = PROGRAM if way == "confined" else [sys.executable, "-P", "-c", UNCONFINED]
    return Executor(ModelStore().root)


def _started(way: str) -> float:
    executor = _executor(way)
    start = time.perf_counter()
    executor.start()
    seconds = time.perf_counter() - start
    executor.close()
    return seconds


def _loaded(way: str) -> tuple[Executor, Callable[[], object]]:
    store, executor = ModelStore(), _executor(way)
    manifest = workload.generation(store).manifest
    params = {name: one.minimum if one.default is None else one.default for name, one in manifest.params.items()}
    engine = executor.load(store.load(manifest.weights_sha256), manifest, "cpu")
    prompt = pack([list(range(1000, 1064))])
    return executor, lambda: engine.execute(prompt, params | {MAX_NEW_TOKENS: NEW_TOKENS})


def _answered(answer: Callable[[], object], way: str) -> float:
    del way
    start = time.perf_counter()
    answer()
    return time.perf_counter() - start


def _plain(program: Sequence[str], needs: Needs) -> "subprocess.Popen[bytes]":
    del needs
    pipe = subprocess.PIPE
    return subprocess.Popen(
        program, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment(), cwd="/", start_new_session=True
    )


def digest() -> str:
    """Hex sha256 of the sources that decide these figures."""
    found = hashlib.sha256()
    for name in SOURCES:
        for file in sorted(Path(report.ROOT, name).rglob("*.py")):
            found.update(str(file.relative_to(report.ROOT)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
