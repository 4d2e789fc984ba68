"""What every benchmark leaves behind: a table for people, and bench/results/NAME.json with commit, command, machine."""

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number. `goal`: what we aim at; `must`: what has to hold; None where there is none."""

    value: float | None
    unit: str
    goal: float | None = None
    must: float | None = None

    def record(self) -> dict[str, Any]:
        """As it stands in the file."""
        found = {"value": self.value, "unit": self.unit, "goal": self.goal}
        return found if self.must is None else found | {"must": self.must}


def write(name: str, command: str, figures: dict[str, Figure], **more: Any) -> Path:
    """Writes the file whole and returns its path. `more`: raw data, sources, and how to recompute them."""
    content = {
        "commit": commit(),
        "command": command,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "figures": {key: figure.record() for key, figure in figures.items()},
        **more,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def commit() -> str:
    """The checked-out commit, marked where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    run = subprocess.run([*git, "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    if run.returncode != 0:
        return "not a checkout"
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], check=True, capture_output=True, text=True)
    return run.stdout.strip() + (", with changes" if changed.stdout else "")
