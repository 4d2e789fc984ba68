"""What a GPU would run, as far as it can be seen without one: Triton's interpreter accepts more than its compiler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node_agent.execution.exact.fused import kernels
from tests.world.soak import short_or_long

pytestmark = pytest.mark.process

KERNELS = {"embed", "shorten_rows", "heads", "attend", "gates", "add", "head"}
"""Those that a model starts; `products` and `square_roots` are parts of them."""

ROOT_SEED = {"cvt.rn.f64.s64", "sqrt.rn.f64", "cvt.rzi.s64.f64"}


@pytest.mark.process
@pytest.mark.timeout(900)
@pytest.mark.parametrize("capability", short_or_long(["90"], ["80", "90", "100"]))
def test_every_kernel_compiles_to_integers(capability: str, tmp_path: Path) -> None:
    """For Hopper, and in soak for Ampere and Blackwell: each kernel becomes machine code, matrices are multiplied as
    int8 summed in int32, and the only float is the square root that seeds an integer root. A float elsewhere could be
    contracted or rounded otherwise on another card."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(Path(__file__).with_name("compiled.py")), capability]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["kernel"] for each in found} == KERNELS <= set(vars(kernels))
    for each in found:
        assert each["code_bytes"] > 0
        assert set(each["floats"]) <= ROOT_SEED, each
        multiplies = each["kernel"] not in {"embed", "shorten_rows"}
        assert bool(each["products"]) is multiplies, each
        assert all(name.endswith("s32.s8.s8.s32") or name.endswith("s32.s8.s8") for name in each["products"]), each
    assert {"sqrt.rn.f64"} <= {name for each in found for name in each["floats"]}
