"""What a process gives up for good, whatever namespaces it has: system calls, files, limits, capabilities.

Landlock: https://docs.kernel.org/userspace-api/landlock.html. Its domain also keeps the process from looking into
others, /proc/<pid>/environ included. What it cannot do on an older kernel (truncation, devices, TCP, signals, from its
third, fifth, fourth and sixth ABI on), the filter of `syscalls` refuses by itself.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from node_agent.execution.errors import SandboxUnavailable
from node_agent.execution.sandbox import syscalls
from node_agent.execution.sandbox.needs import Needs

_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files an ABI of Landlock knows; from 5 on there are 16."""
_NET_FROM_ABI, _SCOPES_FROM_ABI = 4, 6
_BIND_AND_CONNECT_TCP, _SOCKETS_AND_SIGNALS = 0b11, 0b11

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 28, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL, _ALL_SECUREBITS_LOCKED = 4, 0xEF
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION, _CAP_SETPCAP = 0x20080522, 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True)
class Layers:
    """What holds: `landlock`, its ABI; `namespaces`, why the process has none of its own, empty where it has them."""

    landlock: int
    namespaces: str

    def __str__(self) -> str:
        upper = f"without namespaces of its own ({self.namespaces})" if self.namespaces else "in namespaces of its own"
        floor = f"seccomp, Landlock (ABI {self.landlock}), limits and no capability"
        return f"without network, keys or other files: {floor}, {upper}"


def confine(needs: Needs) -> Layers:
    """Gives up all but what is needed, for this process and every thread that it starts.

    Raises:
        SandboxUnavailable: this kernel or machine has not got what it takes, or a thread runs already, which would
            keep everything. Nothing of a job may run then.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _CAPSET:
        raise _unavailable(f"{sys.platform} on {machine}")
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise _unavailable(f"{threads - 1} threads of a library run before it is confined, and would stay outside")
    for which, most in limits(needs).items():
        resource.setrlimit(which, (most, most))
    _call("no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    hide()
    drop_capabilities(machine)
    landlock = restrict_files(needs)
    restrict_calls(machine, needs)
    _see_that_it_holds()
    return Layers(landlock, os.environ["ASSAY_NAMESPACES"])


def limits(needs: Needs) -> dict[int, int]:
    """By resource. The keeper counts threads too and, as a GPU's driver maps more than it uses, memory beside a GPU."""
    most = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 1024 if needs.gpu else 256,
        resource.RLIMIT_CPU: needs.cpu_seconds,
    }
    return most if needs.gpu else most | {resource.RLIMIT_DATA: needs.memory_bytes}


def hide() -> None:
    """No other process of this user may look into this one, and no core is dumped."""
    _call("dumpable", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def drop_capabilities(machine: str) -> None:
    """Drops all capabilities, the bounding set too; `no_new_privs` already rules out those of setuid programs."""
    _call("ambient capabilities", _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    if _has_capability(_CAP_SETPCAP):  # a process without it has no other either, and no_new_privs keeps it so
        _call("securebits", _libc.prctl(_PR_SET_SECUREBITS, _ALL_SECUREBITS_LOCKED, 0, 0, 0))
        for capability in range(_last_capability() + 1):
            _call("bounding set", _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _call("capset", _libc.syscall(_CAPSET[machine], header, bytes(24)))


def _has_capability(number: int) -> bool:
    with open("/proc/self/status") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(effective >> number & 1)


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def restrict_files(needs: Needs) -> int:
    """Leaves files that may be read, and devices. Nothing is written, made, removed or run. Returns the ABI."""
    abi = landlock_abi()
    handled = rights(abi)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    ruleset = _call("Landlock", _libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    _allow(ruleset, [*needs.files, *needs.proc], (_READ_FILE | _READ_DIR) & handled[0])
    _allow(ruleset, needs.devices, (_READ_FILE | _READ_DIR | _WRITE_FILE | _IOCTL_DEV) & handled[0])
    _call("Landlock", _libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return abi


def rights(abi: int) -> list[int]:
    """What a ruleset denies unless it is allowed: rights over files, over TCP, and over what is outside its domain."""
    more = [_BIND_AND_CONNECT_TCP] * (abi >= _NET_FROM_ABI) + [_SOCKETS_AND_SIGNALS] * (abi >= _SCOPES_FROM_ABI)
    return [(1 << _RIGHTS_OF_ABI.get(abi, 16)) - 1, *more]


def landlock_abi() -> int:
    """This kernel's ABI. Raises SandboxUnavailable where it has no Landlock, or was started without."""
    return _call("Landlock", _libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))


def _allow(ruleset: int, paths: Sequence[str], rights: int) -> None:
    for path in paths:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        of_this = rights if os.path.isdir(path) else rights & ~_READ_DIR
        rule = struct.pack("=Qi", of_this, opened)
        _call(f"Landlock, {path}", _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
        if path != "/proc/self":  # stays open: the rule is about an inode that the kernel would forget
            os.close(opened)


def restrict_calls(machine: str, needs: Needs) -> None:
    """Leaves the system calls of `syscalls`; any other ends the process."""
    try:
        syscalls.load(syscalls.program(machine, os.getpid(), gpu=needs.gpu), machine)
    except OSError as error:
        raise _unavailable(f"seccomp: {error.strerror}") from error


def _see_that_it_holds() -> None:
    """Checks by trying, whatever this kernel said: a file, and a call that fails without ending the process."""
    for door, try_it in (("Landlock", lambda: os.listdir("/")), ("seccomp", lambda: os.mkdir("/proc"))):
        try:
            try_it()
        except PermissionError:
            continue
        except OSError as error:
            raise _unavailable(f"{door}: it was set, and does not hold: {error.strerror}") from error
        raise _unavailable(f"{door}: it was set, and does not hold")


def _call(door: str, result: int) -> int:
    if result < 0:
        raise _unavailable(f"{door}: {os.strerror(ctypes.get_errno())}")
    return result


def _unavailable(why: str) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"This machine cannot confine what runs jobs ({why}).",
        way_out="Use Linux 5.13 or later on x86-64 or ARM64, built with seccomp and Landlock; `landlock` must be among "
        "those of /sys/kernel/security/lsm (boot with lsm=landlock,...), and a container must not forbid either.",
        why=why,
    )
