"""This host's CPU and NVIDIA driver, without torch.

Raises rather than guesses: a driver that does not work is reported in its own words, not taken for no GPU.
"""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node_agent.execution.errors import NumericClassMismatch

_CPU_FACTS = ("vendor_id", "cpu family", "model", "model name", "cache size")
_CPUINFO, _DRIVER_TIMEOUT_S = Path("/proc/cpuinfo"), 30
_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")


@dataclass(frozen=True)
class Device:
    """One device. `driver` and `cuda`: versions of NVIDIA's driver and of torch's CUDA; empty on a CPU.

    `capability`: a GPU's compute capability ("9.0"), or the CPU instruction set that torch uses ("AVX512").
    `memory_bytes`: the device's, or the host's for a CPU. `processors`: a GPU's multiprocessors, or logical cores.
    """

    kind: Literal["cpu", "cuda"]
    name: str
    capability: str
    driver: str
    cuda: str
    memory_bytes: int
    processors: int


@dataclass(frozen=True)
class Driver:
    """A working NVIDIA driver, and the names of the GPUs that it sees."""

    version: str
    gpus: tuple[str, ...]


def choose(device: str | None = None) -> str:
    """The device named, else the first GPU if an NVIDIA driver answers, else the CPU.

    Raises NumericClassMismatch if the name is none of "cpu", "cuda" and "cuda:N", or the driver does not work.
    """
    if device is None:
        return "cuda" if nvidia_driver() is not None else "cpu"
    if not _DEVICE.fullmatch(device):
        raise NumericClassMismatch(
            f"There is no device {device!r}.", way_out="Name cpu, cuda, or cuda:N for GPU N.", device=device
        )
    return device


def nvidia_driver() -> Driver | None:
    """The report of nvidia-smi; None if it is not installed.

    Raises NumericClassMismatch if it fails, hangs, or prints nothing.
    """
    command = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S)
    except FileNotFoundError:
        return None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _driver_fails(str(error)) from error
    lines = [line for line in done.stdout.splitlines() if "," in line]
    if done.returncode != 0 or not lines:
        said = (done.stdout + done.stderr).strip() or "nothing"
        raise _driver_fails(f"it exits with status {done.returncode} and says: {said}")
    versions, names = zip(*(line.split(",", 1) for line in lines), strict=True)
    return Driver(versions[0].strip(), tuple(name.strip() for name in names))


def cpu_facts() -> dict[str, str]:
    """Vendor, family, model, name and cache size of the CPU, by which libraries choose kernels."""
    if not _CPUINFO.exists():  # not Linux
        return {"model name": platform.processor() or platform.machine()}
    first = _CPUINFO.read_text().split("\n\n", 1)[0]
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    found = {name: facts[name] for name in _CPU_FACTS if name in facts}
    return found or {"model name": platform.machine()}


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _driver_fails(why: str) -> NumericClassMismatch:
    return NumericClassMismatch(
        f"nvidia-smi is installed and does not work: {why}",
        way_out="Repair the NVIDIA driver (in a container: give it the 'utility' driver capability), or choose the CPU "
        "with --device cpu.",
        why=why,
    )
