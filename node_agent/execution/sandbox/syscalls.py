"""The system calls that a confined process may make, and the filter that ends it at any other.

seccomp: https://docs.kernel.org/userspace-api/seccomp_filter.html. Numbers are those of the kernel's
`arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h`, whose aarch64 has no calls marked -.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOSYS, EPERM

_MACHINES = ("x86_64", "aarch64")
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_X32_BIT = 0x40000000
_SET_MODE_FILTER = 1

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06

ALLOWED = """
read 0 63, write 1 64, close 3 57, lseek 8 62, pread64 17 67, readv 19 65, writev 20 66, fadvise64 221 223,
stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17,
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72,
mprotect 10 226, munmap 11 215, brk 12 214, mremap 25 216, madvise 28 233,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sigaltstack 131 132, restart_syscall 219 128,
futex 202 98, set_robust_list 273 99, rseq 334 293, set_tid_address 218 96, membarrier 324 283, sched_yield 24 124,
arch_prctl 158 -, getcpu 309 168, getrandom 318 278, getrlimit 97 163, exit 60 93, exit_group 231 94,
nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -,
times 100 153, getrusage 98 165, getpid 39 172, gettid 186 178, getppid 110 173, getuid 102 174, geteuid 107 175,
getgid 104 176, getegid 108 177, uname 63 160, sysinfo 99 179
"""
"""By name, with their numbers on x86-64 and aarch64."""

ALLOWED_FOR_CUDA = """
dup 32 23, eventfd2 290 19, pipe2 293 59, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
mlock 149 228, munlock 150 229, mincore 27 232, get_mempolicy 239 236, set_mempolicy 238 237, mbind 237 235,
statfs 137 43, fstatfs 138 44, msync 26 227, sched_get_priority_max 146 125, sched_get_priority_min 147 126
"""
"""What NVIDIA's driver needs besides. `ioctl` is free then: no descriptor but those of its devices has any to fear."""

REFUSED = """
mkdir 83 -, mkdirat 258 34, socket 41 198, vfork 58 -, sched_setaffinity 203 122
"""
"""What libraries try and do without: torch makes a folder that is there, glibc asks nscd for a name, platform runs a
program, OpenMP pins threads. They fail with EPERM; clone3 with ENOSYS, so that glibc takes clone, which can be read."""

_CLONE3 = 435


@dataclass(frozen=True)
class Bound:
    """An allowed call's argument: under this mask one of these values, else the call fails with `errno`."""

    name: str
    numbers: str
    argument: int
    mask: int
    values: tuple[int, ...]
    errno: int = EPERM


_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020080
_MAP_GROWSDOWN, _MAP_SHARED, _MAP_PRIVATE, _MAP_VALIDATE, _MAP_ANONYMOUS = 0x100, 1, 2, 3, 0x20
_O_TRUNC = 0x200
_ALL = 0xFFFFFFFF


def bounds(pid: int) -> tuple[Bound, ...]:
    """The arguments that are looked at, of a process with this id. A call may have several; all must be in bounds."""
    kinds_of_memory = (_MAP_SHARED, _MAP_PRIVATE, _MAP_VALIDATE, _MAP_PRIVATE | _MAP_ANONYMOUS)
    return (
        Bound("clone", "56 220", 0, _CLONE_THREAD | _CLONE_NEW, (_CLONE_THREAD,)),  # threads only
        Bound("mmap", "9 222", 3, 0x2F | _MAP_GROWSDOWN, kinds_of_memory),  # no memory that RLIMIT_DATA does not count
        Bound("open", "2 -", 1, _O_TRUNC, (0,)),  # Landlock knows no truncation before its third ABI
        Bound("openat", "257 56", 2, _O_TRUNC, (0,)),
        Bound("fcntl", "72 25", 1, _ALL, (0, 1, 2, 3, 4, 1030)),  # F_DUPFD to F_SETFL, no F_SETOWN, which sends signals
        Bound("ioctl", "16 29", 1, _ALL, (0x5401, 0x5451, 0x541B)),  # TCGETS, FIOCLEX, FIONREAD
        Bound("prctl", "157 167", 0, _ALL, (15, 16, 0x53564D41)),  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
        Bound("prlimit64", "302 261", 0, _ALL, (0, pid)),
        Bound("prlimit64", "302 261", 2, _ALL, (0,)),  # sets nothing: a null pointer, in both its halves
        Bound("prlimit64", "302 261", 2 + HIGH, _ALL, (0,)),
        Bound("tgkill", "234 131", 0, _ALL, (pid,)),  # what abort() does
        Bound("sched_getaffinity", "204 123", 0, _ALL, (0, pid), ENOSYS),  # glibc asks for a thread's, and goes on
    )


HIGH = 0x100
"""Added to an argument's number: its upper 32 bits."""

Instruction = tuple[int, int, int, int]


def table(text: str, machine: str) -> dict[str, int]:
    """Numbers of a table's calls on a machine, by name."""
    column = 1 + _MACHINES.index(machine)
    rows = [row.split() for row in text.replace("\n", " ").split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def program(machine: str, pid: int, *, gpu: bool) -> list[Instruction]:
    """The filter of one process. With a GPU, what is not named fails with EPERM, since its driver was not tried here.

    Returns (code, jump if true, jump if false, value) for each instruction.
    """
    free = table(ALLOWED, machine) | (table(ALLOWED_FOR_CUDA, machine) if gpu else {})
    looked_at = [bound for bound in bounds(pid) if not (gpu and bound.name in ("ioctl", "mmap"))]
    if gpu:
        free |= table("ioctl 16 29, mmap 9 222", machine)
    by_number: dict[int, list[Bound]] = {}
    for bound in looked_at:
        for number in table(f"{bound.name} {bound.numbers}", machine).values():
            by_number.setdefault(number, []).append(bound)
    made: list[Instruction] = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, KILL),
    ]
    for number in free.values():
        made += _at(number, [(_RETURN, 0, 0, ALLOW)])
    for number in table(REFUSED, machine).values():
        made += _at(number, [(_RETURN, 0, 0, ERRNO | EPERM)])
    made += _at(_CLONE3, [(_RETURN, 0, 0, ERRNO | ENOSYS)])
    for number, all_of in by_number.items():
        made += _at(number, [step for bound in all_of for step in _held(bound)] + [(_RETURN, 0, 0, ALLOW)])
    return [*made, (_RETURN, 0, 0, ERRNO | EPERM if gpu else KILL)]


def _at(number: int, then: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(then), number), *then]


def _held(bound: Bound) -> Iterator[Instruction]:
    """Returns the error unless the argument is in bounds."""
    word = 16 + 8 * (bound.argument & ~HIGH) + (4 if bound.argument & HIGH else 0)  # both machines are little-endian
    yield (_LOAD, 0, 0, word)
    yield (_AND, 0, 0, bound.mask)
    for left, value in zip(reversed(range(len(bound.values))), bound.values, strict=True):
        yield (_EQUAL, left + 1, 0, value)
    yield (_RETURN, 0, 0, ERRNO | bound.errno)


def load(instructions: list[Instruction], machine: str) -> None:
    """Sets a filter for this thread and all it starts. Raises OSError."""
    packed = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    described = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP[machine], _SET_MODE_FILTER, 0, described) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
