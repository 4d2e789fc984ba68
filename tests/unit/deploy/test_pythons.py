"""Which Pythons Assay can be installed on. It is tested on 3.11; on the others its pinned dependencies have wheels."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_every_dependency_has_a_wheel(version: str, tmp_path: Path) -> None:
    """Whoever has a newer Python needs no compiler for the base: each pin and what it needs resolves to wheels."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--python-version", version, "--only-binary", ":all:", "--target", str(tmp_path)]
    command += ["-c", str(ROOT / "constraints.txt"), *PROJECT["dependencies"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_promise_is_what_is_checked() -> None:
    """`requires-python` names no version that the test above does not look at."""
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
