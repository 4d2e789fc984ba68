"""What a process can give up for good, by two doors of the Linux kernel: Landlock (files) and seccomp (system calls).

Landlock: https://docs.kernel.org/userspace-api/landlock.html. Its domain also keeps the process from looking into
others, /proc/<pid>/environ included. seccomp: https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import contracts
import node_agent
from node_agent.execution.errors import SandboxUnavailable

# Landlock's rights over files, by their bits: execute, write_file, read_file, read_dir, ... refer, truncate, ioctl_dev.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR  # execute: to map libraries is to read them, to run them seccomp forbids
_DEVICE = _READ | _WRITE_FILE | 1 << 15
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights an ABI of Landlock knows; from 5 on there are 16."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS, _SECCOMP_SET_MODE_FILTER = 38, 1
_RET_ALLOW, _RET_EPERM, _RET_KILL = 0x7FFF0000, 0x00050001, 0x80000000

_FORBIDDEN = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "accept4": 288,
        "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
        "kill": 62, "tkill": 200, "unshare": 272, "setns": 308, "add_key": 248, "keyctl": 250, "bpf": 321,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "accept": 202, "bind": 200, "listen": 201, "accept4": 242,
        "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
        "kill": 129, "tkill": 130, "unshare": 97, "setns": 268, "add_key": 217, "keyctl": 219, "bpf": 280,
    },
}  # fmt: skip
_FORBIDDEN_EVERYWHERE = {"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_getfd": 438}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_X32_BIT = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def confine(readable: Iterable[Path]) -> None:
    """Gives up network, other programs, other processes and every file but these, for this thread and all it starts.

    To be called before there are other threads. What is below the given paths, this Python and the system's libraries
    may be read, devices used; nothing may be written.

    Raises:
        SandboxUnavailable: this kernel or machine has not got what it takes. Nothing of a job may run then.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _FORBIDDEN:
        raise _unavailable(f"{sys.platform} on {machine}")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _call("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _drop_capabilities(machine)
    _restrict_files([*readable, *_own_paths()])
    _restrict_calls(machine)


def _own_paths() -> list[Path]:
    """What Python and its packages read, Assay's own among them; not the folder that Assay lies in, where a network to
    play with keeps its keys."""
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", sys.prefix, sys.base_prefix]
    own = [str(Path(str(package.__file__)).parent) for package in (contracts, node_agent)]
    return [Path(each) for each in [*system, *own] if Path(each).exists()]


def _drop_capabilities(machine: str) -> None:
    """Where root starts it: with CAP_PERFMON the kernel does not ask Landlock before it shows another's environment."""
    header, none = struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)
    _call("capset", _libc.syscall(_CAPSET[machine], header, none))


def _restrict_files(readable: Sequence[Path]) -> None:
    abi = _call("landlock", _libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))
    handled = (1 << _RIGHTS_OF_ABI.get(abi, 16)) - 1
    attributes = struct.pack("=Q", handled)
    ruleset = _call("landlock", _libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    for path in readable:
        _allow(ruleset, path, _READ & handled)
    _allow(ruleset, Path("/dev"), _DEVICE & handled)
    _call("landlock", _libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not path.is_dir():
        rights &= _EXECUTE | _WRITE_FILE | _READ_FILE
    rule = struct.pack("=Qi", rights, opened)
    _call("landlock", _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    os.close(opened)


def _restrict_calls(machine: str) -> None:
    """Loads a filter: another architecture's calls end the process, forbidden ones fail with EPERM."""
    forbidden = sorted({**_FORBIDDEN[machine], **_FORBIDDEN_EVERYWHERE}.values())
    load, jump_equal, jump_greater_equal, give = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_equal, 1, 0, _AUDIT_ARCH[machine]),
        (give, 0, 0, _RET_KILL),
        (load, 0, 0, 0),  # seccomp_data.nr
        (jump_greater_equal, 0, 1, _X32_BIT),
        (give, 0, 0, _RET_KILL),
    ]
    for position, number in enumerate(forbidden):
        program.append((jump_equal, len(forbidden) - position, 0, number))
    program += [(give, 0, 0, _RET_ALLOW), (give, 0, 0, _RET_EPERM)]
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    described = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    _call("seccomp", _libc.syscall(_SECCOMP[machine], _SECCOMP_SET_MODE_FILTER, 0, described))


def _call(door: str, result: int) -> int:
    if result < 0:
        raise _unavailable(f"{door}: {os.strerror(ctypes.get_errno())}")
    return result


def _unavailable(why: str) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"This machine cannot confine what runs jobs ({why}).",
        way_out="Use Linux 5.13 or later with Landlock and seccomp, on x86-64 or ARM64.",
        why=why,
    )
