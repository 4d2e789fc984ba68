"""A payment's receipt: what was signed and what is on chain. Checking it needs no trust in this backend."""

from sqlmodel import Session

from backend.domain.outcomes import state_of
from backend.errors import NotRooted, UnknownOrder
from backend.store import facts
from backend.store.chain_tables import SettlementRow
from backend.store.tables import EpochRow, LeafRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import to_hex
from contracts.protocol.merkle import merkle_proof
from contracts.protocol.receipt import PaymentReceipt, ReceiptContracts, ReceiptLeaf, ReceiptSettlement


def payment_receipt(session: Session, deployment: Deployment, order_id: str, now_s: int) -> PaymentReceipt:
    """The receipt of an order, with its settlement once that is on chain. Raises UnknownOrder, NotRooted."""
    job = facts.job(session, order_id)
    if job is None:
        raise UnknownOrder(order_id=order_id)
    if job.commitment is None or job.leaf is None or not job.facts.is_posted:
        raise NotRooted(order_id=order_id, state=state_of(job.facts, now_s))
    return PaymentReceipt(
        chain_id=deployment.chain_id,
        contracts=ReceiptContracts(
            escrow=deployment.escrow, stake_manager=deployment.stake_manager, court=deployment.court,
            token=deployment.token,
        ),
        order_id=order_id,
        order=job.order.record,
        signer=job.order.signer,
        order_signature=job.order.signature,
        commitment_digest=job.commitment.digest,
        commitment=job.commitment.record,
        commitment_signature=job.commitment.signature,
        leaf=_leaf(session, job.leaf),
        settlement=_settlement(session, job.leaf.epoch_id),
    )  # fmt: skip


def leaf_hashes(session: Session, epoch_id: int) -> list[bytes]:
    return [row.leaf() for row in facts.rows_of(session, epoch_id)]


def _leaf(session: Session, leaf: LeafRow) -> ReceiptLeaf:
    siblings = merkle_proof(leaf_hashes(session, leaf.epoch_id), leaf.index)
    return ReceiptLeaf(
        epoch_id=leaf.epoch_id,
        index=leaf.index,
        operator_id=leaf.operator_id,
        amount_units=leaf.amount,
        siblings=[to_hex(sibling) for sibling in siblings],
        root=session.get_one(EpochRow, leaf.epoch_id).root,
        post_tx=to_hex(facts.posts(session, {leaf.epoch_id})[leaf.epoch_id].tx_hash),
    )


def _settlement(session: Session, epoch_id: int) -> ReceiptSettlement | None:
    row = session.get(SettlementRow, epoch_id)
    if row is None:
        return None
    return ReceiptSettlement(
        settle_tx=row.tx_hash, void_bits=to_hex(row.void_bits), skipped_bits=to_hex(row.skipped_bits)
    )
