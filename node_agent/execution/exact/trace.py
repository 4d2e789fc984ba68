"""The trace hash of the exact engine, in chunks, so that two traces can be compared piece by piece.

SPEC.md, "The trace": of rows of integers, the logits of generated positions or, for embeddings, the states of an
encoder. A text's chunks do not depend on what else was computed at the time.
"""

import hashlib
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

CHUNK_POSITIONS = 16
DIGEST_BYTES = 32
CHUNK_TAG, TRACE_TAG = b"assay/exact/chunk/1\n", b"assay/exact/trace/1\n"


class TextTrace:
    """The digests of one text's rows, under way.

    Attributes:
        text: the text's index in its input.
    """

    def __init__(self, text: int) -> None:
        self.text = text
        self._done: list[bytes] = []
        self._rows = 0
        self._hash = self._new_chunk()

    def update(self, row: NDArray[np.int32]) -> None:
        """Take the next row of integers."""
        if self._rows == CHUNK_POSITIONS:
            self._done.append(self._hash.digest())
            self._hash, self._rows = self._new_chunk(), 0
        self._hash.update(np.ascontiguousarray(row, dtype="<i4").data)
        self._rows += 1

    def chunks(self) -> list[bytes]:
        """The digests so far, the last over what is there of its chunk."""
        return [*self._done, self._hash.digest()] if self._rows else list(self._done)

    def _new_chunk(self) -> "hashlib._Hash":
        counter = self.text.to_bytes(4, "little") + len(self._done).to_bytes(4, "little")
        return hashlib.sha256(CHUNK_TAG + counter)


def encode(traces: Sequence[TextTrace]) -> bytes:
    """The chunks of the texts of an input, in order, behind a tag: what a node may show of its trace."""
    return TRACE_TAG + b"".join(chunk for trace in traces for chunk in trace.chunks())


def trace_hash(traces: Sequence[TextTrace]) -> bytes:
    """32 bytes over the texts of an input, in order."""
    return hashlib.sha256(encode(traces)).digest()


def first_difference(one: bytes, other: bytes) -> int | None:
    """The index of the first chunk that differs, or that only one of two encoded traces has; None if they are equal."""
    pairs = enumerate(zip_longest(_chunks(one), _chunks(other)))
    return next((index for index, (mine, theirs) in pairs if mine != theirs), None)


def place(chunk: int, rows: Sequence[int]) -> tuple[int, range] | None:
    """The text and its rows that a chunk of an encoded trace covers, or None for a chunk beyond all texts.

    `rows`: how many rows each text has.
    """
    for text, count in enumerate(rows):
        chunks = -(-count // CHUNK_POSITIONS)
        if chunk < chunks:
            first = chunk * CHUNK_POSITIONS
            return text, range(first, min(first + CHUNK_POSITIONS, count))
        chunk -= chunks
    return None


def _chunks(encoded: bytes) -> list[bytes]:
    body = encoded[len(TRACE_TAG) :]
    return [body[start : start + DIGEST_BYTES] for start in range(0, len(body), DIGEST_BYTES)]
