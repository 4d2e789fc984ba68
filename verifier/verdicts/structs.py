"""What the verifier hands to the contracts: a row's proof out of its epoch's log, and records as tuples."""

from typing import Any

from contracts.onchain import structs
from contracts.onchain.structs import commitment_tuple, order_tuple
from verifier.sampling.epoch_log import EpochLog

__all__ = ["commitment_tuple", "leaf_proof", "order_tuple"]


def leaf_proof(log: EpochLog, index: int) -> tuple[Any, ...]:
    """LeafProof of a row."""
    return structs.leaf_proof(log.epoch_id, index, [entry.row() for entry in log.rows])
