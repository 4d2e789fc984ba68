"""What a confined process may see and use: it is shown nothing else, by either layer."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import contracts
import node_agent
from node_agent.execution.model_files import ModelFiles

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_MACHINE = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_PROC = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo")
_DEVICES = ("/dev/null", "/dev/urandom")
"""Without /dev/zero: memory mapped from it is counted by no limit of the kernel."""
_GPU_MACHINE = ("/sys/bus/pci/devices", "/sys/devices/system/memory", "/sys/module/nvidia", "/sys/module/nvidia_uvm")
_GPU_PROC = ("/proc/driver/nvidia", "/proc/devices", "/proc/modules")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-caps")
"""Besides /dev/nvidia0 and so on. gVisor's nvproxy, too, computes with no more; the last is for parts of a GPU."""


_HEADROOM_BYTES, _TIMES_MODEL = 4 << 30, 8
"""Of memory: for Python, torch and the orders under way; and for each byte of a model, which in floats is read as bf16,
kept as fp32, and copied meanwhile."""


@dataclass(frozen=True)
class Needs:
    """Of one process. `models`: the files that it may read; `gpu`: whether it uses NVIDIA's devices."""

    models: tuple[Path, ...] = ()
    torch: bool = False
    gpu: bool = False

    def grown(self, files: ModelFiles, *, torch: bool, gpu: bool) -> "Needs":
        """These, and one model's."""
        models = dict.fromkeys((*self.models, files.weights, files.tokenizer, files.config))
        return Needs(tuple(models), self.torch or torch, self.gpu or gpu)

    @property
    def files(self) -> list[str]:
        """The interpreter, its packages, the system's libraries, and the models. Not the folder that Assay lies in,
        where a network to play with keeps its keys."""
        packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
        own = [str(Path(str(package.__file__)).parent) for package in (contracts, node_agent)]
        machine = [*_MACHINE, *(self._gpu() if self.gpu else ())]
        return _there([*_LIBRARIES, *_interpreter(), *packages, *libraries, *own, *machine, *map(str, self.models)])

    @property
    def proc(self) -> list[str]:
        """Of /proc: what tells of the process itself, and of the machine."""
        return _there([*_PROC, *(_GPU_PROC if self.gpu else ())])

    @property
    def devices(self) -> list[str]:
        """The devices that may be opened, for writing too."""
        gpus = [*_GPU_DEVICES, *sorted(glob("/dev/nvidia[0-9]*"))] if self.gpu else []
        return _there([*_DEVICES, *gpus])

    @property
    def memory_bytes(self) -> int:
        """The most that it may allocate."""
        return _HEADROOM_BYTES + _TIMES_MODEL * sum(path.stat().st_size for path in self.models)

    @property
    def cpu_seconds(self) -> int:
        """The most CPU time, a week of all cores; then it is ended, and the next job gets a new process."""
        return 7 * 24 * 3600 * (os.cpu_count() or 1)

    @property
    def threads(self) -> int:
        """The most that it may have: kernels, OpenMP and tokenizers each start about one for each core."""
        return 64 + 8 * (os.cpu_count() or 1)

    def _gpu(self) -> Iterator[str]:
        yield from (*_GPU_MACHINE, *glob("/usr/local/cuda*"), "/usr/local/nvidia")
        yield from (os.path.realpath(path) for path in glob("/sys/bus/pci/drivers/nvidia/*:*"))


def _interpreter() -> Iterator[str]:
    """Python's program, by each of its names, and its library; of a virtual environment too."""
    yield f"{sys.prefix}/pyvenv.cfg"
    yield from (f"{prefix}/{name}" for prefix in (sys.prefix, sys.base_prefix) for name in ("lib", "lib64"))
    program = sys.executable
    yield program
    while os.path.islink(program):
        program = os.path.normpath(os.path.join(os.path.dirname(program), os.readlink(program)))
        yield program


def _there(paths: Sequence[str]) -> list[str]:
    """Those that exist, without those that lie below another; a folder goes before what is below it."""
    found: list[str] = []
    for path in sorted({path.rstrip("/") for path in paths if os.path.isabs(path) and os.path.exists(path)}):
        if not any(path.startswith(f"{other}/") for other in found):
            found.append(path)
    return found
