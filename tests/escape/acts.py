"""Means of the probes: raw system calls, and attempts that take more than one line."""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_agent.execution.sandbox import syscalls

CALLS = """
kill 62 129, tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_open 434 434, tgkill 234 131,
pidfd_send_signal 424 424, pidfd_getfd 438 438, ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271,
setpriority 141 140, sched_setscheduler 144 119, sched_setaffinity 203 122, ioprio_set 251 30, kcmp 312 272,
execve 59 221, execveat 322 281, memfd_create 319 279, truncate 76 45, chmod 90 -, fchmod 91 52, fchmodat 268 53,
chown 92 -, fchownat 260 54, utimensat 280 88, setxattr 188 5, linkat 265 37, renameat2 316 276, unlinkat 263 35,
symlinkat 266 36, mknodat 259 33, mkdirat 258 34, openat2 437 437, mount 165 40, chroot 161 51, chdir 80 49,
name_to_handle_at 303 264, open_by_handle_at 304 265, open_tree 428 428, fsopen 430 430, inotify_init1 294 26,
inotify_add_watch 254 27, flock 73 32, sethostname 170 161, adjtimex 159 171, settimeofday 164 170,
connect 42 203, bind 49 200, socketpair 53 199, sendto 44 206, io_uring_setup 425 425, bpf 321 280,
perf_event_open 298 241, add_key 248 217, keyctl 250 219, userfaultfd 323 282, unshare 272 97, setns 308 268,
shmget 29 194, shmat 30 196, msgget 68 186, personality 135 92, setrlimit 160 164, setuid 105 146, capset 126 91,
mlock 149 228, setsid 112 157, setpgid 109 154, umask 95 166, socket 41 198, clone 56 220, clone3 435 435,
openat 257 56, mmap 9 222, fcntl 72 25, ioctl 16 29, prctl 157 167, prlimit64 302 261, pivot_root 155 41,
landlock_create_ruleset 444 444, landlock_restrict_self 446 446, mount_setattr 442 442, seccomp 317 277
"""
"""Numbers on x86-64 and aarch64, which has none of those marked -."""

NUMBERS = syscalls.table(CALLS, platform.machine())

HERE, WINCH = -100, 28
"""AT_FDCWD; a signal that processes ignore, unless they asked for it."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class Scene:
    """What there is to reach: files and processes of the user that the confined process runs as.

    Attributes:
        victim: a process, with bytes at `address`.
        folder: has `keys/node.key.json`, `keys/current`, a link to it, and `scratch`, with a file and a folder.
        disk: a block device. shared: a file in /dev/shm.
        port: a TCP socket that listens; UNIX sockets do at `folder`/socket and at the abstract name of `folder`.
        ipc_key, ipc_id: of a System V shared memory segment.
    """

    victim: int
    address: int
    folder: str
    model: str
    disk: str
    shared: str
    port: int
    host: str
    ipc_key: int
    ipc_id: int

    @property
    def key(self) -> str:
        """A file that its owner alone may read."""
        return f"{self.folder}/keys/node.key.json"

    @property
    def old(self) -> str:
        """A file in a folder that may be written to."""
        return f"{self.folder}/scratch/old"

    @property
    def new(self) -> str:
        """An unused name in that folder."""
        return f"{self.folder}/scratch/new"


def call(name: str, *given: Any) -> int:
    """A system call by its number. Raises OSError."""
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"{platform.machine()} has no {name}")
    result = int(_libc.syscall(NUMBERS[name], *(_argument(one) for one in given)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def _argument(one: Any) -> Any:
    return ctypes.c_long(one) if isinstance(one, int) else one.encode() if isinstance(one, str) else one


def there(what: object) -> None:
    """Raises FileNotFoundError if nothing was found."""
    if not what:
        raise FileNotFoundError(errno.ENOENT, "nothing of it is to be seen")


def read(path: str) -> bytes:
    """The first bytes of a file."""
    return os.read(os.open(path, os.O_RDONLY), 1 << 16)


def opened(path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor."""
    return os.open(path, flags, 0o600)


def end(made: int) -> None:
    """Ends a process that should not have come to be; its maker goes on."""
    if made == 0:
        os._exit(0)


