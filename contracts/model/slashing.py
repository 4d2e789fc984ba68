"""SlashingCourt (SPEC section 8): cases, answers, rulings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from contracts.model.base import U64, ZERO_ADDRESS, Chain, Value, compact_signer_of, hash_words, refuse_if
from contracts.model.escrow import Escrow
from contracts.model.evidence import require_commitment, require_leaf_of, require_order, require_signed
from contracts.model.proofs import LeafProof, Outcomes
from contracts.model.stakes import Stakes
from contracts.protocol.constants import Constants
from contracts.protocol.records import COMPARATOR_EXACT, Commitment, Opening, Order
from contracts.protocol.typed_data import agrees, answer_commit, answer_key


class Ruling(IntEnum):
    """The rulings; OPEN until the reveal window has ended."""

    OPEN = 0
    DISMISSED = 1
    NODE_UPHELD = 2
    NODE_GUILTY = 3


@dataclass
class Vote:
    """A verifier's answer in a case: hidden, then opened."""

    answer_commit: bytes
    answer_key: bytes | None = None


@dataclass
class Answer:
    """An opened answer and its openers."""

    agrees_with_node: bool
    stake: int = 0
    openers: int = 0


@dataclass
class Case:
    """A case on one leaf. `votes` are not settled yet; `answers` are in the order of their first openings."""

    leaf: LeafProof
    penalty: int
    exposure: int
    commit_ends: int
    snapshot_block: int
    appealed: bool = False
    executed: bool = False
    reward: int = 0
    unopposed_openers: int = 0
    votes: dict[int, Vote] = field(default_factory=dict)
    answers: dict[bytes, Answer] = field(default_factory=dict)


