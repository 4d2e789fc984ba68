"""When a node may show the trace behind its commitment, and whether what is shown is that trace (SPEC section 11).

As long as a verifier may still commit to an answer of its own, a trace that is public is an answer that it can copy.
"""

import hashlib

from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.records import COMPARATOR_EXACT, Commitment
from contracts.protocol.typed_data import trace_commit

MAX_TRACE_BYTES = 65_536
"""The longest trace that is kept."""


def opens_at(comparator: int, posted_at_s: int, revealed_at_s: int, constants: Constants) -> int:
    """From when on the trace of a job may be shown, Unix seconds.

    Args:
        comparator: of the job's order.
        posted_at_s: when its epoch was posted.
        revealed_at_s: when the next one was.

    Without a court the check period is all that must be over. Where a case may open, its last answer is committed to
    at most two commit windows, the second by an appeal, after the window for cases.
    """
    if comparator != COMPARATOR_EXACT:
        return revealed_at_s + constants.check_wait_s
    return posted_at_s + constants.case_window_s + 2 * constants.commit_window_s


def is_trace_of(trace: bytes, commitment: Commitment) -> bool:
    """Whether these bytes are what the commitment binds its node to."""
    hidden = trace_commit(hashlib.sha256(trace).digest(), from_hex(commitment.order_id), commitment.node)
    return to_hex(hidden) == commitment.trace_commit
