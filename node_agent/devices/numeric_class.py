"""The numeric class: hosts of one class give equal bits for equal float work; across classes bits may differ.

It covers everything known to change the last bits: hardware, driver, library builds and their kernel switches, threads,
type and batch policy. It is a *claim* by this host, which only checks can confirm.
"""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass

import torch

from node_agent.devices.gpu import probe, resolve
from node_agent.devices.probe import cpu_facts
from node_agent.execution import determinism

DTYPE, BATCH_POLICY = "float32", "one sequence, whole prompt, then one token at a time"

# Read by MKL, oneDNN and torch when they choose kernels.
_KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)


@dataclass(frozen=True)
class NumericClass:
    """`digest`: hex sha256 of `facts`."""

    digest: str
    facts: dict[str, str]


def current(device: str | None = None) -> NumericClass:
    """The class of this process on a device; sets the deterministic switches first, as an engine does.

    Raises NumericClassMismatch if the device is missing, or its driver's version is unknown.
    """
    determinism.enforce()
    where = resolve(device)
    facts = {
        "batch": BATCH_POLICY,
        "dtype": DTYPE,
        "machine": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        **{f"switch {name}": value for name, value in determinism.switches().items()},
        **_silicon(where),
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    return NumericClass(digest=hashlib.sha256(canonical).hexdigest(), facts=facts)


def _silicon(device: torch.device) -> dict[str, str]:
    found = asdict(probe(device))
    if device.type == "cuda":
        told = ("kind", "name", "capability", "driver", "cuda", "processors")
        return {
            **{name: str(found[name]) for name in told},
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "blas": str(torch.backends.cuda.preferred_blas_library()),
            "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", ""),
        }
    return {
        "kind": "cpu",
        "capability": found["capability"],
        "mkl": str(torch.backends.mkl.is_available()),  # type: ignore[no-untyped-call]
        "mkldnn": str(torch.backends.mkldnn.is_available()),  # type: ignore[no-untyped-call]
        "denormals": str(bool(torch.tensor(2.0**-149) * 1 != 0)),
        **{f"cpu {name.removeprefix('cpu ')}": value for name, value in cpu_facts().items()},
        **{name: os.environ[name] for name in _KERNEL_VARIABLES if name in os.environ},
    }
