"""What the keeper sees to while the confined process runs: threads, memory, and that it ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from node_agent.execution.sandbox.launch import launch
from node_agent.execution.sandbox.needs import Needs

pytestmark = pytest.mark.process

BEGIN = """
import sys, threading, time
from node_agent.execution.sandbox.confinement import confine
from node_agent.execution.sandbox.needs import Needs
confine(Needs(gpu=True))  # where no limit of the kernel's counts memory
"""
THREADS = f"""{BEGIN}
for _ in range(40):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
MEMORY = f"{BEGIN}taken = bytearray(256 << 20)\n"
WAITS = f"{BEGIN}print('confined', flush=True)\ntime.sleep(60)"
AND_LIVES = "time.sleep(1)\nprint('it lives', flush=True)\n"


@dataclass(frozen=True)
class Less(Needs):
    """Needs with limits that a test reaches in little time."""

    most_threads: int = 1000
    most_bytes: int = 1 << 30

    @property
    def threads(self) -> int:
        return self.most_threads

    @property
    def memory_bytes(self) -> int:
        return self.most_bytes


@pytest.mark.parametrize(
    ("program", "needs", "words"),
    [
        (THREADS, Less(most_threads=20), "threads, 20 are the most"),
        (MEMORY, Less(most_bytes=200 << 20), "memory bytes, 209715200 are the most"),
    ],
)
def test_too_much_of_what_is_counted(program: str, needs: Less, words: str) -> None:
    """Protects the host from threads and memory that no limit of the kernel counts: the process is killed, and the
    log says why. With more allowed it lives. Covers: A50, A58"""
    ended = launch([sys.executable, "-c", program + AND_LIVES], needs)
    _, said = ended.communicate(timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert words in said.decode()
    lives = launch([sys.executable, "-c", program + AND_LIVES], Less())
    assert b"it lives" in lives.communicate(timeout=60)[0]


PARENT = f"""
import sys, time
from node_agent.execution.sandbox.launch import launch
from node_agent.execution.sandbox.needs import Needs
made = launch([sys.executable, "-c", {WAITS!r}], Needs())
made.stdout.readline()
print(made.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("who", ["parent", "keeper"])
def test_it_ends_with_its_parent(who: str) -> None:
    """Protects a host from a process that computes on when the program that holds the keys is killed, or the keeper,
    without a word to it. Covers: A50"""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=_with_path())
    assert parent.stdout is not None
    keeper = int(parent.stdout.readline())
    worker = worker_of(keeper)
    os.kill(parent.pid if who == "parent" else keeper, signal.SIGKILL)
    until = time.monotonic() + 20
    while _runs(worker):
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.kill()
    parent.communicate()


def test_what_the_kernel_says_of_it() -> None:
    """Protects from a rule that was set and does not hold: no capability of any kind, no new privileges, a filter, and
    nobody but root owns what /proc says of it."""
    made = launch([sys.executable, "-c", WAITS], Needs())
    assert made.stdout is not None
    assert made.stdout.readline() == b"confined\n"
    said = dict(line.split(":", 1) for line in Path(f"/proc/{worker_of(made.pid)}/status").read_text().splitlines())
    assert (said["NoNewPrivs"].strip(), said["Seccomp"].strip()) == ("1", "2")
    kinds = ("CapInh", "CapPrm", "CapEff", "CapAmb", *(["CapBnd"] if os.getuid() == 0 else []))
    assert [int(said[kind], 16) for kind in kinds] == [0] * len(kinds)
    made.kill()
    made.communicate()


def worker_of(keeper: int) -> int:
    """The last process of a chain in which each has one child."""
    while children := Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split():
        (keeper,) = map(int, children)
    return keeper


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _with_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
