"""SlashingCourt (SPEC section 8): cases, answers, rulings."""

from dataclasses import dataclass, field
from enum import IntEnum

from contracts.model.base import U64, ZERO_ADDRESS, Chain, Value, hash_words, refuse_if
from contracts.model.escrow import Escrow
from contracts.model.evidence import require_commitment, require_leaf_of, require_order, require_signed
from contracts.model.proofs import LeafProof, Outcomes
from contracts.model.stakes import Stakes
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import ZERO32
from contracts.protocol.records import COMPARATOR_EXACT, Commitment, Opening, Order
from contracts.protocol.typed_data import agrees, answer_commit, answer_key


class Ruling(IntEnum):
    """Derived once the openings are over."""

    OPEN = 0
    DISMISSED = 1
    NODE_UPHELD = 2
    NODE_GUILTY = 3


@dataclass
class Vote:
    """A verifier's answer in a case: hidden, then opened."""

    verifier: str
    locked: int
    answer_commit: bytes
    answer_key: bytes = ZERO32


@dataclass
class Answer:
    """An opened answer and who stands behind it."""

    stake: int = 0
    openers: int = 0
    agrees_with_node: bool = False


@dataclass
class Case:
    """A file on one leaf."""

    commitment_digest: bytes
    operator_id: int
    penalty: int
    exposure: int
    commit_ends: int
    snapshot_block: int
    snapshot: int
    leading: bytes = ZERO32
    appealed: bool = False
    executed: bool = False
    votes: dict[int, Vote] = field(default_factory=dict)
    answers: dict[bytes, Answer] = field(default_factory=dict)


