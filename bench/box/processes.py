"""Processes that a stranger would start, and how long they take."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def python(*arguments: str, settings: Mapping[str, str]) -> Any:
    """The JSON that a Python process of this installation prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=os.environ | dict(settings), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Stranger:
    """A fresh clone with a fresh HOME, and an environment that says nothing but where programs are."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.clone, self.home = folder / "assay", folder / "home"
        self.home.mkdir()
        subprocess.run(["git", "clone", "-q", str(source), str(self.clone)], check=True)

    def seconds(self, *command: str, given: Sequence[str] = (), ends_with: int = 0) -> float:
        """How long a command takes that must end so. `given`: variables of ours that it is given too."""
        kept = {name: os.environ[name] for name in given if name in os.environ}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"} | kept
        start = time.monotonic()
        done = subprocess.run(command, cwd=self.clone, env=environment, stdout=sys.stderr)
        took_s = time.monotonic() - start
        if done.returncode != ends_with:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}, not {ends_with}")
        return took_s

    def megabytes(self) -> float:
        """On disk: the clone's environment, and all that came into HOME."""
        return sum(_bytes(folder) for folder in (self.clone / ".venv", self.home)) / 1e6


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Processes that do nothing as fast as they can."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _bytes(folder: Path) -> int:
    """As `du` counts: blocks of files, each once however many names it has."""
    seen = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for stat in map(Path.lstat, folder.rglob("*"))}
    return sum(seen.values())
