"""Measures this machine's speed before anything is promised: a few seconds of the real engines in a confined process.

It trusts an engine's own measurement; for other engines it times one prompt with one new token and with a few more.
It runs as a separate program, with a node's environment, so that it measures what a node does and can be ended early.
"""

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from contracts.protocol.errors import AssayError
from contracts.protocol.manifest import MAX_NEW_TOKENS, Manifest
from contracts.protocol.packed import pack
from contracts.protocol.tokens import TextTokenizer
from deploy.localnet import workload
from deploy.localnet.planning import Machine, MachineSpeeds, MachineTooSlow
from deploy.localnet.processes import environment
from node_agent.execution.engine import Engine, Speed
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor
from node_agent.execution.sandbox.speeds import Speeds as Kept
from node_agent.models import ModelStore

MEASURED_WITHIN_S, PATIENT_S = 24.0, 120.0
"""Longer is reported as too slow. A demo ends soon or says so within 30 s of the start, Python's start included; a
network that stays may wait for a machine that is busy at the moment."""

_PROGRAM = [sys.executable, "-m", "deploy.localnet.measuring"]
MORE_TOKENS = 6
_END_S = 10.0
_WARM_S = 1.0
"""A shorter first run is repeated: much of it was warming up."""
_TEXT = "Why is the sky blue?"


class NotMeasured(AssayError):
    """Thrown when an engine ends before it did anything."""


def measure(models: Path, threads: int | None, within_s: float = MEASURED_WITHIN_S) -> MachineSpeeds:
    """A job's speed by kind, alone on this machine. `threads`: of an engine; None: as many as cores.

    Raises:
        TooSlow: no result in time; carries the rate that this machine is below.
        NotMeasured: the engines do not run.
    """
    found: dict[str, Speed] = {}
    code, until = None, time.monotonic() + within_s
    with subprocess.Popen([*_PROGRAM, str(models)], stdout=subprocess.PIPE, env=environment(None, threads)) as process:
        try:
            for line in _lines(process, until):
                said = json.loads(line)
                kind = said.pop("kind")
                found[kind] = Speed(**said)
            if time.monotonic() < until:  # it ended by itself
                code = process.wait(_END_S)
        finally:
            process.kill()
    missing = [kind for kind in workload.MODELS if kind not in found]
    if not missing:
        return MachineSpeeds(found[workload.GENERATION], found[workload.EMBEDDING])
    if code is not None:
        raise NotMeasured(
            f"The engine of {', '.join(missing)} does not run here (exit status {code}, its words are above)",
            way_out="`assay node doctor` names what is missing.",
        )
    raise MachineTooSlow(
        f"After {within_s:.0f} s this machine had not answered one prompt of {', '.join(missing)} with "
        f"{1 + MORE_TOKENS} words: it does less than {(2 + MORE_TOKENS) / within_s:.1f} tokens/s. Free its cores, "
        "or run this on a faster machine."
    )


def busy_cores() -> tuple[float, float]:
    """Processor seconds used so far: by all programs on this program's cores, and by its ended children. The first is 0
    if the system does not report it for those cores."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = Path("/proc/stat")
    if not stat.exists() or usable_cores() != os.cpu_count():
        return 0.0, own.ru_utime + own.ru_stime
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().splitlines()[0].split()[1:])
    used = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return used, own.ru_utime + own.ru_stime


def usable_cores() -> int:
    """How many cores this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def look(
    models: Path,
    threads: int | None,
    within_s: float = MEASURED_WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[MachineSpeeds, Machine]:
    """Measures, and counts meanwhile the cores that others keep busy. Raises as `measure` does."""
    start, (used, own) = clock(), busy_cores()
    speeds = measure(models, threads, within_s)
    took_s, (used_after, own_after) = clock() - start, busy_cores()
    others = max(0.0, (used_after - used) - (own_after - own)) / max(took_s, 1e-6)
    return speeds, Machine(usable_cores(), min(others, float(usable_cores())))


def _lines(process: "subprocess.Popen[bytes]", until: float) -> Iterator[bytes]:
    """Complete lines as they arrive, until the program ends or the time is over."""
    assert process.stdout is not None
    rest, number = b"", process.stdout.fileno()
    while (left := until - time.monotonic()) > 0 and select.select([number], [], [], left)[0]:
        piece = os.read(number, 1 << 12)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def timed(engine: Engine, manifest: Manifest, prompt: list[int], clock: Callable[[], float]) -> Speed:
    """An engine's own measurement, or the times of a prompt with one new token and with a few more."""
    if engine.speed is not None:
        return engine.speed
    params = {name: one.minimum if one.default is None else one.default for name, one in manifest.params.items()}
    generates = MAX_NEW_TOKENS in manifest.params

    def run(new_tokens: int) -> tuple[float, int]:
        start = clock()
        units = engine.execute(pack([prompt]), params | ({MAX_NEW_TOKENS: new_tokens} if generates else {})).units
        return clock() - start, units

    short_s, _ = run(1)
    if short_s < _WARM_S:
        short_s, _ = run(1)
    read_per_s = len(prompt) / max(short_s, 1e-6)
    if not generates:
        return Speed("timed by one text", read_per_s, read_per_s)
    long_s, units = run(1 + MORE_TOKENS)
    return Speed("timed by one prompt", read_per_s, max(1, units - 1) / max(long_s - short_s, 1e-6))


def _prompt(files: ModelFiles, manifest: Manifest) -> list[int]:
    tokenizer = TextTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)
    return manifest.prompt(tokenizer.encode(_TEXT))


def main(models: Path) -> None:
    """Prints a line of JSON for each kind of work as soon as it is measured."""
    store = ModelStore(models)
    executor = Executor(store.root)
    Kept(store.root).forget()  # what was measured in another hour's company says nothing of this one
    for offered in (workload.embedding(store), workload.generation(store)):
        manifest = offered.manifest
        files = store.load(manifest.weights_sha256)
        engine = executor.load(files, manifest, "cpu")
        speed = timed(engine, manifest, _prompt(files, manifest), time.monotonic)
        sys.stdout.write(json.dumps({"kind": manifest.kind, **asdict(speed)}) + "\n")
        sys.stdout.flush()
    executor.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
