"""The packages that come with PyPI's CUDA build of torch, beside a CPU build: with them, no job ever ran.

`import torch` then imports cuda-bindings, whose cuda-pathfinder looks for libraries with `ctypes.util.find_library`,
which writes a temporary file and runs a linker. No confined process may do that.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node_agent.execution import kinds
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor
from tests.world.prompts import asked

from .conftest import MakeManifest

pytestmark = pytest.mark.model

PACKAGES = ("cuda-bindings==13.5.0", "cuda-pathfinder==1.9.1")

CONFINED_FIRST = """
import sys
from pathlib import Path
from node_agent.execution.sandbox.confinement import confine
from node_agent.execution.sandbox.needs import Needs
confine(Needs((Path(sys.argv[1]),)))
import torch
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages (31 MB), as pip installs them."""
    folder = tmp_path_factory.mktemp("cuda") / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *PACKAGES]
    subprocess.run(command, check=True, timeout=240)
    return folder


def test_torch_with_them_cannot_start_confined(packages: Path) -> None:
    """What the test below protects from is there: imported after confining, torch ends the process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*(each for each in sys.path if each), str(packages)])}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "ASSAY_NAMESPACES": "not tried"}
    command = [sys.executable, "-c", CONFINED_FIRST, str(packages)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == -signal.SIGSYS


def test_work_in_floats_runs_with_them(
    packages: Path, tiny_files: ModelFiles, make_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever installs `assay[cuda]` can serve: torch is imported before the process is confined."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*(each for each in sys.path if each), str(packages)]))
    manifest = make_manifest(tiny_files)
    assert kinds.find(manifest.kind).needs_torch
    executor = Executor(tiny_files.weights.parent)
    engine = executor.load(tiny_files, manifest, "cpu")
    try:
        assert engine.execute(asked(["hello"]), {"max_new_tokens": 4}).units > 0
    finally:
        executor.close()
