"""The exact engine's kernels: `kernels.c`, compiled once for each instruction set when Assay is installed.

They need numpy and a CPU, but no torch. This file loads the sets that this host can run and describes the C structs;
`llama/kernels.py` and `encoder/kernels.py` are the models. All sets compute the same integers; `ways.py` measures which
is fastest.

`ASSAY_KERNELS` limits a process to the sets that it names, `ASSAY_THREADS` to a number of threads: for tests, for hosts
that share their cores, and to try what another kind of CPU would run.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Integers
from node_agent.execution.exact.container import Matrix as FileMatrix

FOLDER = Path(__file__).parent
SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"

NEEDS: Mapping[str, frozenset[str]] = {
    "avx512vnni": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni", "bmi2", "fma"}),
    "avx2": frozenset({"avx2", "bmi1", "bmi2", "fma", "f16c", "movbe", "abm"}),
    "portable": frozenset(),
}
"""CPU flags that a set needs, as in /proc/cpuinfo; usually the fastest set comes first."""

CACHE_LINE_BYTES = 64
_CPUINFO = Path("/proc/cpuinfo")


class KernelMatrix(Structure):
    """`KernelMatrix` of kernels.c."""

    _fields_ = (
        ("weight", c_void_p),
        ("multiplier", c_void_p),
        ("bias", c_void_p),
        ("outputs", c_int64),
        ("inputs", c_int64),
        ("exponent", c_int64),
    )


class Sizes(Structure):
    """`Sizes` of kernels.c."""

    _fields_ = (
        *((name, c_int64) for name in ("width", "inner", "heads", "kv_heads", "head_dim")),
        *((name, c_int64) for name in ("query_max", "key_max", "epsilon", "window", "head_epsilon")),
        *((name, c_void_p) for name in ("exp2", "curve", "cos", "sin")),
    )


class Room(Structure):
    """`Room` of kernels.c."""

    _fields_ = (
        *((name, c_void_p) for name in ("q", "e", "wide", "query", "query_e", "mixed", "row", "scores", "exponents")),
        ("row_size", c_int64),
        ("positions", c_int64),
    )


PAGE, QUERIES = 16, 16
"""Positions of a page, and queries that are answered together, of attention.h."""


class Kernels:
    """One compiled set with a number of threads. Calls must not overlap in a process.

    Attributes:
        name: as in NEEDS.
        threads: how many it computes with.
    """

    def __init__(self, name: str, threads: int) -> None:
        path = library(name)
        if not path.is_file():
            raise SelfTestFailed(
                f"{path.name} was not built when Assay was installed.",
                way_out="Install again: `pip install .` compiles the kernels.",
                check="kernels",
                expected=str(path),
                found=None,
            )
        self.name = name
        self._library = ctypes.CDLL(str(path))
        self._library.use_threads.restype, self._library.use_threads.argtypes = c_int64, (c_int64,)
        self.threads = int(self._library.use_threads(threads))

    @property
    def way(self) -> str:
        """Its name, for display."""
        return f"{self.name} kernels, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def take_turn(self) -> None:
        """Sets the number of threads; call it before computing, since another model may have changed it."""
        self._library.use_threads(self.threads)

    def function(self, name: str, *kinds: Any) -> Any:
        """A function of the set by its name, without a result, with these types of arguments."""
        found = getattr(self._library, name)
        found.restype, found.argtypes = None, kinds
        return found

    def block_bytes(self, head_dim: int) -> int:
        """Bytes of the past of one key/value head in one layer, for PAGE positions."""
        found = self._library.block_bytes
        found.restype, found.argtypes = c_int64, (c_int64,)
        return int(found(head_dim))

    def products(self, q: NDArray[np.int16], weight: NDArray[np.int8]) -> NDArray[np.int64]:
        """(T, I) activations times an (O, I) matrix: (T, O)."""
        sums = np.empty((q.shape[0], weight.shape[0]), np.int64)
        self.take_turn()
        run = self.function("products", c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p)
        q, weight = np.ascontiguousarray(q), np.ascontiguousarray(weight)
        run(address(q), address(weight), *q.shape, weight.shape[0], address(sums))
        return sums

    def square_roots(self, squares: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integer square roots, rounded down, of integers in 2^60..2^62 - 1."""
        roots = np.empty_like(squares)
        self.function("square_roots", c_void_p, c_int64, c_void_p)(address(squares), len(squares), address(roots))
        return roots

    def row_roots(self, rows: NDArray[np.uint8], block_bytes: int) -> NDArray[np.uint8]:
        """The (R, 32) roots of (R, bytes) rows, each a keccak list of its blocks (COURT.md).

        Raises ValueError for more than 1,024 blocks a row, or of more than 256 bytes.
        """
        if not 0 < rows.shape[1] <= 1_024 * block_bytes or not 0 < block_bytes <= 256:
            raise ValueError(f"rows of {rows.shape[1]} bytes in blocks of {block_bytes} are not what is hashed here")
        roots = np.empty((len(rows), 32), np.uint8)
        self.take_turn()
        run = self.function("keccak_rows", c_void_p, c_int64, c_int64, c_int64, c_void_p)
        rows = np.ascontiguousarray(rows)
        run(address(rows), *rows.shape, block_bytes, address(roots))
        return roots

    def list_root(self, digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The (32,) root of a keccak list of (R, 32) digests, at least one."""
        level, root = np.array(digests, np.uint8, order="C"), np.empty(32, np.uint8)
        self.function("keccak_list", c_void_p, c_int64, c_void_p)(address(level), len(level), address(root))
        return root


def library(name: str) -> Path:
    """The path of a built set."""
    return FOLDER / f"kernels-{name}{SUFFIX}"


def available() -> list[str]:
    """The sets that this CPU can run and ASSAY_KERNELS allows, in order of NEEDS. Raises SelfTestFailed if none is."""
    flags = cpu_flags()
    able = [name for name, needs in NEEDS.items() if needs <= flags and (name == "portable" or _is_x86())]
    allowed = os.environ.get("ASSAY_KERNELS")
    found = [name for name in able if allowed is None or name in allowed.split(",")]
    if not found:
        raise SelfTestFailed(
            f"ASSAY_KERNELS is {allowed!r}; this CPU can run {', '.join(able)}.",
            way_out="Name one of these, or unset it.",
            check="kernels",
            expected=able,
            found=allowed,
        )
    return found


@cache
def loaded(name: str, threads: int) -> Kernels:
    """A set with a number of threads, loaded once a process."""
    return Kernels(name, threads)


def thread_counts() -> tuple[int, ...]:
    """The numbers of threads to try: ASSAY_THREADS, else all cores that this process may use, and one.

    One is faster where other programs keep the cores busy, because threads then wait for each other.
    """
    most = usable_threads()
    return (most,) if "ASSAY_THREADS" in os.environ or most == 1 else (most, 1)


def usable_threads() -> int:
    """ASSAY_THREADS, else the number of cores that this process may use. Raises SelfTestFailed for a bad setting."""
    named = os.environ.get("ASSAY_THREADS")
    if named is not None:
        if not named.isascii() or not named.isdigit() or not 1 <= int(named) <= 64:
            raise SelfTestFailed(
                f"ASSAY_THREADS is {named!r}.",
                way_out="Set it to a number from 1 to 64, or unset it.",
                check="threads",
                expected="1 to 64",
                found=named,
            )
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def cpu_flags() -> frozenset[str]:
    """The CPU's flags, as Linux names them; empty on other systems, which run the portable set."""
    if not _CPUINFO.exists():
        return frozenset()
    lines = _CPUINFO.read_text().splitlines()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def address(values: NDArray[Any]) -> int:
    """The address of an array's first element; the caller keeps the array alive."""
    assert values.flags.c_contiguous
    return int(values.__array_interface__["data"][0])


def aligned(count: int, dtype: type[np.generic]) -> NDArray[Any]:
    """An array that starts at a cache line, so that vector loads do not cross lines."""
    size = np.dtype(dtype).itemsize * count
    room = np.empty(size + CACHE_LINE_BYTES, np.uint8)
    start = -address(room) % CACHE_LINE_BYTES
    return room[start : start + size].view(dtype)


class Kept:
    """Keeps arrays alive that C structs point into."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def pointer(self, values: Integers, dtype: type[np.generic]) -> int:
        """The address of an array of this type; of a copy, where it has another type or a layout that C cannot read."""
        array = np.require(values, dtype, ("C_CONTIGUOUS", "ALIGNED"))
        self._arrays.append(array)
        return address(array)

    def matrix(self, matrix: FileMatrix) -> KernelMatrix:
        """A matrix in the struct of kernels.c."""
        outputs, inputs = matrix.weight.shape
        return KernelMatrix(
            weight=self.pointer(matrix.weight, np.int8),
            multiplier=self.pointer(matrix.multiplier, np.int32),
            bias=None if matrix.bias is None else self.pointer(matrix.bias, np.int32),
            outputs=outputs,
            inputs=inputs,
            exponent=int(matrix.exponent),
        )


def sizes_of(
    c: Any, kept: Kept, exp2: Integers, curve: Integers, cos: Integers | None = None, sin: Integers | None = None
) -> Sizes:
    """The struct `Sizes` of kernels.c; `curve` is a Llama's sigmoid table, or an encoder's normal table."""
    return Sizes(
        width=c.hidden_size,
        inner=c.intermediate_size,
        heads=c.num_attention_heads,
        kv_heads=getattr(c, "num_key_value_heads", c.num_attention_heads),
        head_dim=c.head_dim,
        query_max=(1 << (c.query_bits - 1)) - 1,
        key_max=(1 << (c.key_bits - 1)) - 1,
        epsilon=c.epsilon,
        window=getattr(c, "window", 0),
        head_epsilon=getattr(c, "head_epsilon", 0),
        exp2=kept.pointer(exp2, np.int32),
        curve=kept.pointer(curve, np.int32),
        cos=None if cos is None else kept.pointer(cos, np.int16),
        sin=None if sin is None else kept.pointer(sin, np.int16),
    )


class Rooms:
    """Working memory of the kernels, grown as needed.

    Args:
        sizes: of the model.
        threads: the number that share it.
    """

    def __init__(self, sizes: Sizes, threads: int) -> None:
        heads = sizes.heads * sizes.head_dim
        self._reads = max(sizes.width, heads, sizes.inner)
        self._gives = max((sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim, 2 * sizes.inner)
        self._heads, self._number, self._threads = heads, sizes.heads, threads
        self._rows = self._positions = 0
        self._room = Room()

    def room(self, rows: int, positions: int) -> Room:
        """Memory for a number of rows, of texts that see at most so many positions."""
        positions = -(-positions // PAGE) * PAGE
        if rows > self._rows or positions > self._positions:
            self._rows, self._positions = max(rows, self._rows), max(positions, self._positions)
            self._arrays = {
                "q": aligned(self._rows * self._reads, np.int16),
                "e": np.empty(self._rows, np.int32),
                "wide": np.empty(self._rows * self._gives, np.int32),
                "query": np.empty(self._rows * self._heads, np.int16),
                "query_e": np.empty(self._rows * self._number, np.uint8),
                "mixed": np.empty(self._rows * self._heads, np.int64),
                "row": np.empty(self._threads * self._reads, np.int64),
                "scores": np.empty(self._threads * QUERIES * self._positions, np.int32),
                "exponents": np.empty(self._threads * 2 * self._positions, np.uint8),
            }
            pointers = {name: address(values) for name, values in self._arrays.items()}
            self._room = Room(**pointers, row_size=self._reads, positions=self._positions)
        return self._room


ROOM = POINTER(Room)


def embedded(embedding: FileMatrix, tokens: Sequence[int]) -> NDArray[np.int64]:
    """(T,) tokens to (T, C) with 20 fraction bits."""
    chosen = np.array(tokens, np.int64)
    rows = embedding.weight[chosen].astype(np.int64)  # (T, C)
    rows *= embedding.multiplier[chosen].astype(np.int64)[:, None]
    shift = int(embedding.exponent) - a.RESIDUAL_FRACTION
    rows += (1 << shift) >> 1
    rows >>= shift
    return rows
