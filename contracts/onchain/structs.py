"""Records as the structs of contracts/src/libraries/Types.sol, in tuples."""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row, merkle_proof
from contracts.protocol.records import Commitment, Order


def leaf_proof(epoch_id: int, index: int, rows: Sequence[Row]) -> tuple[Any, ...]:
    """LeafProof of row `index` among all rows of its epoch."""
    row = rows[index]
    return (
        epoch_id,
        index,
        to_checksum_address(row.requester),
        to_checksum_address(row.signer),
        row.operator_id,
        row.amount_units,
        row.digest,
        merkle_proof([one.leaf() for one in rows], index),
    )


def named_leaf(opened: Mapping[str, Any]) -> tuple[Any, ...]:
    """LeafProof without siblings, by which the court knows a leaf. `opened`: arguments of the CaseOpened event."""
    a = opened
    who = (to_checksum_address(a["requester"]), to_checksum_address(a["signer"]), a["operatorId"])
    return (a["epochId"], a["index"], *who, a["amountUnits"], _bytes32(a["commitmentDigest"]), [])


def _bytes32(value: bytes | str) -> bytes:
    return from_hex(value) if isinstance(value, str) else bytes(value)


def order_tuple(order: Order) -> tuple[Any, ...]:
    """Order with Terms and Params."""
    t, p = order.terms, order.terms.params
    params = p.max_new_tokens, p.temperature_milli, p.top_p_ppm, p.seed
    terms = (
        from_hex(t.workload_id), from_hex(t.prompt_root), from_hex(t.texts_hash), params, t.comparator, t.copies,
        t.visibility, t.fixed_price, t.unit_price, t.max_price, t.deadline, t.salt,
    )  # fmt: skip
    return to_checksum_address(order.requester), order.spend_cap, terms


def commitment_tuple(commitment: Commitment) -> tuple[Any, ...]:
    c = commitment
    return from_hex(c.order_id), to_checksum_address(c.node), from_hex(c.output_root), from_hex(c.trace_commit), c.units
