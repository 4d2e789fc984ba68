"""Real processes that start in milliseconds: one parent imports everything once and forks whoever is asked for.

A child is a process of its own, with its own pid, files, sockets and log; it is killed with SIGKILL like any other.
What is saved is only the seconds of importing, so that a test can afford many deaths. Run as
`python -m tests.survival.nursery`, it reads one JSON line a child from stdin and answers with its pid.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.world.waiting import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
"""prctl(2)."""


class Child:
    """A process that was born in a nursery. Watched by its pidfd, so that no pid is ever mistaken for another's."""

    def __init__(self, name: str, pid: int, log: Path, log_start: int) -> None:
        self.name, self.pid, self.log = name, pid, log
        self._log_start = log_start
        self._fd = os.pidfd_open(pid)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not select.select([self._fd], [], [], 0)[0]

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.alive:
            signal.pidfd_send_signal(self._fd, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> None:
        """Until it has ended."""
        assert select.select([self._fd], [], [], timeout_s)[0], f"{self.name} did not end within {timeout_s} s"

    def kill(self) -> None:
        """SIGKILL, and until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def says(self, words: str) -> bool:
        """Whether it wrote these words, in this life."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return words.encode() in log.read()

    def log_text(self) -> str:
        """What it and its forerunners of the same name wrote."""
        return self.log.read_text(errors="replace")


class Nursery:
    """The test's end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._children: list[Child] = []
        with (logs / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.survival.nursery"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            )

    def start(self, name: str, program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
        """A new process. `program`: a function of tests.survival.programs."""
        log = self._logs / f"{name}.log"
        log.touch()
        log_start = log.stat().st_size
        asked = {"program": program, "arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, (self._logs / "nursery.log").read_text()
        child = Child(name, int(answer), log, log_start)
        self._children.append(child)
        return child

    def close(self) -> None:
        """Ends every child, and the nursery."""
        for child in self._children:
            child.send(signal.SIGTERM)
        until = time.monotonic() + 30
        for child in self._children:
            if not select.select([child._fd], [], [], max(0.0, until - time.monotonic()))[0]:
                child.kill()
            os.close(child._fd)
        self._process.communicate(timeout=PATIENCE_S)  # the end of its stdin ends it


def _serve() -> None:
    from tests.survival import programs  # imports the whole product, once

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead: the kernel buries them
    answers = os.dup(1)
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            _become(programs, json.loads(line))
        os.write(answers, b"%d\n" % pid)


def _become(programs: Any, asked: dict[str, Any]) -> None:
    """In the child: its own log, environment and program, to the end."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody outlives the test
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(asked["environment"])
        getattr(programs, asked["program"])(asked["arguments"])
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())  # into the child's log
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