def queue(name: str, *who: int) -> None:
    """A signal with a payload, whose sender may be made up."""
    call(name, *who, WINCH, (ctypes.c_int * 32)(WINCH, 0, -1))


def memory_of(scene: Scene, name: str) -> None:
    """Reads or writes another process's memory."""
    here = ctypes.create_string_buffer(8)
    vectors = [(ctypes.c_size_t * 2)(address, 8) for address in (ctypes.addressof(here), scene.address)]
    call(name, scene.victim, vectors[0], 1, vectors[1], 1, 0)


def echo(run: Callable[[str, list[str]], object]) -> None:
    """Runs a program that prints what a successful probe prints."""
    run("/bin/echo", ["echo", "-n", "open"])


def run_from_memory() -> None:
    """Runs a program that is in no file system."""
    made = os.memfd_create("x", 0)
    os.write(made, Path("/bin/echo").read_bytes())
    call("execveat", made, "", (ctypes.c_char_p * 4)(b"echo", b"-n", b"open", None), None, 0x1000)


def clone3() -> None:
    """A process by the call whose arguments no filter can read."""
    end(call("clone3", (ctypes.c_uint64 * 8)(0, 0, 0, 0, signal.SIGCHLD), 64))


def handle_of(path: str) -> Any:
    """A file's handle, which opens it whatever its path allows."""
    handle = (ctypes.c_uint32 * 34)(128)
    call("name_to_handle_at", HERE, path, handle, ctypes.byref(ctypes.c_int()), 0)
    return handle


def open_by_handle(scene: Scene) -> None:
    """Reads a file past the folders that it lies in."""
    os.read(call("open_by_handle_at", opened(scene.model), handle_of(scene.key), os.O_RDONLY), 1)


def socket_of(family: int, kind: int, protocol: int = 0) -> None:
    """A socket, closed again: to name one that was not, Python would ask for its addresses."""
    socket.socket(family, kind, protocol).close()


def connect(family: int, where: Any) -> None:
    """Reaches what listens."""
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.connect(where)


def bind() -> None:
    """Lets others reach this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.bind(("127.0.0.1", 0))


def send(scene: Scene) -> None:
    """A datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", scene.port))


def fill(path: str) -> None:
    """Writes a megabyte to a new file."""
    os.write(opened(path, os.O_CREAT | os.O_WRONLY), bytes(1 << 20))


def fcntl_of(path: str, how: int, what: Any) -> None:
    """A lock, a lease, or the process that is told of what happens to a file."""
    fcntl.fcntl(opened(path), how, what)


def many(path: str) -> None:
    """More descriptors than a job needs."""
    for _ in range(500):
        opened(path)


def mapped(size: int, flags: int) -> None:
    """Memory."""
    mmap.mmap(-1, size, flags, mmap.PROT_READ | mmap.PROT_WRITE)


def burn() -> None:
    """Takes more CPU time than the one second that probes have."""
    while time.process_time() < 1.2:
        pass


def perf() -> None:
    """A counter of what the kernel's scheduler does with this process."""
    call("perf_event_open", (ctypes.c_uint32 * 16)(1, 64, *[0] * 8, 0x61), 0, -1, -1, 0)


def inherited(scene: Scene) -> None:
    """A descriptor of a key that was open when this process was started."""
    links = (f"/proc/self/fd/{number}" for number in range(3, 64))
    there([link for link in links if os.path.lexists(link) and os.readlink(link).endswith("node.key.json")])


def limits_again() -> None:
    """The limits of this process, set anew."""
    most = (ctypes.c_uint64 * 2)(*resource.getrlimit(resource.RLIMIT_NOFILE))
    call("prlimit64", 0, resource.RLIMIT_NOFILE, most, None)


def watch(path: str) -> None:
    """Is told what others do with a file."""
    call("inotify_add_watch", call("inotify_init1", 0), path, 2)


SHARED_LOCK = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)


def mount(scene: Scene) -> None:
    """A file system over a folder."""
    call("mount", "none", f"{scene.folder}/scratch/empty", "tmpfs", 0, None)
