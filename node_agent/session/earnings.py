"""Reads what an operator earned from the chain, and draws it: by a claim, or by settling one leaf.

Needs no backend: the journal has the order that proves the cap, and the leaf's receipt.
"""

from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex
from contracts.protocol.packing import from_bits
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import terms_hash
from contracts.protocol.wire import Receipt
from contracts.record.history import read_history
from node_agent.errors import NotSettleable
from node_agent.session.journal import JournaledAnswer
from node_agent.session.rooted import row_of

_STATUS = ("open", "posted", "revealed", "settled", "stranded")
"""Order of IJobEscrow.EpochStatus."""


@dataclass(frozen=True)
class Account:
    """An operator's account on chain. Amounts in units; `owner` and `payout` lower-case addresses."""

    operator_id: int
    owner: str
    payout: str
    stake_units: int
    unbonding_units: int
    locked_units: int
    earned_units: int
    claimed_units: int

    @property
    def claimable_units(self) -> int:
        """The amount that a claim would pay now."""
        return self.earned_units - self.claimed_units


def read_account(chain: Chain, operator_id: int) -> Account:
    """The account of an operator. Raises ChainError."""
    held = chain.stakes.functions.operators(operator_id).call()
    credit = chain.escrow.functions.operators(operator_id).call()
    return Account(
        operator_id=operator_id, owner=held.owner.lower(),
        payout=chain.stakes.functions.payoutOf(operator_id).call().lower(), stake_units=held.stakeUnits,
        unbonding_units=held.unbondingUnits, locked_units=held.lockedUnits, earned_units=credit.earnedUnits,
        claimed_units=credit.claimedUnits,
    )  # fmt: skip


def draw_credit(chain: Chain, sender: Sender, operator_id: int, *, to_stake: bool) -> int:
    """Draws everything credited, to the payout address or into the stake; returns its units.

    Raises Reverted if there is nothing.
    """
    escrow = chain.escrow.functions
    before = escrow.operators(operator_id).call().claimedUnits
    sender.call(escrow.claimToStake(operator_id) if to_stake else escrow.claim(operator_id))
    return int(escrow.operators(operator_id).call().claimedUnits - before)


def settleable(chain: Chain, answers: list[JournaledAnswer]) -> list[JournaledAnswer]:
    """The rooted answers that wait to be settled one by one."""
    return [answer for answer in answers if _why_not(chain, _receipt(answer)) is None]


def settle_one(chain: Chain, sender: Sender, answer: JournaledAnswer, operator_id: int) -> None:
    """Settles one leaf of a stranded epoch, or a skipped one of a settled epoch (SPEC section 6, `settleOne`).

    Raises NotSettleable if the answer has no receipt, was paid, or its epoch can still be settled as a whole; Reverted,
    e.g. if the lane does not cover it.
    """
    receipt = _receipt(answer)
    why = _why_not(chain, receipt)
    if why is not None:
        raise NotSettleable(f"The leaf of {answer.order_id} {why}", way_out="", order_id=answer.order_id)
    digest, order = chain.deployment.domain.commitment_digest(answer.commitment), answer.grant.order
    row = row_of(answer, digest, operator_id)
    lane = to_checksum_address(row.requester), to_checksum_address(row.signer)
    siblings = [from_hex(sibling) for sibling in receipt.siblings]
    leaf_proof = (receipt.epoch_id, receipt.index, *lane, operator_id, row.amount_units, digest, siblings)
    cap_proof = (order.spend_cap, terms_hash(order.terms), *compact(answer.grant.order_signature))
    outcomes = _outcomes(chain, receipt) if _status(chain, receipt.epoch_id) == "settled" else (b"", b"")
    sender.call(chain.escrow.functions.settleOne(leaf_proof, outcomes, cap_proof))


def _receipt(answer: JournaledAnswer) -> Receipt:
    if answer.receipt is None:
        says = f"The answer of {answer.order_id} is under no root that this node knows."
        way_out = "Run the agent while the backend answers, to fetch the receipt. Work without a root is lost."
        raise NotSettleable(says, way_out=way_out, order_id=answer.order_id)
    return answer.receipt


def _status(chain: Chain, epoch_id: int) -> str:
    return _STATUS[chain.escrow.functions.epochStatus(epoch_id).call()]


def _why_not(chain: Chain, receipt: Receipt) -> str | None:
    """The reason why a leaf cannot be settled by its node now, or None if it can."""
    status = _status(chain, receipt.epoch_id)
    leaf = chain.escrow.functions.leaves(receipt.epoch_id, receipt.index).call()
    if leaf.paidAt or leaf.closed:
        return "was settled, or closed by the court, before."
    if status == "stranded":
        return None
    if status != "settled":
        posted_at = chain.escrow.functions.epochs(receipt.epoch_id).call().postedAt
        opens = posted_at + chain.deployment.constants.settle_wait_s
        return f"is in epoch {receipt.epoch_id}, which is {status}; it can be settled one by one after {opens}."
    skipped = from_bits(_outcomes(chain, receipt)[1], receipt.index + 1)
    return None if receipt.index in skipped else "was settled with its epoch: paid, or void."


def _outcomes(chain: Chain, receipt: Receipt) -> tuple[bytes, bytes]:
    """The bitmaps of a settled epoch, from its event."""
    settled = read_history(chain, chain.head().number).settled[receipt.epoch_id]
    return settled.void_bits, settled.skipped_bits
