"""Starts the network's programs as separate processes, each with its own key folder and password, and ends them."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_END_WAIT_S = 10.0
_LOG_TAIL_LINES = 25


class ProcessFailed(Exception):
    """A program of the network ended or did not come up; the message carries the end of its log."""

    code = "process_failed"

    def __init__(self, name: str, why: str, log: Path) -> None:
        tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if log.exists() else []
        super().__init__(f"{name} {why}; the end of {log}:\n" + "\n".join(tail))


@dataclass(frozen=True)
class Party:
    """Somebody of the network: a folder only its owner may enter, and a password only its own processes are told."""

    name: str
    home: Path
    password: str

    @staticmethod
    def make(root: Path, name: str) -> "Party":
        """A new party with an empty folder."""
        home = root / name
        home.mkdir(mode=0o700, parents=True)
        return Party(name, home, secrets.token_hex(16))

    def key(self, name: str) -> Path:
        """The path of one of its key files."""
        return self.home / f"{name}.json"


@dataclass
class Processes:
    """The running programs, by name, with their logs."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, arguments: Sequence[str], *, party: Party | None = None) -> None:
        """Starts `assay ARGUMENTS`, or another module of this environment with -m first."""
        program = [sys.executable] if arguments[0] == "-m" else [assay_command()]
        self.start_program(name, [*program, *arguments], party=party)

    def start_program(self, name: str, command: Sequence[str], *, party: Party | None = None) -> None:
        """Starts any program, output to its log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment(party))

    def run(self, name: str, arguments: Sequence[str], *, party: Party | None = None, cwd: Path | None = None) -> str:
        """Runs `assay ARGUMENTS` to its end and returns what it printed. Raises ProcessFailed when it fails."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("ab") as errors:
            done = subprocess.run(
                [assay_command(), *arguments], stdout=subprocess.PIPE, stderr=errors, env=environment(party), cwd=cwd
            )
        with log.open("ab") as file:
            file.write(done.stdout)
        if done.returncode != 0:
            raise ProcessFailed(name, f"failed with {done.returncode}", log)
        return done.stdout.decode()

    def wait_for(self, name: str, ready: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Waits until a program answers. Raises ProcessFailed when it ends or takes too long."""
        until = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise ProcessFailed(name, f"was not ready within {timeout_s:.0f} s", self.logs / f"{name}.log")
            time.sleep(0.2)

    def check(self) -> None:
        """Raises ProcessFailed if any program has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise ProcessFailed(name, f"ended with {process.returncode}", self.logs / f"{name}.log")

    def stop(self, name: str) -> None:
        """Ends one program, gently at first."""
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """Ends all programs, the last started first."""
        for process in self.running.values():
            process.terminate()
        for name in reversed(list(self.running)):
            self.stop(name)


def assay_command() -> str:
    """The `assay` command of this environment."""
    return str(Path(sys.executable).with_name("assay"))


def environment(party: Party | None) -> dict[str, str]:
    """What a process is told: one torch thread, and the password of its own party alone."""
    passed = {key: value for key, value in os.environ.items() if not key.startswith("ASSAY_")}
    passed |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "160"}
    return passed | ({"ASSAY_PASSWORD": party.password, "ASSAY_HOME": str(party.home)} if party else {})


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
