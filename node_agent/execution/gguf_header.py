"""Whether all that the header of a GGUF file counts lies in the file: a reader that believes its counts would go on for
hours. Format: ggml/docs/gguf.md, little-endian, versions 2 and 3."""

import mmap
import struct
from pathlib import Path

from node_agent.execution.errors import UnsafeModelFormat

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each type of a value that has a fixed size."""
_STRING, _ARRAY, _MOST_DIMENSIONS = 8, 9, 4


def require_counts(path: Path) -> None:
    """Raises UnsafeModelFormat."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _HeaderWalk(data)
        try:
            header.walk()
        except (struct.error, ValueError) as error:
            raise UnsafeModelFormat(
                f"{path.name} has a header that does not end in it, at byte {header.at}: {error}.",
                way_out="Get the file again, whole.",
                path=str(path),
            ) from error


class _HeaderWalk:
    """A walk through a header. Each step takes a byte at least, so that it ends with the file. Raises struct.error."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self.at = data, 4

    def walk(self) -> None:
        version, tensors, fields = self._number("I"), self._number("Q"), self._number("Q")
        if version not in (2, 3):
            raise ValueError(f"its version is {version}")
        for _ in range(fields):
            self._string()
            self._value(self._number("I"))
        for _ in range(tensors):
            self._string()
            dimensions = self._number("I")
            if dimensions > _MOST_DIMENSIONS:
                raise ValueError(f"a tensor has {dimensions} dimensions")
            self._skip(8 * dimensions + 4 + 8)  # sizes, type, offset

    def _value(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            kind, count = self._number("I"), self._number("Q")
            if kind in _SIZES:
                self._skip(count * _SIZES[kind])
                return
            if kind != _STRING:
                raise ValueError(f"an array holds the type {kind}")
            for _ in range(count):
                self._string()
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        else:
            raise ValueError(f"a field has the type {kind}")

    def _string(self) -> None:
        self._skip(self._number("Q"))

    def _number(self, letter: str) -> int:
        (found,) = struct.unpack_from(f"<{letter}", self._data, self.at)
        self.at += struct.calcsize(f"<{letter}")
        return int(found)

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self.at:
            raise ValueError(f"{count} bytes are announced")
        self.at += count
