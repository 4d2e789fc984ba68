"""The program that takes the place of the one that runs jobs: it tries probes, each in a process that it forks.

It says why it has no namespaces of its own, then reads lines of JSON, {"probe", "confined", "without": [rule, ...],
"thread", "abi", "scene": {...}}, and answers each with what became of it: "open", an error, or a signal that ended it.
"""

import gc
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from node_agent.execution.sandbox import confinement, syscalls
from node_agent.execution.sandbox.needs import Needs
from tests.escape.acts import CALLS, Scene
from tests.escape.probes import PROBES, Probe

RIGHTS = (
    *("execute", "write_file", "read_file", "read_dir", "remove_dir", "remove_file", "make_char", "make_dir"),
    *("make_reg", "make_sock", "make_fifo", "make_block", "make_sym", "refer", "truncate", "ioctl_dev"),
)
"""Landlock's over files, in the order of their bits; those over TCP and the scopes are told by name alone."""

_TCP, _SCOPES = ("bind_tcp", "connect_tcp"), ("abstract", "signals")
_READ_DIR = 1 << RIGHTS.index("read_dir")
_PATIENCE_S = 20


def main() -> None:
    """Answers until stdin ends."""
    probes = {probe.name: probe for probe in PROBES}
    gc.freeze()  # or every fork would copy what it looks at
    _say(os.environ.get("ASSAY_NAMESPACES", "outside"))
    for line in sys.stdin:
        asked = json.loads(line)
        _say(_tried(probes[asked["probe"]], asked))


def _say(said: str) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _tried(probe: Probe, asked: dict[str, Any]) -> str:
    report, said = os.pipe()
    made = os.fork()
    if made == 0:
        os.close(report)
        _try(probe, asked, said)
    os.close(said)
    with os.fdopen(report) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(made, 0)
    if not os.WIFSIGNALED(status):
        return answer
    if os.WTERMSIG(status) == signal.SIGABRT:
        return "open" if os.WCOREDUMP(status) else "no core"
    return signal.Signals(os.WTERMSIG(status)).name


def _try(probe: Probe, asked: dict[str, Any], said: int) -> None:
    """Says what came of it, and ends."""
    scene = Scene(**asked["scene"])
    answer = "open"

    def act() -> None:
        nonlocal answer
        try:
            probe.act(scene)
        except OSError as error:
            answer = os.strerror(error.errno or 0)
        except Exception as error:  # noqa: BLE001  whatever it is, the probe itself is at fault
            answer = f"broken: {error!r}"

    try:
        os.chdir(scene.folder if os.path.isdir(scene.folder) else "/")
        os.dup2(said, 1)
        signal.alarm(_PATIENCE_S)
        most = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        if asked["confined"]:
            _change(asked)
            confinement.confine(Needs((Path(scene.model).parent,)))
        if asked["thread"]:
            one = threading.Thread(target=act)
            one.start()
            one.join()
        else:
            act()
    except Exception as error:  # noqa: BLE001  nothing may leave this process but its answer
        answer = f"broken: {error!r}"
    os.write(1, answer.encode())
    os._exit(0)


def _change(asked: dict[str, Any]) -> None:
    """Takes rules out, and gives the rest of the kernel's rights and limits as they are asked for."""
    without: set[str] = set(asked["without"])
    names = {kind: _named(without, kind) for kind in ("call", "landlock", "limit")}
    if names["call"]:
        rows = [row.strip() for row in CALLS.replace("\n", " ").split(",")]
        syscalls.ALLOWED += "".join(f", {row}" for row in rows if row.split()[0] in names["call"])
    if asked["abi"]:
        confinement.landlock_abi = lambda: int(asked["abi"])
    if "capabilities" in without:
        confinement.drop_capabilities = lambda machine: None
    if "dumpable" in without:
        confinement.hide = lambda: None
    if "landlock" in without:
        confinement.restrict_files = lambda needs: 0
    if without:
        confinement._see_that_it_holds = lambda: None
    confinement.rights = _without_rights(confinement.rights, names["landlock"])
    confinement.limits = _without_limits(confinement.limits, names["limit"])
    confinement._allow = _of_some_right(confinement._allow)


def _named(rules: Iterable[str], kind: str) -> set[str]:
    return {rule.removeprefix(f"{kind} ") for rule in rules if rule.startswith(f"{kind} ")}


def _without_rights(rights: Callable[[int], list[int]], names: set[str]) -> Callable[[int], list[int]]:
    def fewer(abi: int) -> list[int]:
        handled = zip(rights(abi), (RIGHTS, _TCP, _SCOPES), strict=False)
        return [bits & ~sum(1 << of.index(name) for name in names if name in of) for bits, of in handled]

    return fewer


def _of_some_right(allow: Callable[[int, Sequence[str], int], None]) -> Callable[[int, Sequence[str], int], None]:
    """Landlock refuses a rule that allows nothing: what is left of one for files where reading them is taken out."""

    def allow_some(ruleset: int, paths: Sequence[str], rights: int) -> None:
        allow(ruleset, [path for path in paths if rights & ~_READ_DIR or (rights and os.path.isdir(path))], rights)

    return allow_some


def _without_limits(limits: Callable[[Needs], dict[int, int]], names: set[str]) -> Callable[[Needs], dict[int, int]]:
    def fewer(needs: Needs) -> dict[int, int]:
        found = limits(needs) | {resource.RLIMIT_CPU: 1}
        return {which: most for which, most in found.items() if which not in taken}

    taken = {getattr(resource, f"RLIMIT_{name.upper()}") for name in names}
    return fewer


if __name__ == "__main__":
    main()
