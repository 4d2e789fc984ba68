"""Checks GPU, driver, CUDA, memory, disk, this host's arithmetic, and whether it can confine jobs."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from node_agent.devices.probe import choose, cpu_facts, memory_bytes, nvidia_driver
from node_agent.doctor.findings import MIB, DoctorFinding, Limits, fail, ok, tried, warn
from node_agent.execution.exact import ways
from node_agent.execution.sandbox import Executor

_MEMINFO, _CGROUP, _CGROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_CPU_MEANS = (
    "Jobs run on the CPU, which is slower, so fewer jobs are earned. Of float workloads only those pinned to this "
    "CPU's numeric class can be served. If there is a GPU, install NVIDIA's driver and `pip install 'assay[cuda]'`."
)
_FLOOR_MEANS = (
    "Input that takes the process over can see which files, processes and connections there are, and reach none of "
    "them. To hide them too, let this user have user namespaces: on Ubuntu 24.04, set the sysctl "
    "kernel.apparmor_restrict_unprivileged_userns to 0; in a container, allow unshare and mount."
)


def look_at_host(home: Path, models: Path, device: str | None, limits: Limits) -> list[DoctorFinding]:
    return [
        *tried("gpu", lambda: _gpu(device)),
        *tried("memory", lambda: _memory(limits)),
        *tried("disk", lambda: [_disk("disk of the home", home, limits), _disk("disk of the models", models, limits)]),
        *tried("self-test", lambda: _self_test(device)),
        *tried("exact arithmetic", lambda: _exact(device)),
        *tried("confinement", lambda: _confinement(models)),
    ]


def _has_torch() -> bool:
    return find_spec("torch") is not None


def _gpu(device: str | None) -> list[DoctorFinding]:
    if choose(device) == "cpu":
        name = cpu_facts().get("model name", "unknown")
        return [warn("gpu", f"none is used; the CPU is {name} ({os.cpu_count()} cores)", _CPU_MEANS)]
    driver = nvidia_driver()
    sees = "there is no NVIDIA driver" if driver is None else f"driver {driver.version} sees {', '.join(driver.gpus)}"
    if not _has_torch():
        fix = "Install it with `pip install 'assay[cuda]'`, or choose the CPU with --device cpu."
        return [fail("gpu", f"{sees}; torch, which computes on GPUs, is not installed.", fix)]
    return _gpu_by_torch(device)


def _gpu_by_torch(device: str | None) -> list[DoctorFinding]:
    import torch

    from node_agent.devices.gpu import probe, resolve

    where = resolve(device)
    found = probe(where)
    free, total = torch.cuda.mem_get_info(where)
    return [
        ok("gpu", f"{found.name}, compute capability {found.capability}, {found.processors} multiprocessors"),
        ok("driver", found.driver),
        ok("cuda", f"torch {torch.__version__} for CUDA {found.cuda}"),
        ok("gpu memory", f"{free // MIB} of {total // MIB} MiB free"),
    ]


def _memory(limits: Limits) -> list[DoctorFinding]:
    free, total, room = _available_bytes(), memory_bytes(), cgroup_room_bytes(_CGROUP, _CGROUPS)
    says = f"{free // MIB} of {total // MIB} MiB available"
    if room is not None and room < free:
        free, says = room, f"{room // MIB} MiB left in this process's control group ({says} on the host)"
    if free < limits.memory_bytes:
        least = limits.memory_bytes // MIB
        return [fail("memory", f"{says}, {least} are needed.", "End other programs, or give it more memory.")]
    return [ok("memory", says)]


def _available_bytes() -> int:
    if _MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def cgroup_room_bytes(membership: Path, root: Path) -> int | None:
    """Bytes left under the tightest limit of this process's control groups (version 1 or 2); None without a limit.

    In a container /proc/meminfo describes the whole host.
    """
    if not membership.exists():
        return None
    rooms: list[int] = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, limit, used = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            top, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        here = top / path.lstrip("/")
        for folder in (here, *(each for each in here.parents if each.is_relative_to(top))):
            said = (folder / limit).read_text().strip() if (folder / limit).exists() else "max"
            if said != "max" and (folder / used).exists():
                rooms.append(int(said) - int((folder / used).read_text()))
    return min(rooms, default=None)


def _disk(name: str, folder: Path, limits: Limits) -> DoctorFinding:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free // MIB} MiB free under {there}"
    if free < limits.disk_bytes:
        fix = "Free some space: a journal that cannot be written stops the node."
        return fail(name, f"{says}, {limits.disk_bytes // MIB} are needed.", fix)
    return ok(name, says)


def _self_test(device: str | None) -> list[DoctorFinding]:
    """Float arithmetic, where torch is installed."""
    if not _has_torch():
        return []
    from node_agent.devices import self_test

    report = self_test.run(device)
    checks = ", ".join(report.checks)
    return [ok("self-test", f"{checks} on {report.device}; numeric class {report.numeric_class}")]


def _exact(device: str | None) -> list[DoctorFinding]:
    where = choose(device)
    if where != "cpu" and not _has_torch():
        return []  # reported by _gpu
    found = ways.sound(where)
    lost = "".join(f"; {name} is unsound here: {why}" for name, why in found.unsound.items())
    return [ok("exact arithmetic", f"sound here: {', '.join(way.name for way in found.ways)}{lost}")]


def _confinement(models: Path) -> list[DoctorFinding]:
    executor = Executor(models)
    layers = executor.start()
    executor.close()
    says = f"jobs run in a process {layers}"
    return [warn("confinement", says, _FLOOR_MEANS) if layers.namespaces else ok("confinement", says)]
