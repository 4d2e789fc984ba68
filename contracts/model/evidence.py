"""Checks a leaf's commitment, its order and the node's signature (SPEC sections 8 and 15)."""

from contracts.model.base import ZERO_ADDRESS, refuse_if, signer_of
from contracts.model.escrow import Escrow
from contracts.model.proofs import LeafProof
from contracts.model.stakes import Stakes
from contracts.protocol.hashing import from_hex
from contracts.protocol.records import Commitment, Order


def require_leaf_of(
    escrow: Escrow, stakes: Stakes, proof: LeafProof, order: Order, commitment: Commitment, signature: bytes
) -> bytes:
    """Refuses unless the leaf is this commitment's, to this order of the leaf's requester, signed by a key of its
    operator that was not revoked EPOCH_MAX before the post. Returns the order's id."""
    digest = require_commitment(escrow, commitment, proof.digest)
    order_id = require_order(escrow, order, commitment)
    other = order.requester != proof.requester
    refuse_if(other, "Evidence_WrongRequester", order.requester, proof.requester)
    revoked_at = require_signed(stakes, digest, commitment.node, proof.operator_id, signature)
    posted_at = escrow.epoch(proof.epoch_id).posted_at
    late = revoked_at != 0 and posted_at >= revoked_at + escrow.constants.epoch_max_s
    refuse_if(late, "Evidence_KeyRevoked", commitment.node, revoked_at)
    return order_id


def require_commitment(escrow: Escrow, commitment: Commitment, expected: bytes) -> bytes:
    """Refuses another commitment than expected. Returns its digest."""
    digest = escrow.domain.commitment_digest(commitment)
    refuse_if(digest != expected, "Evidence_WrongCommitment", digest, expected)
    return digest


def require_order(escrow: Escrow, order: Order, commitment: Commitment) -> bytes:
    """Refuses a commitment to another order. Returns the order's id."""
    order_id = escrow.domain.order_id(order)
    named = from_hex(commitment.order_id)
    refuse_if(order_id != named, "Evidence_WrongOrder", order_id, named)
    return order_id


def require_signed(stakes: Stakes, digest: bytes, node: str, operator_id: int, signature: bytes) -> int:
    """Refuses unless a key of the operator, current or revoked, signed. Returns when it was revoked; 0: never."""
    found, key = signer_of(digest, signature), stakes.key_of(node)
    signed = found == node != ZERO_ADDRESS and operator_id != 0 and key.operator_id == operator_id
    refuse_if(not signed, "Evidence_NotSignedByNode", node, found, operator_id)
    return key.revoked_at