@dataclass
class Court:
    """The contract's state and functions."""

    chain: Chain
    address: str
    constants: Constants
    escrow: Escrow
    stakes: Stakes
    cases: dict[bytes, Case] = field(default_factory=dict)
    equivocated: set[tuple[bytes, str]] = field(default_factory=set)

    # ---- verifiers

    def open_case(
        self, caller: str, proof: LeafProof, order: Order, commitment: Commitment, signature: bytes, commit: bytes
    ) -> bytes:
        """Opens a case with a verifier's hidden answer."""
        case_id = self.case_id(proof)
        refuse_if(case_id in self.cases, "SlashingCourt_CaseExists", case_id)
        self.escrow.require_leaf(proof)
        now, closes_at = self.chain.now, self.escrow.epoch(proof.epoch_id).posted_at + self.constants.case_window_s
        refuse_if(now > closes_at, "SlashingCourt_CaseWindowClosed", now, closes_at)
        require_leaf_of(self.escrow, self.stakes, proof, order, commitment, signature)
        comparator = order.terms.comparator
        refuse_if(comparator != COMPARATOR_EXACT, "SlashingCourt_NotExact", comparator)
        penalty = self._penalty_of(order)
        self.stakes.lock(self.address, proof.operator_id, penalty)
        exposure = min(max(penalty, self.constants.case_reward_units), self.constants.min_verifier_stake_units)
        ends = now + self.constants.commit_window_s
        self.cases[case_id] = Case(proof, penalty, exposure, ends, self.chain.block)
        self._emit(
            "CaseOpened", case_id, proof.epoch_id, proof.index, proof.requester, proof.signer, proof.operator_id,
            proof.amount_units, proof.digest, penalty, ends,
        )  # fmt: skip
        verifier_id = self.stakes.lock_verifier(self.address, caller, exposure)
        self._commit(case_id, verifier_id, commit)
        return case_id

    def commit_verdict(self, caller: str, case_id: bytes, commit: bytes) -> None:
        """Commits another verifier's hidden answer."""
        case = self._case(case_id)
        ended = self.chain.now >= case.commit_ends
        refuse_if(ended, "SlashingCourt_OutsideWindow", self.chain.now, 0, case.commit_ends)
        verifier_id = self.stakes.lock_verifier(self.address, caller, case.exposure)
        self._stake_in(case, verifier_id)
        self._commit(case_id, verifier_id, commit)

    def reveal(
        self, caller: str, leaf: LeafProof, commitment: Commitment, trace_hash: bytes, output_root: bytes, units: int
    ) -> None:
        """Opens a committed answer."""
        case_id = self.case_id(leaf)
        case, now = self._case(case_id), self.chain.now
        ends = case.commit_ends + self.constants.reveal_window_s
        within = case.commit_ends <= now < ends
        refuse_if(not within, "SlashingCourt_OutsideWindow", now, case.commit_ends, ends)
        digest = require_commitment(self.escrow, commitment, leaf.digest)
        opening = Opening(trace_hash="0x" + trace_hash.hex(), output_root="0x" + output_root.hex(), units=units)
        commit = answer_commit(opening, digest, caller)
        verifier_id = self.stakes.verifier_of(caller)
        vote = case.votes.get(verifier_id)
        if vote is None or vote.answer_commit[:31] != commit[:31] or vote.answer_key is not None:
            refuse_if(True, "SlashingCourt_NotCommitted", case_id, caller, commit)
            return
        key, agreed = answer_key(opening), agrees(opening, commitment)
        stake = self._stake_in(case, verifier_id)
        vote.answer_key = key
        answer = case.answers.setdefault(key, Answer(agreed))
        answer.openers += 1
        answer.stake += stake
        if len(case.answers) == 1:
            case.unopposed_openers = answer.openers
        self._emit("VerdictRevealed", case_id, verifier_id, key, trace_hash, output_root, units, agreed)

    # ---- the accused

    def appeal(self, caller: str, leaf: LeafProof) -> None:
        """Appeals, once, by a node key or the owner. Then only a majority convicts."""
        case_id = self.case_id(leaf)
        case, now = self._case(case_id), self.chain.now
        refuse_if(case.appealed, "SlashingCourt_AlreadyAppealed", case_id)
        refuse_if(now >= case.commit_ends, "SlashingCourt_OutsideWindow", now, 0, case.commit_ends)
        node = self.stakes.operator_of(caller) == leaf.operator_id
        accused = node or self.stakes.owner_of(leaf.operator_id) == caller
        refuse_if(not accused, "SlashingCourt_NotTheAccused", caller, leaf.operator_id)
        case.appealed = True
        case.commit_ends = now + self.constants.commit_window_s
        self._emit("Appealed", case_id, caller, case.commit_ends)

    # ---- anyone

    def execute(self, caller: str, leaf: LeafProof, outcomes: Outcomes, verifier_ids: Sequence[int]) -> None:
        """Moves the money as ruled, and settles the named votes."""
        case_id = self.case_id(leaf)
        case, ruling = self._case(case_id), self.ruling(case_id)
        refuse_if(ruling == Ruling.OPEN, "SlashingCourt_StillOpen", case_id)
        refuse_if(case.executed, "SlashingCourt_AlreadyExecuted", case_id)
        case.executed = True
        slashed, refund = 0, 0
        if ruling == Ruling.NODE_GUILTY:
            slashed = min(case.penalty, self.stakes.slashable_of(leaf.operator_id))
            refund = self.escrow.refund(self.address, leaf, outcomes, slashed)
            upheld = self._upheld(case)
            assert upheld is not None, "nobody is guilty without an answer that says so"
            openers = case.answers[upheld].openers
            case.reward = min(self.constants.case_reward_units, (slashed - refund) // openers)
            self.stakes.slash(self.address, leaf.operator_id, slashed, refund, case.reward * openers)
        self.stakes.unlock(self.address, leaf.operator_id, case.penalty - slashed)
        self._emit("CaseExecuted", case_id, int(ruling), slashed, refund, case.reward)
        self._settle_votes(case_id, ruling, verifier_ids)

    def settle_votes(self, caller: str, case_id: bytes, verifier_ids: Sequence[int]) -> None:
        """Settles votes of an executed case; skips verifiers without an unsettled vote."""
        case = self._case(case_id)
        refuse_if(not case.executed, "SlashingCourt_StillOpen", case_id)
        self._settle_votes(case_id, self.ruling(case_id), verifier_ids)

    def equivocation(
        self, caller: str, order: Order, order_r: bytes, order_vs: bytes, first: Commitment, first_signature: bytes,
        second: Commitment, second_signature: bytes,
    ) -> None:  # fmt: skip
        """Slashes a node for two commitments to one order that its requester signed."""
        order_id = require_order(self.escrow, order, first)
        require_order(self.escrow, order, second)
        self._require_ordered(order, compact_signer_of(order_id, order_r, order_vs))
        one, two = self.escrow.domain.commitment_digest(first), self.escrow.domain.commitment_digest(second)
        differ = one != two and first.node == second.node
        refuse_if(not differ, "SlashingCourt_NotTwoCommitments", one, two)
        operator_id = self.stakes.key_of(first.node).operator_id
        require_signed(self.stakes, one, first.node, operator_id, first_signature)
        revoked_at = require_signed(self.stakes, two, second.node, operator_id, second_signature)
        refuse_if(revoked_at != 0, "Evidence_KeyRevoked", first.node, revoked_at)
        done = (order_id, first.node) in self.equivocated
        refuse_if(done, "SlashingCourt_AlreadySlashed", order_id, first.node)
        self.equivocated.add((order_id, first.node))
        units = min(self._penalty_of(order), self.stakes.slashable_of(operator_id))
        refuse_if(units == 0, "SlashingCourt_NothingToSlash", operator_id)
        self.stakes.lock(self.address, operator_id, units)
        self.stakes.slash(self.address, operator_id, units, 0, 0)
        self._emit("Equivocated", order_id, first.node, operator_id, one, two, units)

    # ---- views

    @staticmethod
    def case_id(leaf: LeafProof) -> bytes:
        """The case's id: a hash of the whole leaf."""
        return hash_words(
            leaf.epoch_id, leaf.index, leaf.requester, leaf.signer, leaf.operator_id, leaf.amount_units, leaf.digest
        )

    def ruling(self, case_id: bytes) -> Ruling:
        """The ruling by the openings."""
        case = self.cases.get(case_id)
        if case is None or self.chain.now < case.commit_ends + self.constants.reveal_window_s:
            return Ruling.OPEN
        upheld = self._upheld(case)
        if upheld is None:
            return Ruling.DISMISSED
        return Ruling.NODE_UPHELD if case.answers[upheld].agrees_with_node else Ruling.NODE_GUILTY

    def majority(self, case: Case) -> bytes | None:
        """The answer that more than half of the snapshot's stake opened."""
        total = self.stakes.total_active_stake_at(case.snapshot_block)
        return next((key for key, answer in case.answers.items() if 2 * answer.stake > total), None)

    # ---- inside

    def _emit(self, name: str, *values: Value) -> None:
        self.chain.emit(self.address, name, *values)

    def _case(self, case_id: bytes) -> Case:
        refuse_if(case_id not in self.cases, "SlashingCourt_UnknownCase", case_id)
        return self.cases[case_id]

    def _penalty_of(self, order: Order) -> int:
        return min(U64, self.constants.penalty_multiple * order.terms.max_price)

    def _require_ordered(self, order: Order, signer: str) -> None:
        """Refuses unless the requester's key, or that of a lane it opened, signed."""
        own = signer == order.requester or self.escrow.lane(order.requester, signer).expiry != 0
        refuse_if(signer == ZERO_ADDRESS or not own, "SlashingCourt_NotOrdered", order.requester, signer)

    def _stake_in(self, case: Case, verifier_id: int) -> int:
        stake = self.stakes.active_stake_at(verifier_id, case.snapshot_block)
        refuse_if(stake == 0, "SlashingCourt_NotInSnapshot", verifier_id, case.snapshot_block)
        return stake

    def _commit(self, case_id: bytes, verifier_id: int, commit: bytes) -> None:
        votes = self.cases[case_id].votes
        refuse_if(verifier_id in votes, "SlashingCourt_AlreadyCommitted", case_id, verifier_id)
        votes[verifier_id] = Vote(commit)
        self._emit("VerdictCommitted", case_id, verifier_id, commit)

    def _upheld(self, case: Case) -> bytes | None:
        """A majority's answer. Without an appeal also the only answer, if two opened it and it is not the node's."""
        majority = self.majority(case)
        if majority is not None or case.appealed or len(case.answers) != 1:
            return majority
        ((key, answer),) = case.answers.items()
        return key if answer.openers >= 2 and not answer.agrees_with_node else None

    def _settle_votes(self, case_id: bytes, ruling: Ruling, verifier_ids: Sequence[int]) -> None:
        """Slashes who did not open the upheld answer or, if none is upheld, opened nothing; unlocks the rest."""
        case = self.cases[case_id]
        upheld = self._upheld(case)
        for verifier_id in verifier_ids:
            vote = case.votes.pop(verifier_id, None)
            if vote is None:
                continue
            penalty = reward = 0
            if upheld is not None:
                penalty = 0 if vote.answer_key == upheld else case.exposure
                reward = case.reward if vote.answer_key == upheld else 0
            elif vote.answer_key is None:
                penalty = self.constants.case_reward_units
            self._emit("VoteSettled", case_id, verifier_id, penalty, reward)
            if penalty > 0:
                self.stakes.slash(self.address, verifier_id, penalty, 0, 0)
            self.stakes.unlock(self.address, verifier_id, case.exposure - penalty)
            if reward > 0:
                self.stakes.reward(self.address, verifier_id, reward)