@dataclass
class Court:
    """The contract's state and its functions."""

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
        """A verifier computed something else than the node committed to."""
        case_id = self.case_id(proof.epoch_id, proof.index)
        refuse_if(case_id in self.cases, "SlashingCourt_CaseExists", case_id)
        now, closes_at = self.chain.now, self.escrow.epoch(proof.epoch_id).posted_at + self.constants.case_window_s
        refuse_if(now > closes_at, "SlashingCourt_CaseWindowClosed", now, closes_at)
        self.escrow.require_leaf(proof)
        require_leaf_of(self.escrow, self.stakes, proof, order, commitment, signature)
        comparator = order.terms.comparator
        refuse_if(comparator != COMPARATOR_EXACT, "SlashingCourt_NotExact", comparator)
        penalty = self._penalty_of(order)
        case = Case(
            commitment_digest=proof.digest,
            operator_id=proof.operator_id,
            penalty=self.stakes.lock(self.address, proof.operator_id, penalty),
            exposure=max(penalty, self.constants.case_reward_units),
            commit_ends=now + self.constants.commit_window_s,
            snapshot_block=self.chain.block - 1,
            snapshot=self.stakes.total_active_stake_at(self.chain.block - 1),
        )
        self.cases[case_id] = case
        self._emit(
            "CaseOpened", case_id, proof.epoch_id, proof.index, proof.operator_id,
            self.stakes.verifier_of(caller), proof.digest, case.penalty, case.commit_ends,
        )  # fmt: skip
        self._commit(caller, case_id, commit)
        return case_id

    def commit_verdict(self, caller: str, case_id: bytes, commit: bytes) -> None:
        """Another verifier's answer, hidden."""
        case = self._case(case_id)
        ended = self.chain.now >= case.commit_ends
        refuse_if(ended, "SlashingCourt_OutsideWindow", self.chain.now, 0, case.commit_ends)
        self._commit(caller, case_id, commit)

    def reveal(
        self, caller: str, case_id: bytes, commitment: Commitment, trace_hash: bytes, output_hash: bytes, units: int
    ) -> None:
        """Opens it."""
        case, now = self._case(case_id), self.chain.now
        ends = case.commit_ends + self.constants.reveal_window_s
        within = case.commit_ends <= now < ends
        refuse_if(not within, "SlashingCourt_OutsideWindow", now, case.commit_ends, ends)
        digest = require_commitment(self.escrow, commitment, case.commitment_digest)
        opening = Opening(trace_hash="0x" + trace_hash.hex(), output_hash="0x" + output_hash.hex(), units=units)
        commit = answer_commit(opening, digest, caller)
        verifier_id = self.stakes.verifier_of(caller)
        vote = case.votes.get(verifier_id)
        committed = vote is not None and vote.verifier == caller and vote.answer_commit == commit
        if vote is None or not committed or vote.answer_key != ZERO32:
            refuse_if(True, "SlashingCourt_NotCommitted", case_id, caller, commit)
            return
        key, agreed = answer_key(opening), agrees(opening, commitment)
        vote.answer_key = key
        answer = case.answers.setdefault(key, Answer(agrees_with_node=agreed))
        answer.openers += 1
        answer.stake += self.stakes.active_stake_at(verifier_id, case.snapshot_block)
        if answer.stake > case.answers.get(case.leading, Answer()).stake:
            case.leading = key
        self._emit("VerdictRevealed", case_id, verifier_id, key, trace_hash, output_hash, units, agreed)

    # ---- the accused

    def appeal(self, caller: str, case_id: bytes) -> None:
        """By a node key or the owner, once: then only a majority convicts."""
        case, now = self._case(case_id), self.chain.now
        refuse_if(case.appealed, "SlashingCourt_AlreadyAppealed", case_id)
        refuse_if(now >= case.commit_ends, "SlashingCourt_OutsideWindow", now, 0, case.commit_ends)
        node = self.stakes.operator_of.get(caller, 0) == case.operator_id
        accused = node or self.stakes.owner_of(case.operator_id) == caller
        refuse_if(not accused, "SlashingCourt_NotTheAccused", caller, case.operator_id)
        case.appealed = True
        case.commit_ends = now + self.constants.commit_window_s
        self._emit("Appealed", case_id, caller, case.commit_ends)

    # ---- anyone

    def execute(self, caller: str, case_id: bytes, proof: LeafProof, outcomes: Outcomes) -> None:
        """Moves the money as the ruling says."""
        case, ruling = self._case(case_id), self.ruling(case_id)
        refuse_if(ruling == Ruling.OPEN, "SlashingCourt_StillOpen", case_id)
        refuse_if(case.executed, "SlashingCourt_AlreadyExecuted", case_id)
        other = self.case_id(proof.epoch_id, proof.index) != case_id
        refuse_if(other, "SlashingCourt_WrongLeaf", case_id)
        case.executed = True
        upheld = ZERO32 if ruling == Ruling.DISMISSED else case.leading
        slashed, refund = self._settle_verifiers(case, upheld), 0
        if ruling == Ruling.NODE_GUILTY:
            refund = self.escrow.refund(self.address, proof, outcomes, case.penalty)
            openers = [verifier for verifier, vote in case.votes.items() if vote.answer_key == upheld]
            reward = self.constants.case_reward_units
            self.stakes.slash(self.address, case.operator_id, case.penalty, refund, openers, reward)
            slashed += case.penalty
        else:
            self.stakes.unlock(self.address, case.operator_id, case.penalty)
        self._emit("CaseExecuted", case_id, int(ruling), upheld, slashed, refund)

    def equivocation(
        self, caller: str, order: Order, first: Commitment, first_signature: bytes,
        second: Commitment, second_signature: bytes, rewarded: int,
    ) -> None:  # fmt: skip
        """Two commitments of one node to one order need no verdict."""
        order_id = require_order(self.escrow, order, first)
        require_order(self.escrow, order, second)
        one, two = self.escrow.domain.commitment_digest(first), self.escrow.domain.commitment_digest(second)
        differ = one != two and first.node == second.node
        refuse_if(not differ, "SlashingCourt_NotTwoCommitments", one, two)
        operator_id = self.stakes.operator_of.get(first.node, 0)
        require_signed(self.stakes, one, first.node, operator_id, first_signature)
        require_signed(self.stakes, two, second.node, operator_id, second_signature)
        done = (order_id, first.node) in self.equivocated
        refuse_if(done, "SlashingCourt_AlreadySlashed", order_id, first.node)
        self.equivocated.add((order_id, first.node))
        rewardable = rewarded == 0 or (rewarded != operator_id and self.stakes.owner_of(rewarded) != ZERO_ADDRESS)
        refuse_if(not rewardable, "SlashingCourt_NotRewardable", rewarded)
        units = self.stakes.lock(self.address, operator_id, self._penalty_of(order))
        refuse_if(units == 0, "SlashingCourt_NothingToSlash", operator_id)
        winners = [rewarded] if rewarded else []
        self.stakes.slash(self.address, operator_id, units, 0, winners, self.constants.case_reward_units)
        self._emit("Equivocated", order_id, first.node, operator_id, one, two, units)

    # ---- views

    @staticmethod
    def case_id(epoch_id: int, index: int) -> bytes:
        """One case a leaf, ever."""
        return hash_words(epoch_id, index)

    def ruling(self, case_id: bytes) -> Ruling:
        """What the openings say."""
        case = self.cases.get(case_id)
        if case is None or self.chain.now < case.commit_ends + self.constants.reveal_window_s:
            return Ruling.OPEN
        leading = case.answers.get(case.leading, Answer())
        if 2 * leading.stake > case.snapshot:
            return Ruling.NODE_UPHELD if leading.agrees_with_node else Ruling.NODE_GUILTY
        unopposed = not case.appealed and len(case.answers) == 1 and leading.openers >= 2
        return Ruling.NODE_GUILTY if unopposed and not leading.agrees_with_node else Ruling.DISMISSED

    # ---- inside

    def _emit(self, name: str, *values: Value) -> None:
        self.chain.emit(self.address, name, *values)

    def _case(self, case_id: bytes) -> Case:
        refuse_if(case_id not in self.cases, "SlashingCourt_UnknownCase", case_id)
        return self.cases[case_id]

    def _penalty_of(self, order: Order) -> int:
        return min(U64, self.constants.penalty_multiple * order.terms.max_price)

    def _commit(self, caller: str, case_id: bytes, commit: bytes) -> None:
        case, verifier_id = self.cases[case_id], self.stakes.verifier_of(caller)
        active = verifier_id != 0 and self.stakes.active_stake_at(verifier_id, case.snapshot_block) > 0
        refuse_if(not active, "SlashingCourt_NotActiveVerifier", caller)
        refuse_if(verifier_id in case.votes, "SlashingCourt_AlreadyCommitted", case_id, verifier_id)
        locked = self.stakes.lock(self.address, verifier_id, case.exposure)
        refuse_if(locked == 0, "SlashingCourt_NothingToLose", verifier_id)
        case.votes[verifier_id] = Vote(caller, locked, commit)
        self._emit("VerdictCommitted", case_id, verifier_id, commit)

    def _settle_verifiers(self, case: Case, upheld: bytes) -> int:
        """Slashes who opened another answer than the upheld one, and who did not open; frees the rest."""
        slashed = 0
        for verifier_id, vote in case.votes.items():
            penalty = 0
            if vote.answer_key == ZERO32:
                penalty = min(self.constants.case_reward_units, vote.locked)
            elif upheld not in (ZERO32, vote.answer_key):
                penalty = vote.locked
            if penalty > 0:
                self.stakes.slash(self.address, verifier_id, penalty, 0, [], 0)
            if vote.locked > penalty:
                self.stakes.unlock(self.address, verifier_id, vote.locked - penalty)
            slashed += penalty
        return slashed
