"""Recomputes a backend's claims about an order. Each check raises Untrue with the claim and the fact."""

from backend.client.errors import NotDelivered, Untrue
from contracts.onchain.chain import Chain
from contracts.protocol.hashing import to_hex
from contracts.protocol.merkle import Row
from contracts.protocol.pricing import amount_units
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.records import Commitment
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import NetworkInfo, OrderView
from contracts.record.leaf import Leaf


def check_network(network: NetworkInfo, chain: Chain) -> None:
    """Raises Untrue unless the backend uses the deployment that the requester chose."""
    deployment = chain.deployment
    for name in ("chain_id", "escrow", "stake_manager", "court", "contests", "token", "treasury", "constants"):
        said, found = getattr(network, name), getattr(deployment, name)
        if said != found:
            raise Untrue(name, said=said, found=found)
    if network.settler != (settler := chain.settler()):
        raise Untrue("settler", said=network.settler, found=settler)


def check_order(view: OrderView, domain: Domain) -> None:
    """Raises Untrue unless the order's signer signed it."""
    digest = domain.order_id(view.order)
    if to_hex(digest) != view.order_id:
        raise Untrue("order id", said=view.order_id, found=to_hex(digest))
    signer = recover(digest, view.signature)
    if signer != view.signer:
        raise Untrue("signer of the order", said=view.signer, found=signer)


def check_commitment(view: OrderView, domain: Domain) -> Commitment:
    """The commitment: for this order, signed by its node, charged by the formula. Raises NotDelivered, Untrue."""
    commitment = view.commitment
    if commitment is None or view.commitment_signature is None:
        raise NotDelivered(order_id=view.order_id, state=view.state)
    if commitment.order_id != view.order_id:
        raise Untrue("order of the commitment", said=view.order_id, found=commitment.order_id)
    node = recover(domain.commitment_digest(commitment), view.commitment_signature)
    if node != commitment.node:
        raise Untrue("node of the commitment", said=commitment.node, found=node)
    amount = amount_units(view.order.terms, commitment.units)
    if view.amount_units != amount:
        raise Untrue("amount", said=view.amount_units, found=amount)
    return commitment


def check_receipt(view: OrderView, domain: Domain, chain: Chain) -> None:
    """Raises Untrue unless the charge is under the root on chain, with the formula's amount. Raises NotDelivered."""
    commitment, receipt = check_commitment(view, domain), view.receipt
    if receipt is None:
        raise NotDelivered(order_id=view.order_id, state=view.state)
    digest = domain.commitment_digest(commitment)
    if receipt.amount_units != view.amount_units or receipt.commitment_digest != to_hex(digest):
        said = (receipt.amount_units, receipt.commitment_digest)
        raise Untrue("receipt", said=said, found=(view.amount_units, to_hex(digest)))
    row = Row(view.order.requester, view.signer, receipt.operator_id, receipt.amount_units, digest)
    root, count = chain.escrow.functions.epochs(receipt.epoch_id).call()[:2]
    if not Leaf.of_receipt(row, receipt.index, receipt.siblings).stands(bytes(root), count):
        raise Untrue("receipt", said=f"row {receipt.index} of epoch {receipt.epoch_id}", found="not under its root")


def check_same(view: OrderView, receipt: PaymentReceipt) -> None:
    """Raises Untrue unless the receipt is of the order as shown."""
    leaf, shown = receipt.leaf, view.receipt
    pairs: dict[str, tuple[object, object]] = {
        "order": (receipt.order, view.order),
        "order's signature": (receipt.order_signature, view.signature),
        "commitment": (receipt.commitment, view.commitment),
        "commitment's signature": (receipt.commitment_signature, view.commitment_signature),
        "charge": ((leaf.epoch_id, leaf.index, leaf.amount_units, leaf.siblings),
                   shown and (shown.epoch_id, shown.index, shown.amount_units, shown.siblings)),
    }  # fmt: skip
    for name, (said, found) in pairs.items():
        if said != found:
            raise Untrue(f"receipt's {name}", said=said, found=found)
