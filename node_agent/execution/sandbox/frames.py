"""Frames: a confined process and its parent exchange them as a stream of bytes.

A frame is 1 byte kind | 8 bytes call | 4 bytes length, little-endian, and a payload of that length. `messages` says
what each kind means; several frames may belong to one call.
"""

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass

MAX_PAYLOAD_BYTES = 4 << 20
"""Larger than any input, output or trace."""

_HEADER = struct.Struct("<BQI")


class BadFrame(ValueError):
    """Thrown for bytes that are no frame, or a frame that holds no message. Says what is wrong."""


@dataclass(frozen=True)
class Frame:
    """One frame. `call`: the number of the request that it is, or answers."""

    kind: int
    call: int
    payload: bytes

    def __bytes__(self) -> bytes:
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise BadFrame(f"has a payload of {len(self.payload)} bytes, {MAX_PAYLOAD_BYTES} are the most")
        return _HEADER.pack(self.kind, self.call, len(self.payload)) + self.payload


class Cutter:
    """Cuts a stream into frames. `kinds`: those that may come."""

    def __init__(self, kinds: Container[int]) -> None:
        self._kinds, self._rest = kinds, bytearray()

    @property
    def is_amid(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._rest)

    def cut(self, piece: bytes) -> Iterator[Frame]:
        """The frames that end in this piece. Raises BadFrame at the header: nothing is kept that is no frame."""
        self._rest += piece
        while len(self._rest) >= _HEADER.size:
            kind, call, length = _HEADER.unpack_from(self._rest)
            if kind not in self._kinds:
                raise BadFrame(f"has the kind {kind}, which nobody awaits")
            if length > MAX_PAYLOAD_BYTES:
                raise BadFrame(f"announces {length} bytes, {MAX_PAYLOAD_BYTES} are the most")
            end = _HEADER.size + length
            if len(self._rest) < end:
                return
            payload = bytes(self._rest[_HEADER.size : end])
            del self._rest[:end]
            yield Frame(kind, call, payload)
