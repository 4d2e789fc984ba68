"""Contests (SPEC section 15): charges are refunded unless somebody shows their order and delivery."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from contracts.model.base import ZERO_ADDRESS, Chain, Value, compact_signer_of, refuse_if
from contracts.model.escrow import Escrow, LeafStatus
from contracts.model.evidence import require_commitment, require_leaf_of, require_order
from contracts.model.proofs import LeafProof, Outcomes
from contracts.model.stakes import Stakes
from contracts.model.token import Token, UnitToken
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex
from contracts.protocol.packed import WORD_BYTES, packed_root
from contracts.protocol.records import VISIBILITY_RESTRICTED, Commitment, Order


class ContestStatus(IntEnum):
    """Derived from facts and time."""

    NONE = 0
    OPEN = 1
    UNANSWERED = 2
    OVERDUE = 3
    ANSWERED = 4
    REFUNDED = 5
    LAPSED = 6


@dataclass
class Contest:
    """The last contest of a leaf; earlier ones lapsed."""

    contester: str = ZERO_ADDRESS
    contested_at: int = 0
    closed_as: ContestStatus = ContestStatus.NONE


@dataclass
class Contests:
    """The contract's state and its functions."""

    chain: Chain
    address: str
    token: Token
    constants: Constants
    escrow: Escrow
    stakes: Stakes
    treasury: str
    contests: dict[tuple[int, int], Contest] = field(default_factory=dict)
    open_contests: int = 0

    def contest(self, caller: str, proof: LeafProof, outcomes: Outcomes) -> None:
        """Contests a charge, with a bond."""
        ends_at = self._charged_at(proof, outcomes) + self.constants.contest_window_s
        refuse_if(self.chain.now >= ends_at, "Contests_TooLate", self.chain.now, ends_at)
        key = proof.epoch_id, proof.index
        again = self.status(*key) not in (ContestStatus.NONE, ContestStatus.LAPSED)
        refuse_if(again, "Contests_AlreadyContested", *key)
        self.contests[key] = Contest(caller, self.chain.now)
        self.open_contests += 1
        self._emit("Contested", *key, caller, self.chain.now + self.constants.answer_window_s, self._bond)
        self._unit_token.pull(caller, self._bond)

    def answer(
        self, caller: str, proof: LeafProof, order: Order, order_r: bytes, order_vs: bytes,
        commitment: Commitment, node_signature: bytes, output: bytes,
    ) -> None:  # fmt: skip
        """Shows order and delivery. The contester's bond goes to the caller."""
        self._require_status(proof.epoch_id, proof.index, ContestStatus.OPEN)
        self.escrow.require_leaf(proof)
        order_id = require_leaf_of(self.escrow, self.stakes, proof, order, commitment, node_signature)
        found = compact_signer_of(order_id, order_r, order_vs)
        signed = found == proof.signer != ZERO_ADDRESS
        refuse_if(not signed, "Contests_NotSignedBySigner", found, proof.signer)
        terms = order.terms
        price = min(terms.max_price, terms.fixed_price + commitment.units * terms.unit_price)
        refuse_if(proof.amount_units != price, "Contests_WrongAmount", proof.amount_units, price)
        posted_at = self.escrow.epoch(proof.epoch_id).posted_at
        latest = terms.deadline + self.constants.epoch_max_s
        refuse_if(posted_at > latest, "Contests_PastDeadline", posted_at, latest)
        contester = self.contests[proof.epoch_id, proof.index].contester
        may_see = terms.visibility != VISIBILITY_RESTRICTED or contester in (proof.requester, proof.signer)
        promised = from_hex(commitment.output_root)
        if may_see:
            shown = _root_of(output)
            refuse_if(shown != promised, "Contests_WrongOutput", shown, promised)
        self._close(proof.epoch_id, proof.index, ContestStatus.ANSWERED)
        self._emit("Answered", proof.epoch_id, proof.index, caller, promised, self._bond)
        if may_see and caller != self.chain.origin:
            self._emit("Delivered", proof.epoch_id, proof.index, output)
        self._unit_token.push(caller, self._bond)

    def resolve(self, caller: str, proof: LeafProof, outcomes: Outcomes) -> None:
        """Ends an unanswered contest: returns the bond to the contester and the charge to the lane."""
        key = proof.epoch_id, proof.index
        self._require_status(*key, ContestStatus.UNANSWERED)
        contester = self._close(*key, ContestStatus.REFUNDED)
        self._unit_token.push(contester, self._bond)
        refund = self.escrow.refund_from_bond(self.address, proof, outcomes)
        self._emit("ContestResolved", *key, contester, refund, self._bond)

    def lapse(self, caller: str, epoch_id: int, index: int) -> None:
        """Ends a contest that nobody resolved in time: returns the bond only."""
        self._require_status(epoch_id, index, ContestStatus.OVERDUE)
        contester = self._close(epoch_id, index, ContestStatus.LAPSED)
        self._emit("ContestLapsed", epoch_id, index, contester, self._bond)
        self._unit_token.push(contester, self._bond)

    def contest_duplicate(
        self,
        caller: str,
        order: Order,
        proofs: Sequence[LeafProof],
        outcomes: Sequence[Outcomes],
        commitments: Sequence[Commitment],
    ) -> None:
        """Given one more paid leaf than the order has copies, refunds the one charged last."""
        needed = order.terms.copies + 1
        complete = len(proofs) == len(outcomes) == len(commitments) == needed
        refuse_if(not complete, "Contests_WrongNumberOfLeaves", len(proofs), needed)
        latest, latest_at = 0, 0
        for i, proof in enumerate(proofs):
            here = proof.epoch_id, proof.index
            ascending = i == 0 or here > (proofs[i - 1].epoch_id, proofs[i - 1].index)
            refuse_if(not ascending, "Contests_NotAscending", *here)
            require_commitment(self.escrow, commitments[i], proof.digest)
            require_order(self.escrow, order, commitments[i])
            charged_at = self._charged_at(proof, outcomes[i])
            if charged_at >= latest_at:
                latest, latest_at = i, charged_at
        ends_at = latest_at + self.constants.contest_window_s
        refuse_if(self.chain.now >= ends_at, "Contests_TooLate", self.chain.now, ends_at)
        proof = proofs[latest]
        refund = self.escrow.refund_from_bond(self.address, proof, outcomes[latest])
        self._emit("DuplicateRefunded", proof.epoch_id, proof.index, from_hex(commitments[latest].order_id), refund)

    def status(self, epoch_id: int, index: int) -> ContestStatus:
        """The status of a leaf's contest."""
        contest = self.contests.get((epoch_id, index))
        if contest is None:
            return ContestStatus.NONE
        if contest.closed_as != ContestStatus.NONE:
            return contest.closed_as
        answer_ends = contest.contested_at + self.constants.answer_window_s
        if self.chain.now < answer_ends:
            return ContestStatus.OPEN
        resolvable = self.chain.now < answer_ends + self.constants.resolve_window_s
        return ContestStatus.UNANSWERED if resolvable else ContestStatus.OVERDUE

    def held(self) -> int:
        """Base units owed."""
        return self.open_contests * self._bond * self.constants.unit_wei

    def donated(self) -> int:
        """Base units beyond what is owed."""
        return max(0, self.token.balance_of(self.address) - self.held())

    # ---- inside

    @property
    def _bond(self) -> int:
        return self.constants.contest_bond_units

    @property
    def _unit_token(self) -> UnitToken:
        return UnitToken(self.token, self.address, self.constants.unit_wei)

    def _emit(self, name: str, *values: Value) -> None:
        self.chain.emit(self.address, name, *values)

    def _charged_at(self, proof: LeafProof, outcomes: Outcomes) -> int:
        """When the lane was charged. Refuses uncharged leaves and the treasury's lane."""
        status, charged_at = self.escrow.leaf_status(proof, outcomes)
        key = proof.epoch_id, proof.index
        refuse_if(status != LeafStatus.PAID, "Contests_NotCharged", *key, int(status))
        refuse_if(proof.requester == self.treasury, "Contests_TreasuryLane", *key)
        return charged_at

    def _require_status(self, epoch_id: int, index: int, needed: ContestStatus) -> None:
        status = self.status(epoch_id, index)
        refuse_if(status != needed, "Contests_WrongStatus", int(status), int(needed))

    def _close(self, epoch_id: int, index: int, closed_as: ContestStatus) -> str:
        contest = self.contests[epoch_id, index]
        contest.closed_as = closed_as
        self.open_contests -= 1
        return contest.contester


def _root_of(output: bytes) -> bytes:
    """The root of packed words. Refuses bytes whose counts and length differ."""
    length, needed = len(output), WORD_BYTES
    refuse_if(length < needed, "PackedWords_NotPacked", length, needed)
    lists = int.from_bytes(output[:WORD_BYTES], "big")
    needed += WORD_BYTES * lists
    refuse_if(length < needed, "PackedWords_NotPacked", length, needed)
    for place in range(1, lists + 1):
        needed += WORD_BYTES * int.from_bytes(output[WORD_BYTES * place : WORD_BYTES * (place + 1)], "big")
        refuse_if(length < needed, "PackedWords_NotPacked", length, needed)
    refuse_if(length != needed, "PackedWords_NotPacked", length, needed)
    return packed_root(output)
