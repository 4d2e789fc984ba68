"""Devices as torch sees them: for float engines, and for the exact engine on a GPU."""

import os
import platform
from pathlib import Path

import torch

from node_agent.devices.probe import Device, choose, cpu_facts, memory_bytes, nvidia_driver
from node_agent.execution.errors import NumericClassMismatch

_LOADED_DRIVER = Path("/sys/module/nvidia/version")


def resolve(device: str | None = None) -> torch.device:
    """The device named "cpu", "cuda" or "cuda:N"; default: the first GPU, else the CPU.

    Raises NumericClassMismatch if torch does not see the GPU.
    """
    chosen = torch.device(choose(device))
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise NumericClassMismatch(
            f"Device {chosen} is missing: torch {torch.__version__} (built for CUDA {torch.version.cuda}) sees "
            f"{torch.cuda.device_count()} CUDA device(s).",
            way_out="Install the NVIDIA driver and a CUDA build of torch that fits it, or choose the CPU with "
            "--device cpu.",
            device=str(chosen),
        )
    return chosen


def probe(device: torch.device) -> Device:
    if device.type != "cuda":
        return Device(
            kind="cpu",
            name=cpu_facts().get("model name", platform.machine()),
            capability=torch.backends.cpu.get_cpu_capability(),
            driver="",
            cuda="",
            memory_bytes=memory_bytes(),
            processors=os.cpu_count() or 1,
        )
    facts = torch.cuda.get_device_properties(device)
    return Device(
        kind="cuda",
        name=facts.name,
        capability=f"{facts.major}.{facts.minor}",
        driver=_driver_version(device),
        cuda=torch.version.cuda or "",
        memory_bytes=facts.total_memory,
        processors=facts.multi_processor_count,
    )


def _driver_version(device: torch.device) -> str:
    """The loaded driver's version; torch does not report it. A confined process can read the file but run no tool."""
    if _LOADED_DRIVER.exists():
        return _LOADED_DRIVER.read_text().strip()
    driver = nvidia_driver()
    if driver is None:
        raise NumericClassMismatch(
            f"Neither {_LOADED_DRIVER} nor nvidia-smi gives the driver's version, which is part of the numeric class.",
            way_out="Put nvidia-smi on the PATH (in a container: give it the 'utility' driver capability).",
            device=str(device),
        )
    return driver.version
