"""Kernels that lack what confinement takes, played by a filter that answers for them: each is refused in words.

What only the upper layer takes is told in words instead, and the floor holds. Covers: A50
"""

import json
import os
import subprocess
import sys
from errno import E2BIG, EACCES, ENOSYS, EOPNOTSUPP, EPERM

import pytest

from node_agent.execution.sandbox import syscalls
from tests.escape.acts import NUMBERS
from tests.escape.cage import ROOT

pytestmark = pytest.mark.process

PROGRAM = """
import json
from node_agent.execution.errors import SandboxUnavailable
from node_agent.execution.sandbox import confinement
from node_agent.execution.sandbox.needs import Needs
try:
    layers = confinement.confine(Needs())
    print(json.dumps({"landlock": layers.landlock, "namespaces": layers.namespaces}))
except SandboxUnavailable as error:
    print(json.dumps({"refused": str(error)}))
"""

LAUNCHES = """
import json, sys
from node_agent.execution.sandbox.launch import launch
from node_agent.execution.sandbox.needs import Needs
from tests.escape.cage import load_outer
load_outer(json.loads(sys.argv[1]))
made = launch([sys.executable, "-P", "-c", sys.argv[2]], Needs())
sys.stdout.buffer.write(made.communicate()[0])
"""


def confined(lacks: dict[str, int], program: str = PROGRAM) -> dict[str, object]:
    """What becomes of a start where some system calls fail."""
    path = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-P", "-c", LAUNCHES, json.dumps(lacks), program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ({"landlock_create_ruleset": ENOSYS}, "Landlock: Function not implemented"),  # Linux before 5.13
        ({"landlock_create_ruleset": EOPNOTSUPP}, "Landlock: Operation not supported"),  # started without it
        ({"landlock_create_ruleset": EPERM}, "Landlock: Operation not permitted"),  # a container that forbids it
        ({"landlock_restrict_self": EPERM}, "Landlock: Operation not permitted"),
        ({"seccomp": ENOSYS}, "seccomp: Function not implemented"),
        ({"seccomp": EPERM}, "seccomp: Operation not permitted"),
        ({"capset": EPERM}, "capset: Operation not permitted"),
    ],
)
def test_a_kernel_without_the_floor_runs_nothing(lacks: dict[str, int], words: str) -> None:
    """Protects a host from running jobs in less than README says: it is told what is missing, and what to do."""
    refused = str(confined(lacks)["refused"])
    assert f"({words})" in refused
    assert "Use Linux 5.13 or later" in refused


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ({"unshare": EPERM}, "unshare: Operation not permitted"),  # user namespaces are turned off
        ({"unshare": ENOSYS}, "unshare: Function not implemented"),
        (
            {"mount": EACCES},
            "mount /: Permission denied",
        ),  # Ubuntu 24.04 lets them be made, and nothing be done in them
        ({"pivot_root": EPERM}, "pivot_root: Operation not permitted"),
        ({"mount_setattr": ENOSYS}, "mount_setattr"),  # Linux before 5.12
    ],
)
def test_a_kernel_without_the_upper_layer_says_so(lacks: dict[str, int], words: str) -> None:
    """Protects from a weaker mode in silence: the floor holds alone, and says why there is nothing above it."""
    found = confined(lacks)
    assert words in str(found["namespaces"])
    assert found["landlock"]


OLD = f"""
from node_agent.execution.sandbox import confinement, syscalls
import ctypes, platform
confinement.landlock_abi = lambda: 1
larger = [(0x20, 0, 0, 0), (0x15, 0, 3, {NUMBERS["landlock_create_ruleset"]}), (0x20, 0, 0, 24), (0x15, 1, 0, 8),
          (6, 0, 0, {syscalls.ERRNO | E2BIG}), (6, 0, 0, {syscalls.ALLOW})]
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
syscalls.load(larger, platform.machine())
{PROGRAM}
"""


def test_the_first_landlock_is_given_what_it_knows() -> None:
    """Protects hosts with Linux 5.13 to 5.18: a kernel that refuses rights and fields it does not know confines. That
    nothing more succeeds there, `test_probes` shows."""
    assert confined({}, OLD)["landlock"] == 1
    refused = confined({}, OLD.replace("lambda: 1", "lambda: 4"))["refused"]
    assert "Landlock: Argument list too long" in str(refused), "the filter would let a newer one pass"
