"""Starts the network's programs as separate processes, each with its own key folder and password, and ends them."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.protocol.errors import AssayError

PASSWORD_FILE = "password"
"""In a party's folder: the password of its key files."""
_PASSED_ON = ("ASSAY_KERNELS", "ASSAY_THREADS")
_END_WAIT_S = 10.0
_LOG_TAIL_LINES = 25
_PR_SET_PDEATHSIG = 1
"""prctl(2)."""


class ProcessFailed(AssayError):
    """Thrown when a program of the network ended or did not come up; the message has the end of its log."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if log.exists() else []
        super().__init__(f"{name} {why}; the end of {log}:\n" + "\n".join(tail))


@dataclass(frozen=True)
class Party:
    """A party of the network: a folder that only its owner may enter, and a password that only its own processes
    get."""

    name: str
    home: Path
    password: str

    @staticmethod
    def open(root: Path, name: str) -> "Party":
        """An existing party, or a new one with an empty folder. The password lies beside the keys, readable for its
        owner only: right for development, since the folder can then be used again."""
        home = root / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = home / PASSWORD_FILE
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as written:
                written.write(secrets.token_hex(16))
        return Party(name, home, file.read_text().strip())

    def key(self, name: str) -> Path:
        """The path of one of its key files."""
        return self.home / f"{name}.json"


@dataclass
class Processes:
    """The running programs, by name, with their logs.

    `end_with_us`: programs get SIGTERM when the thread that started them is gone for any reason (Linux). `threads`: of
    each engine, see `environment`.
    """

    logs: Path
    end_with_us: bool = False
    threads: int | None = None
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, arguments: Sequence[str], *, party: Party | None = None) -> None:
        """Starts `assay ARGUMENTS`, or another module of this environment with -m first."""
        program = [sys.executable] if arguments[0] == "-m" else [assay_command()]
        self.start_program(name, [*program, *arguments], party=party)

    def start_program(self, name: str, command: Sequence[str], *, party: Party | None = None) -> None:
        """Starts any program, output to its log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=environment(party, self.threads),
                start_new_session=True,  # Ctrl-C is ours; we end the programs in order
                preexec_fn=_end_with_parent if self.end_with_us else None,
            )

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        party: Party | None = None,
        cwd: Path | None = None,
        ends_with: Sequence[int] = (0,),
    ) -> str:
        """Runs `assay ARGUMENTS` and returns its output. Raises ProcessFailed unless it exits with 0."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("ab") as errors:
            done = subprocess.run(
                [assay_command(), *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(party, self.threads),
                cwd=cwd,
            )
        with log.open("ab") as file:
            file.write(done.stdout)
        if done.returncode not in ends_with:
            raise ProcessFailed(name, f"failed with {done.returncode}", log)
        return done.stdout.decode()

    def wait_for(self, name: str, ready: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Waits until a program answers. Raises ProcessFailed when it ends or takes too long."""
        until = time.monotonic() + timeout_s
        while not ready():
            if (code := self.ended().get(name)) is not None:
                raise ProcessFailed(name, f"ended with {code}", self.logs / f"{name}.log")
            if time.monotonic() > until:
                raise ProcessFailed(name, f"was not ready within {timeout_s:.0f} s", self.logs / f"{name}.log")
            time.sleep(0.2)

    def check(self) -> None:
        """Raises ProcessFailed if any program has ended."""
        for name, code in self.ended().items():
            raise ProcessFailed(name, f"ended with {code}", self.logs / f"{name}.log")

    def ended(self) -> dict[str, int]:
        """The programs that are no longer running, with their exit codes."""
        return {name: code for name, process in self.running.items() if (code := process.poll()) is not None}

    def stop(self, name: str, *, wait_s: float = _END_WAIT_S) -> bool:
        """Ends one program, gently at first. False if it had to be killed."""
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def stop_all(self) -> None:
        """Ends all programs, the last started first."""
        for process in self.running.values():
            process.terminate()
        for name in reversed(list(self.running)):
            self.stop(name)


def _end_with_parent() -> None:
    """In the child, before the program starts: asks the kernel for SIGTERM when the parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def assay_command() -> str:
    """The `assay` command of this environment."""
    return str(Path(sys.executable).with_name("assay"))


def environment(party: Party | None, threads: int | None = None) -> dict[str, str]:
    """A process's environment: its own party's password, and how it computes.

    `threads`: of an engine; None: as many as cores. Of this program's settings, only those of the kernels pass on.
    """
    passed = {key: value for key, value in os.environ.items() if not key.startswith("ASSAY_") or key in _PASSED_ON}
    passed |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "160"}
    passed |= {} if threads is None else {"ASSAY_THREADS": str(threads)}
    return passed | ({"ASSAY_PASSWORD": party.password, "ASSAY_HOME": str(party.home)} if party else {})


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
