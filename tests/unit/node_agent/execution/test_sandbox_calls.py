"""The filter of system calls, run by an interpreter of its instructions: so for both kinds of processor on either."""

import struct
from errno import ENOSYS, EPERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.execution.sandbox import syscalls
from node_agent.execution.sandbox.syscalls import ALLOW, ERRNO, KILL, Instruction

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4242
NUMBERS = range(600)


def answer(filter_: list[Instruction], arch: int, number: int, arguments: tuple[int, ...] = (0,) * 6) -> int:
    """What the kernel does with a call: `struct seccomp_data` is number, architecture, where from, arguments."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *arguments)
    at, word = 0, 0
    while True:
        code, if_true, if_false, value = filter_[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (word,) = struct.unpack_from("<I", data, value)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                word &= value
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += if_true if word == value else if_false
            case 0x35:  # BPF_JMP | BPF_JGE | BPF_K
                at += if_true if word >= value else if_false
            case 0x06:  # BPF_RET | BPF_K
                return value
            case _:
                raise AssertionError(f"{code:#x} is in no filter of ours")


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_in_no_table_ends_the_process(machine: str) -> None:
    """Protects from a call that slips through between two others: of all numbers, those of the tables alone are let
    through or refused, and no number of another architecture. Covers: A50"""
    filter_, arch = syscalls.program(machine, PID, gpu=False), MACHINES[machine]
    free = set(syscalls.table(syscalls.ALLOWED, machine).values())
    refused = set(syscalls.table(syscalls.REFUSED, machine).values())
    bounds = ", ".join(f"{bound.name} {bound.numbers}" for bound in syscalls.bounds(PID))
    looked_at = set(syscalls.table(bounds, machine).values())
    assert not free & refused
    assert not free & looked_at - refused
    for number in NUMBERS:
        said = answer(filter_, arch, number)
        if number in free:
            assert said == ALLOW
        elif number in refused:
            assert said == ERRNO | EPERM
        elif number == 435:
            assert said == ERRNO | ENOSYS
        elif number not in looked_at:
            assert said == KILL, number
        assert answer(filter_, 0x40000003, number) == KILL  # i386
        assert answer(filter_, arch, number | 0x40000000) == KILL  # x32


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from((0, 1, 2, 3, PID, 0x22, 0x3D0F00)), min_size=6, max_size=6))
def test_arguments_are_held_to_their_bounds(arguments: list[int]) -> None:
    """Protects from a new process, a signal to another, limits set anew, whatever the other arguments are."""
    given_ = tuple(arguments)
    for machine, arch in MACHINES.items():
        filter_ = syscalls.program(machine, PID, gpu=False)
        calls = {bound.name: syscalls.table(f"{bound.name} {bound.numbers}", machine) for bound in syscalls.bounds(PID)}
        said = {name: answer(filter_, arch, numbers[name], given_) for name, numbers in calls.items() if numbers}
        first, low = given_[0], [one & 0xFFFFFFFF for one in given_]
        assert (said["clone"] == ALLOW) == (first & 0x7E030080 == 0x10000)
        assert (said["tgkill"] == ALLOW) == (low[0] == PID)
        assert (said["prlimit64"] == ALLOW) == (low[0] in (0, PID) and given_[2] == 0)
        assert (said["openat"] == ALLOW) == (low[2] & 0x200 == 0)
        assert (said["ioctl"] == ALLOW) == (low[1] in (0x5401, 0x5451, 0x541B))
        assert (said["fcntl"] == ALLOW) == (low[1] in (0, 1, 2, 3, 4, 1030))
        assert set(said.values()) <= {ALLOW, ERRNO | EPERM, ERRNO | ENOSYS}


def test_a_gpu_opens_what_is_listed(machine: str) -> None:
    """Protects hosts with a GPU from more than its driver needs: what is not listed fails."""
    filter_, arch = syscalls.program(machine, PID, gpu=True), MACHINES[machine]
    more = syscalls.table(f"{syscalls.ALLOWED_FOR_CUDA}, ioctl 16 29, mmap 9 222", machine)
    plain = syscalls.program(machine, PID, gpu=False)
    opened = {number for number in NUMBERS if answer(filter_, arch, number) == ALLOW != answer(plain, arch, number)}
    assert opened <= set(more.values())
    assert KILL not in {answer(filter_, arch, number) for number in NUMBERS}
