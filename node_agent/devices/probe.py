"""What this host has to compute with, as its libraries report it. Reads only; raises rather than guesses."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from node_agent.execution.errors import NumericClassMismatch

_CPU_FACTS = ("vendor_id", "cpu family", "model", "model name", "cache size")
_CPUINFO, _DRIVER_TIMEOUT_S = Path("/proc/cpuinfo"), 30


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        kind: "cpu" or "cuda".
        name: the model, as the hardware reports it.
        capability: of a GPU its compute capability ("9.0"), of a CPU the instruction set torch uses ("AVX512").
        driver: NVIDIA driver's version; empty on a CPU.
        cuda: CUDA version torch was built with; empty on a CPU.
        memory_bytes: of the device, or of the host for a CPU.
        processors: multiprocessors of a GPU, logical cores of a CPU.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    capability: str
    driver: str
    cuda: str
    memory_bytes: int
    processors: int


def resolve(device: str | None = None) -> torch.device:
    """The device of a name ("cpu", "cuda", "cuda:1"); the first GPU, else the CPU, if none is given.

    Raises:
        NumericClassMismatch: a GPU is asked for and there is none.
    """
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cuda" and not torch.cuda.is_available()):
        raise NumericClassMismatch(
            f"Device {device!r} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA device(s).",
            way_out="Use 'cpu', or install a CUDA build of torch and the NVIDIA driver.",
            device=device,
        )
    return chosen


def probe(device: torch.device) -> Device:
    """Describe a device."""
    return _probe_cuda(device) if device.type == "cuda" else _probe_cpu()


def cpu_facts() -> dict[str, str]:
    """Identity of the CPU: vendor, family, model, name and cache size, which libraries choose kernels by."""
    if not _CPUINFO.exists():  # not Linux
        return {"model name": platform.processor() or platform.machine()}
    first = _CPUINFO.read_text().split("\n\n", 1)[0]
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    found = {name: facts[name] for name in _CPU_FACTS if name in facts}
    return found or {"model name": platform.machine()}


def _probe_cpu() -> Device:
    facts = cpu_facts()
    return Device(
        kind="cpu",
        name=facts.get("model name", platform.machine()),
        capability=torch.backends.cpu.get_cpu_capability(),
        driver="",
        cuda="",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        processors=os.cpu_count() or 1,
    )


def _probe_cuda(device: torch.device) -> Device:
    facts = torch.cuda.get_device_properties(device)
    return Device(
        kind="cuda",
        name=facts.name,
        capability=f"{facts.major}.{facts.minor}",
        driver=_driver_version(),
        cuda=torch.version.cuda or "",
        memory_bytes=facts.total_memory,
        processors=facts.multi_processor_count,
    )


def _driver_version() -> str:
    """The NVIDIA driver's version; torch does not report it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NumericClassMismatch(
            f"The driver's version is part of the numeric class, and nvidia-smi did not tell it: {error}",
            way_out="Put nvidia-smi on the PATH (in a container: give it the 'utility' driver capability).",
            command=command,
        ) from error
    return said.splitlines()[0].strip()
