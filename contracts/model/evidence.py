"""What stands behind a leaf's digest (SPEC sections 8 and 15): its commitment, the order, the node's signature."""

from contracts.model.base import ZERO_ADDRESS, refuse_if, signer_of
from contracts.model.escrow import Escrow
from contracts.model.proofs import LeafProof
from contracts.model.stakes import Stakes
from contracts.protocol.hashing import from_hex
from contracts.protocol.records import Commitment, Order


def require_leaf_of(
    escrow: Escrow, stakes: Stakes, proof: LeafProof, order: Order, commitment: Commitment, signature: bytes
) -> bytes:
    """The leaf is this commitment's, to this order of the leaf's requester, signed by a node of its operator.
    Returns the order's id."""
    digest = require_commitment(escrow, commitment, proof.digest)
    order_id = require_order(escrow, order, commitment)
    other = order.requester != proof.requester
    refuse_if(other, "Evidence_WrongRequester", order.requester, proof.requester)
    require_signed(stakes, digest, commitment.node, proof.operator_id, signature)
    return order_id


def require_commitment(escrow: Escrow, commitment: Commitment, expected: bytes) -> bytes:
    """It is the one expected; its digest."""
    digest = escrow.domain.commitment_digest(commitment)
    refuse_if(digest != expected, "Evidence_WrongCommitment", digest, expected)
    return digest


def require_order(escrow: Escrow, order: Order, commitment: Commitment) -> bytes:
    """The commitment names this order; its id."""
    order_id = escrow.domain.order_id(order)
    named = from_hex(commitment.order_id)
    refuse_if(order_id != named, "Evidence_WrongOrder", order_id, named)
    return order_id


def require_signed(stakes: Stakes, digest: bytes, node: str, operator_id: int, signature: bytes) -> None:
    """By the node, which is a key of the operator; operator 0 has none."""
    found = signer_of(digest, signature)
    signed = found == node != ZERO_ADDRESS and operator_id != 0 and stakes.operator_of.get(node, 0) == operator_id
    refuse_if(not signed, "Evidence_NotSignedByNode", node, found, operator_id)
