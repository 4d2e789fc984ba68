"""Checks that need no chain: hashes, signatures, and the amount by the signed formula."""

from contracts.protocol.errors import BadSignature, NotPacked
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.packed import packed_root
from contracts.protocol.pricing import amount_units
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from verifier.receipts.report import Checklist


def check_signed(receipt: PaymentReceipt, found: Checklist) -> None:
    """Notes every hash, signature and amount that follows from the receipt alone."""
    expect, order, commitment = found.expect, receipt.order, receipt.commitment
    domain = Domain(receipt.chain_id, receipt.contracts.escrow)
    rule, fields = "the order's fields hash to its id, on this chain and contract", ["order", "order_id"]
    expect(rule, [*fields, "chain_id", "contracts.escrow"], receipt.order_id, to_hex(domain.order_id(order)))
    signer = _signer(receipt.order_id, receipt.order_signature)
    expect(
        "the order is signed by the lane's signer", ["order_signature", "signer", "order_id"], receipt.signer, signer
    )
    digest, fields = to_hex(domain.commitment_digest(commitment)), ["commitment", "commitment_digest"]
    expect("the commitment's fields hash to its digest", fields, receipt.commitment_digest, digest)
    fields = ["commitment.order_id", "order_id"]
    expect("the commitment is for this order", fields, receipt.order_id, commitment.order_id)
    signer = _signer(receipt.commitment_digest, receipt.commitment_signature)
    fields = ["commitment_signature", "commitment.node", "commitment_digest"]
    expect("the commitment is signed by its node", fields, commitment.node, signer)
    amount, fields = (
        amount_units(order.terms, commitment.units),
        ["leaf.amount_units", "commitment.units", "order.terms"],
    )
    expect("the amount is min(maxPrice, fixedPrice + units * unitPrice)", fields, amount, receipt.leaf.amount_units)


def check_output(receipt: PaymentReceipt, output: bytes, found: Checklist) -> None:
    """Notes whether an output is the one that the node committed to."""
    fields, expected = ["commitment.output_root"], receipt.commitment.output_root
    found.expect("the output file is what the node committed to", fields, expected, _root(output))


def _root(output: bytes) -> str:
    """The root of packed output; words if it is none."""
    try:
        return to_hex(packed_root(output))
    except NotPacked as error:
        return str(error)


def _signer(digest: str, signature: str) -> str:
    """Who signed; words if nobody did."""
    try:
        return recover(from_hex(digest), signature)
    except BadSignature as error:
        return str(error)
