"""The trace that a node shows of its computation, when it may show it, and whether its commitment binds it (SPEC 11).

A trace must stay hidden while verifiers may still commit to answers, or they could copy it.

The exact engine's trace hash is the root of a tree (`trace_tree`) of texts, rows (of logits or states) and blocks. The
node shows the level of that tree at which a tree node covers CHUNK_ROWS rows, so that two computations can be compared
piece by piece: EXACT_TAG | for each text uint32 big-endian rows | its ceil(rows / CHUNK_ROWS) nodes. Any other trace
hash is sha256 of the shown bytes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.records import COMPARATOR_EXACT, Commitment
from contracts.protocol.trace_tree import list_root, list_root_above
from contracts.protocol.typed_data import trace_commit

MAX_TRACE_BYTES = 65_536
"""Longer traces are refused."""

EXACT_TAG = b"assay/exact/trace/2\n"
CHUNK_ROWS = 16
_DIGEST_BYTES, _COUNT_BYTES = 32, 4


@dataclass(frozen=True)
class ShownText:
    """One text of a shown trace.

    Attributes:
        rows: how many it has.
        nodes: 32 bytes each, over CHUNK_ROWS rows, the last over the rest.
    """

    rows: int
    nodes: Sequence[bytes]

    def root(self) -> bytes:
        """The text's digest in the trace."""
        return list_root_above(self.rows, self.nodes)


def encode_shown(texts: Iterable[ShownText]) -> bytes:
    """The bytes that a node of the exact engine shows of its trace."""
    return EXACT_TAG + b"".join(text.rows.to_bytes(_COUNT_BYTES, "big") + b"".join(text.nodes) for text in texts)


def decode_shown(trace: bytes) -> list[ShownText] | None:
    """The texts of a shown trace, None for bytes that `encode_shown` does not write."""
    if not trace.startswith(EXACT_TAG):
        return None
    texts, place = [], len(EXACT_TAG)
    while place < len(trace):
        rows = int.from_bytes(trace[place : place + _COUNT_BYTES], "big")
        start = place + _COUNT_BYTES
        place = start + _DIGEST_BYTES * -(-rows // CHUNK_ROWS)
        if place > len(trace) or start > len(trace):
            return None
        nodes = [trace[each : each + _DIGEST_BYTES] for each in range(start, place, _DIGEST_BYTES)]
        texts.append(ShownText(rows, nodes))
    return texts


def trace_hash_of(trace: bytes) -> bytes:
    """The trace hash of shown bytes, 32 bytes."""
    texts = decode_shown(trace)
    return hashlib.sha256(trace).digest() if texts is None else list_root(text.root() for text in texts)


def opens_at(comparator: int, posted_at_s: int, revealed_at_s: int, constants: Constants) -> int:
    """When a job's trace may be shown, Unix seconds.

    Args:
        comparator: of the job's order.
        posted_at_s: when its epoch was posted.
        revealed_at_s: when the next one was.

    Work that has no court waits for the end of the check period. Else a case may open until the end of the case window,
    and answers are committed for at most two more commit windows, the second after an appeal.
    """
    if comparator != COMPARATOR_EXACT:
        return revealed_at_s + constants.check_wait_s
    return posted_at_s + constants.case_window_s + 2 * constants.commit_window_s


def is_trace_of(trace: bytes, commitment: Commitment) -> bool:
    """Whether the commitment binds these bytes."""
    hidden = trace_commit(trace_hash_of(trace), from_hex(commitment.order_id), commitment.node)
    return to_hex(hidden) == commitment.trace_commit
