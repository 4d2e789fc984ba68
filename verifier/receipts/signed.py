"""What follows from the receipt alone: hashes, signatures, and the amount by the signed formula. No chain."""

from contracts.protocol.errors import BadSignature, NotPacked
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.packed import packed_root
from contracts.protocol.pricing import amount_units
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from verifier.receipts.report import Checklist


def check_signed(receipt: PaymentReceipt, found: Checklist) -> None:
    """Notes each thing that was signed, or is named by its hash."""
    domain = Domain(receipt.chain_id, receipt.contracts.escrow)
    _check_order(receipt, domain, found)
    _check_commitment(receipt, domain, found)
    amount = amount_units(receipt.order.terms, receipt.commitment.units)
    found.expect(
        "the amount is min(maxPrice, fixedPrice + units * unitPrice)",
        ["leaf.amount_units", "commitment.units", "order.terms"],
        expected=amount,
        found=receipt.leaf.amount_units,
    )


def check_output(receipt: PaymentReceipt, output: bytes, found: Checklist) -> None:
    """The output that somebody holds is the one that the node committed to."""
    found.expect(
        "the output file is what the node committed to",
        ["commitment.output_root"],
        expected=receipt.commitment.output_root,
        found=_root(output),
    )


def _check_order(receipt: PaymentReceipt, domain: Domain, found: Checklist) -> None:
    order_id = domain.order_id(receipt.order)
    found.expect(
        "the order's fields hash to its id, on this chain and contract",
        ["order", "order_id", "chain_id", "contracts.escrow"],
        expected=receipt.order_id,
        found=to_hex(order_id),
    )
    found.expect(
        "the order is signed by the lane's signer",
        ["order_signature", "signer", "order_id"],
        expected=receipt.signer,
        found=_signer(from_hex(receipt.order_id), receipt.order_signature),
    )


def _check_commitment(receipt: PaymentReceipt, domain: Domain, found: Checklist) -> None:
    commitment = receipt.commitment
    found.expect(
        "the commitment's fields hash to its digest",
        ["commitment", "commitment_digest"],
        expected=receipt.commitment_digest,
        found=to_hex(domain.commitment_digest(commitment)),
    )
    found.expect(
        "the commitment is for this order",
        ["commitment.order_id", "order_id"],
        expected=receipt.order_id,
        found=commitment.order_id,
    )
    found.expect(
        "the commitment is signed by its node",
        ["commitment_signature", "commitment.node", "commitment_digest"],
        expected=commitment.node,
        found=_signer(from_hex(receipt.commitment_digest), receipt.commitment_signature),
    )


def _root(output: bytes) -> str:
    """The root of packed output, or in words that it is none."""
    try:
        return to_hex(packed_root(output))
    except NotPacked as error:
        return str(error)


def _signer(digest: bytes, signature: str) -> str:
    """Who signed, or in words that nobody did."""
    try:
        return recover(digest, signature)
    except BadSignature as error:
        return str(error)
