"""GPU, driver, CUDA, memory, disk, the self-tests of this host's arithmetic, and whether it can confine jobs."""

import os
import shutil
import subprocess
from pathlib import Path

import torch

from node_agent.devices import self_test
from node_agent.devices.probe import probe, resolve
from node_agent.doctor.findings import MIB, Finding, Limits, fail, ok, tried, warn
from node_agent.execution.exact import self_test as exact
from node_agent.execution.sandbox import Executor

_MEMINFO = Path("/proc/meminfo")
_SMI_TIMEOUT_S = 30
_CPU_MEANS = (
    "Jobs run on the CPU: it works, but slower, so fewer jobs are earned. Of workloads in floats only those pinned to "
    "this CPU's numeric class can be served. With a GPU: install NVIDIA's driver and a CUDA build of torch."
)


def look_at_host(home: Path, models: Path, device: str | None, limits: Limits) -> list[Finding]:
    """Every line of this host."""
    return [
        *tried("gpu", lambda: _gpu(device)),
        *tried("memory", lambda: _memory(limits)),
        *tried("disk", lambda: [_disk("disk of the home", home, limits), _disk("disk of the models", models, limits)]),
        *tried("self-test", lambda: _self_test(device)),
        *tried("exact arithmetic", lambda: _exact(device)),
        *tried("confinement", lambda: _confinement(models)),
    ]


def _gpu(device: str | None) -> list[Finding]:
    where = resolve(device)
    if where.type == "cuda":
        found = probe(where)
        free, total = torch.cuda.mem_get_info(where)
        return [
            ok("gpu", f"{found.name}, compute capability {found.capability}, {found.processors} multiprocessors"),
            ok("driver", found.driver),
            ok("cuda", f"torch {torch.__version__} for CUDA {found.cuda}"),
            ok("gpu memory", f"{free // MIB} of {total // MIB} MiB free"),
        ]
    seen = _seen_by_smi()
    if seen and device is None:
        return [
            fail(
                "gpu",
                f"nvidia-smi sees {seen}, torch {torch.__version__} (built for CUDA {torch.version.cuda}) does not.",
                "Install a CUDA build of torch that fits the driver, or choose the CPU with --device cpu.",
            )
        ]
    cpu = probe(where)
    return [warn("gpu", f"none is used; the CPU is {cpu.name} ({cpu.capability}, {cpu.processors} cores)", _CPU_MEANS)]


def _seen_by_smi() -> str:
    """The GPUs that the driver's own tool names; empty where there is no such tool, or no GPU."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):  # not installed, or no driver behind it: no GPU to speak of
        return ""
    return " and ".join(done.stdout.strip().splitlines()) if done.returncode == 0 else ""


def _memory(limits: Limits) -> list[Finding]:
    free, total = _available_bytes(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    says = f"{free // MIB} of {total // MIB} MiB available"
    if free < limits.memory_bytes:
        least = limits.memory_bytes // MIB
        return [fail("memory", f"{says}, {least} are needed.", "End other programs, or serve on a larger machine.")]
    return [ok("memory", says)]


def _available_bytes() -> int:
    if _MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _disk(name: str, folder: Path, limits: Limits) -> Finding:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free // MIB} MiB free under {there}"
    if free < limits.disk_bytes:
        mend = "Free some: a journal that cannot be written stops the node."
        return fail(name, f"{says}, {limits.disk_bytes // MIB} are needed.", mend)
    return ok(name, says)


def _self_test(device: str | None) -> list[Finding]:
    report = self_test.run(device)
    checks = ", ".join(report.checks)
    return [ok("self-test", f"{checks} on {report.device}; numeric class {report.numeric_class}")]


def _exact(device: str | None) -> list[Finding]:
    report = exact.run(resolve(device))
    lost = "".join(f"; {name} is unsound here: {why}" for name, why in report.unsound.items())
    return [ok("exact arithmetic", f"products by {report.products} on {report.device}{lost}")]


def _confinement(models: Path) -> list[Finding]:
    executor = Executor(models)
    executor.start()
    executor.close()
    return [ok("confinement", "jobs run in a process without network, keys or other files (Landlock, seccomp)")]
