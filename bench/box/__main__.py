"""`make bench-box`: what a stranger's machine sees, from a fresh clone of the commit at hand.

`python -m bench.box PART ...` measures parts again (setup, demo, plain, busy, commands, check, test, crowded, speed)
and keeps the others from bench/results/raw/box.json; each carries the commit and the CPU that it was measured on.
`gather` measures nothing. About an hour and a half for all.
"""

import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import report
from bench.box.processes import Stranger, busy_loops
from bench.box.speed import HELD_TO_AVX2, compared
from node_agent.devices.probe import cpu_facts
from node_agent.execution.exact import kernels

RAW = report.RESULTS / "raw" / "box.json"
COMMANDS = (
    ("--version",), ("jobs", "submit", "--help"), ("wallet", "deposit", "--help"), ("node", "status", "--help"),
    ("audit", "--help"), ("verify", "--help"), ("models", "pull", "--help"), ("up", "--help"),
)  # fmt: skip
NOBODY_THERE = (
    "audit", "--rpc", "http://127.0.0.1:1", "--escrow", "0x" + "11" * 20, "--log", "http://127.0.0.1:1",
)  # fmt: skip
"""Loads all that reads a chain, and ends at the first question."""
SOURCES = ("Makefile", "setup.py", "pyproject.toml", "constraints.txt", "node_agent/execution/exact", "deploy/localnet")
WHEELS = ("PIP_FIND_LINKS",)
"""The tests may be given a folder of wheels: torch's."""


def setup(stranger: Stranger) -> dict[str, Any]:
    """From a clone to a demo that can start."""
    return {"setup_s": stranger.seconds("make", "models"), "install_mb": stranger.megabytes()}


def demo(stranger: Stranger) -> dict[str, Any]:
    """The demo, set up."""
    return {"demo_s": stranger.seconds("make", "demo")}


def plain(stranger: Stranger) -> dict[str, Any]:
    """The demo on another kind of CPU: its kernels held to AVX2."""
    return {"demo_s_avx2": stranger.seconds("env", "ASSAY_KERNELS=avx2", "make", "demo")}


def busy(stranger: Stranger) -> dict[str, Any]:
    """The demo beside a busy loop."""
    with busy_loops(1):
        return {"demo_s_beside_a_busy_loop": stranger.seconds("make", "demo")}


def commands(stranger: Stranger) -> dict[str, Any]:
    """How long commands take to say what they do, five times each."""
    assay = str(stranger.clone / ".venv" / "bin" / "assay")
    times = {" ".join(words): [stranger.seconds(assay, *words) for _ in range(5)] for words in COMMANDS}
    every = [each for found in times.values() for each in found]
    worst = max(statistics.median(found) for found in times.values())
    chain = statistics.median(stranger.seconds(assay, *NOBODY_THERE, ends_with=1) for _ in range(5))
    return {
        "cli_start_ms_p50": 1000 * statistics.median(every), "cli_start_ms_worst": 1000 * worst,
        "cli_start_ms_with_chain": 1000 * chain, "commands": times,
    }  # fmt: skip


def check(stranger: Stranger) -> dict[str, Any]:
    """`make check`, set up."""
    stranger.seconds("make", ".venv/dev", "contracts/node_modules/.installed", given=WHEELS)
    return {"check_s": stranger.seconds("make", "check", given=WHEELS)}


def test(stranger: Stranger) -> dict[str, Any]:
    """`make test`, set up."""
    stranger.seconds("make", ".venv/dev", "contracts/node_modules/.installed", given=WHEELS)
    return {"test_s": stranger.seconds("make", "test", given=WHEELS)}


def crowded(stranger: Stranger) -> dict[str, Any]:
    """`make test` beside two busy loops: green, however long it takes."""
    stranger.seconds("make", ".venv/dev", "contracts/node_modules/.installed", given=WHEELS)
    with busy_loops(2):
        return {"test_s_beside_two_busy_loops": stranger.seconds("make", "test", given=WHEELS)}


def speed(stranger: Stranger) -> dict[str, Any]:
    """The engine by kernels and by torch, on this CPU and held to AVX2."""
    return {"here": compared({}), "held to AVX2": compared(HELD_TO_AVX2)}


