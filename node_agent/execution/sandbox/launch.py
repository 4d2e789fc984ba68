"""Starts a confined process: environment, pipes and keeper. `confinement` says what the process then gives up."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from node_agent.execution.sandbox.needs import Needs

_KEEPER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))]

_PASSED_ON = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH"),
    *("ASSAY_KERNELS", "ASSAY_THREADS"),
)
_PASSED_ON_PREFIXES = ("ATEN_", "CUBLAS_", "CUDA_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_", "TORCH_")
_SET = {
    "CUDA_CACHE_DISABLE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's threads would start before the process is confined, and stay outside
}


def environment() -> dict[str, str]:
    """Its environment: of this process's, only the settings for computing."""
    passed = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return passed | _SET


def launch(program: Sequence[str], needs: Needs) -> "subprocess.Popen[bytes]":
    """A new process in a session of its own, with pipes for stdin, stdout and stderr.

    The process id is the keeper's. The program ends with its keeper, and the keeper with its parent.
    """
    files, devices = needs.files, needs.devices
    numbers = (os.getpid(), needs.threads, needs.memory_bytes, len(files), len(devices))
    return subprocess.Popen(
        [*_KEEPER, *map(str, numbers), *files, *devices, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment(),
        cwd="/",
        start_new_session=True,  # a group of its own, to be ended as one; a Ctrl-C is for its parent
    )
