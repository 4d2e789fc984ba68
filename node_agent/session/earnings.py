"""What an operator earned, as the chain has it, and how it is drawn: a claim, or one leaf settled by its own node.

None of this needs the backend: the journal holds the order that proves the cap and the receipt of the leaf.
"""

from dataclasses import dataclass
from typing import Any

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
from node_agent.session.chain_facts import call
from node_agent.session.journal import JournaledAnswer
from node_agent.session.rooted import row_of

_STATUS = ("open", "posted", "revealed", "settled", "stranded")
"""Order of IJobEscrow.EpochStatus."""

_NO_OUTCOMES = (b"", b"")


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
        """What a claim would pay now."""
        return self.earned_units - self.claimed_units


def read_account(chain: Chain, operator_id: int) -> Account:
    """The account of an operator. Raises ChainError."""
    held = call(chain.stakes.functions.operators(operator_id))
    credit = call(chain.escrow.functions.operators(operator_id))
    return Account(
        operator_id=operator_id,
        owner=held.owner.lower(),
        payout=call(chain.stakes.functions.payoutOf(operator_id)).lower(),
        stake_units=held.stakeUnits,
        unbonding_units=held.unbondingUnits,
        locked_units=held.lockedUnits,
        earned_units=credit.earnedUnits,
        claimed_units=credit.claimedUnits,
    )


def claim(chain: Chain, sender: Sender, operator_id: int) -> int:
    """Draws everything credited to the payout address; returns units paid. Raises Reverted if there is nothing."""
    before = call(chain.escrow.functions.operators(operator_id)).claimedUnits
    sender.call(chain.escrow.functions.claim(operator_id))
    after = call(chain.escrow.functions.operators(operator_id)).claimedUnits
    return int(after - before)


def claim_to_stake(chain: Chain, owner: Sender, operator_id: int) -> int:
    """Moves everything credited into the operator's stake; returns units moved. Raises Reverted if there is nothing."""
    before = call(chain.escrow.functions.operators(operator_id)).claimedUnits
    owner.call(chain.escrow.functions.claimToStake(operator_id))
    after = call(chain.escrow.functions.operators(operator_id)).claimedUnits
    return int(after - before)


def settleable(chain: Chain, answers: list[JournaledAnswer]) -> list[JournaledAnswer]:
    """Those of some rooted answers that wait to be settled one by one."""
    return [answer for answer in answers if _why_not(chain, _receipt(answer)) is None]


def settle_one(chain: Chain, sender: Sender, answer: JournaledAnswer, operator_id: int) -> None:
    """Settles one leaf of a stranded epoch, or a skipped one of a settled epoch (SPEC section 6, `settleOne`).

    Raises:
        NotSettleable: the answer has no receipt, was paid, or its epoch can still be settled as a whole.
        Reverted: the contract refuses, e.g. because the lane does not cover it.
    """
    receipt = _receipt(answer)
    why = _why_not(chain, receipt)
    if why is not None:
        raise NotSettleable(f"The leaf of {answer.order_id} {why}", way_out="", order_id=answer.order_id)
    outcomes = _outcomes(chain, receipt) if _status(chain, receipt.epoch_id) == "settled" else _NO_OUTCOMES
    proof = leaf_proof(answer, receipt, chain.deployment.domain.commitment_digest(answer.commitment), operator_id)
    sender.call(chain.escrow.functions.settleOne(proof, outcomes, cap_proof(answer)))


def leaf_proof(answer: JournaledAnswer, receipt: Receipt, digest: bytes, operator_id: int) -> tuple[Any, ...]:
    """The contract's LeafProof of an answer."""
    row = row_of(answer, digest, operator_id)
    requester, signer = to_checksum_address(row.requester), to_checksum_address(row.signer)
    siblings = [from_hex(sibling) for sibling in receipt.siblings]
    return receipt.epoch_id, receipt.index, requester, signer, operator_id, row.amount_units, digest, siblings


def cap_proof(answer: JournaledAnswer) -> tuple[int, bytes, bytes, bytes]:
    """The contract's CapProof: the order itself is the voucher."""
    order = answer.grant.order
    return order.spend_cap, terms_hash(order.terms), *compact(answer.grant.order_signature)


def _receipt(answer: JournaledAnswer) -> Receipt:
    if answer.receipt is None:
        raise NotSettleable(
            f"The answer of {answer.order_id} is under no root that this node knows.",
            way_out="Run the agent while the backend answers, so that it fetches the receipt; un-rooted work is lost.",
            order_id=answer.order_id,
        )
    return answer.receipt


def _status(chain: Chain, epoch_id: int) -> str:
    return _STATUS[call(chain.escrow.functions.epochStatus(epoch_id))]


def _why_not(chain: Chain, receipt: Receipt) -> str | None:
    """Why a leaf cannot be settled by its node now, or None if it can."""
    status = _status(chain, receipt.epoch_id)
    leaf = call(chain.escrow.functions.leaves(receipt.epoch_id, receipt.index))
    if leaf.paidAt or leaf.closed:
        return "was settled, or closed by the court, before."
    if status == "stranded":
        return None
    if status != "settled":
        posted_at = call(chain.escrow.functions.epochs(receipt.epoch_id)).postedAt
        opens = posted_at + chain.deployment.constants.settle_wait_s
        return f"is in epoch {receipt.epoch_id}, which is {status}; it can be settled one by one after {opens}."
    skipped = from_bits(_outcomes(chain, receipt)[1], receipt.index + 1)
    return None if receipt.index in skipped else "was settled with its epoch: paid, or void."


def _outcomes(chain: Chain, receipt: Receipt) -> tuple[bytes, bytes]:
    """The bitmaps of a settled epoch, from its event."""
    settled = read_history(chain, chain.head().number).settled[receipt.epoch_id]
    return settled.void_bits, settled.skipped_bits
