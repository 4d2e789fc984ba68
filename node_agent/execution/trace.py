"""The trace hash of float engines: a digest over everything computed on the way to an answer.

It is the sha256 of, for each text in order, TRACE_TAG and the little-endian fp32 rows that were computed, in order.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

TRACE_TAG = b"assay/trace/torch-float/1\n"


class Trace:
    """The trace hash, fed row by row."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def begin(self) -> None:
        """The next text begins."""
        self._hash.update(TRACE_TAG)

    def update(self, rows: NDArray[np.float32]) -> None:
        """Take the next (rows, width) values."""
        self._hash.update(np.ascontiguousarray(rows, dtype="<f4").data)

    def digest(self) -> bytes:
        """32 bytes over everything taken so far."""
        return self._hash.digest()