PARTS: dict[str, Callable[[Stranger], dict[str, Any]]] = {
    part.__name__: part for part in (setup, demo, plain, busy, commands, check, test, crowded, speed)
}


def main(names: list[str]) -> None:
    """Measures parts and writes bench/results/box.json."""
    raw: dict[str, Any] = json.loads(RAW.read_bytes()) if RAW.exists() else {}
    cpu = str(cpu_facts()["model name"])
    measured = {"commit": report.commit(), "cpu": cpu, "sources_sha256": digest()}  # what is cloned now
    with tempfile.TemporaryDirectory(prefix="assay-box-") as folder:
        stranger = Stranger(report.ROOT, Path(folder))
        if {*names} - {"speed"} and "setup" not in names:
            stranger.seconds("make", "models")
        for name in names:
            raw[name] = measured | {"day": time.strftime("%Y-%m-%d")} | PARTS[name](stranger)
            RAW.write_text(json.dumps(raw, indent=1, sort_keys=True) + "\n")
    measured_on = {name: f"{part['commit']}, {part['cpu']}" for name, part in sorted(raw.items())}
    path = report.write(
        "box", "python -m bench.box", figures(raw), cpu=cpu_facts() | {"flags": " ".join(sorted(kernels.cpu_flags()))},
        sources_sha256=measured["sources_sha256"], measured_on=measured_on,
    )  # fmt: skip
    for name, figure in figures(raw).items():
        print(f"{name:36} {'-' if figure.value is None else f'{figure.value:10.1f}'} {figure.unit}")
    print(path)


def figures(raw: dict[str, Any]) -> dict[str, report.Figure]:
    """What the file says; None for what was not measured."""

    def of(part: str, name: str) -> float | None:
        found = raw.get(part, {}).get(name)
        return None if found is None else float(found)

    found = {
        "install_mb": report.Figure(of("setup", "install_mb"), "MB on disk after set-up, models included", must=500),
        "setup_s": report.Figure(of("setup", "setup_s"), "s", must=180),
        "demo_s": report.Figure(of("demo", "demo_s"), "s after set-up", must=300),
        "demo_s_avx2": report.Figure(of("plain", "demo_s_avx2"), "s, kernels held to AVX2", must=300),
        "demo_s_beside_a_busy_loop": report.Figure(of("busy", "demo_s_beside_a_busy_loop"), "s", must=300),
        "cli_start_ms_p50": report.Figure(of("commands", "cli_start_ms_p50"), "ms", must=1000),
        "cli_start_ms_worst": report.Figure(of("commands", "cli_start_ms_worst"), "ms", must=1000),
        "cli_start_ms_with_chain": report.Figure(
            of("commands", "cli_start_ms_with_chain"), "ms until a command that reads a chain asks it", must=1000
        ),
        "check_s": report.Figure(of("check", "check_s"), "s", must=90),
        "test_s": report.Figure(of("test", "test_s"), "s", must=1500),
        "test_s_beside_two_busy_loops": report.Figure(of("crowded", "test_s_beside_two_busy_loops"), "s, green"),
    }
    for place, ending in (("here", ""), ("held to AVX2", "_avx2")):
        rates = raw.get("speed", {}).get(place, {})
        for what, middle in (("write_per_s", ""), ("read_per_s", "_reading")):
            unit = f"tokens/s {'read' if middle else 'written'}, one thread, {place}"
            for kind, name in (("kernels", "chosen"), ("torch", "torch_best")):
                value = rates.get(f"{kind} {what}")
                found[f"tokens_per_s_{name}{middle}{ending}"] = report.Figure(value, unit)
            ratio = rates.get(f"ratio {what}")
            must = 3.0 if ending else None
            found[f"ratio_to_torch_best{middle}{ending}"] = report.Figure(ratio, "x, pair by pair", must=must)
    return found


def digest() -> str:
    """Hex sha256 of the sources that decide these figures."""
    found = hashlib.sha256()
    for name in SOURCES:
        path = report.ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in ("", ".py", ".c", ".h", ".toml", ".txt") and file.is_file():
                found.update(str(file.relative_to(report.ROOT)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main([] if sys.argv[1:] == ["gather"] else sys.argv[1:] or list(PARTS))
