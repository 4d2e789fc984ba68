"""A file system that is really full: a tmpfs of a megabyte or two, made as root; told apart from a pretended one.

Where no file system can be mounted (not root, or a container without the right), a folder stands in whose processes
may write no file beyond a size (RLIMIT_FSIZE): the kernel then refuses the write with EFBIG where a full disk says
ENOSPC. `is_real` says which it is; the tests hold for both.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FILLER = "filler"
_STAND_IN_BYTES = 24_576
"""Below what databases, journals and the blob of a test write to, above the logs of their processes."""


@dataclass
class SmallDisk:
    """`folder` lies on it."""

    folder: Path
    is_real: bool

    def fill(self, *pids: int) -> None:
        """Takes all room, for everybody on a real one, for these processes else."""
        if not self.is_real:
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (_STAND_IN_BYTES, resource.RLIM_INFINITY))
            return
        with (self.folder / _FILLER).open("wb", buffering=0) as filler:
            for size in (65_536, 4_096, 512, 1):
                try:
                    while filler.write(bytes(size)):
                        pass
                except OSError:
                    continue  # full at this grain

    def free(self, *pids: int) -> None:
        """Gives the room back."""
        if self.is_real:
            (self.folder / _FILLER).unlink()
        for pid in pids if not self.is_real else ():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A folder on a disk of its own."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "assay-test", str(folder)]
    is_real = (
        os.geteuid() == 0
        and "ASSAY_NO_MOUNT" not in os.environ
        and subprocess.run(["mount", *options], capture_output=True).returncode == 0
    )
    try:
        yield SmallDisk(folder, is_real)
    finally:
        if is_real:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
