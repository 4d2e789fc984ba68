"""The trace of the exact engine, built row by row from the logits of generated positions or an encoder's states.

SPEC.md, "The trace"; `contracts.protocol.trace` has the tree and the published part. A text's digests do not depend on
what else is computed.
"""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from contracts.protocol.trace import CHUNK_ROWS, ShownText, decode_shown, encode_shown
from contracts.protocol.trace_tree import list_root, row_leaves, top_of


class TextTrace:
    """The digests of one text's rows so far."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._open: list[bytes] = []

    def update(self, row: NDArray[np.int32]) -> None:
        """Take the next row of integers."""
        self._open.append(list_root(row_leaves(np.ascontiguousarray(row, dtype="<i4").tobytes())))
        if len(self._open) == CHUNK_ROWS:
            self._nodes.append(top_of(self._open))
            self._open = []

    def shown(self) -> ShownText:
        """The published part, of the rows so far."""
        rows = CHUNK_ROWS * len(self._nodes) + len(self._open)
        return ShownText(rows, [*self._nodes, top_of(self._open)] if self._open else list(self._nodes))


def encode(traces: Sequence[TextTrace]) -> bytes:
    """The published trace of the texts of an input, in order."""
    return encode_shown(trace.shown() for trace in traces)


def first_difference(one: bytes, other: bytes) -> tuple[int, range] | None:
    """The text and its rows in which two shown traces first differ; None if they are equal, or one is no trace.

    Rows that only one of them has are a difference.
    """
    mine, theirs = decode_shown(one), decode_shown(other)
    for text, (here, there) in enumerate(zip_longest(mine or [], theirs or [])):
        nodes = zip_longest(here.nodes if here else [], there.nodes if there else [])
        rows = max(each.rows for each in (here, there) if each)
        for chunk, (left, right) in enumerate(nodes):
            if left != right:
                return text, range(CHUNK_ROWS * chunk, min(CHUNK_ROWS * (chunk + 1), rows))
    return None
