"""Holds an answer against a commitment or another answer: equality of trace, output and units, nothing else.

Integer and pure, so that an auditor repeats every comparison bit for bit. Knows no chain and no engine.
"""

from contracts.protocol.hashing import from_hex
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.typed_data import agrees, answer_key, trace_commit

__all__ = ["agrees", "answer_key", "differences"]


def differences(opening: Opening, commitment: Commitment) -> list[str]:
    """What of trace, output and units differs, in words. Empty iff `agrees`."""
    expected = trace_commit(from_hex(opening.trace_hash), from_hex(commitment.order_id), commitment.node)
    checks = {
        "trace": from_hex(commitment.trace_commit) == expected,
        "output": commitment.output_root == opening.output_root,
        "units": commitment.units == opening.units,
    }
    return [name for name, equal in checks.items() if not equal]
