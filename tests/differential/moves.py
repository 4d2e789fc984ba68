"""The moves of everybody as a Hypothesis state machine. Each call goes to model and chain (see `twin`)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis.stateful import rule

from contracts.model.base import U64, ZERO_ADDRESS
from contracts.model.proofs import LeafProof, Outcomes
from contracts.protocol.hashing import ZERO32, keccak
from contracts.protocol.records import Opening
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import answer_commit
from tests.differential import hand
from tests.differential.escrow_moves import EscrowMoves
from tests.differential.hand import Draft, Draw, Job, Row
from tests.differential.scene import ALICE, BOB, DATA, PEOPLE, SESSION, WHALE
from tests.differential.twin import CONSTANTS as C


class Moves(EscrowMoves):
    """And stakes, contests, cases. Subclasses name the twin."""

    # ---------------------------------------------------------------- stakes

    @rule(data=DATA)
    def account(self, data: Any) -> None:
        """Registering, keys, payouts."""
        draw = Draw(data)
        owner = PEOPLE[draw.pick("owner6", "owner1", "owner3", "mallory")]
        move = draw.pick("register", "addNodeKey", "setPayout", "setPayout", "revokeNodeKey")
        if move == "addNodeKey":
            node = draw.pick(PEOPLE["node3"], PEOPLE["node1"], PEOPLE["key3"], ZERO_ADDRESS)
            digest = self.twin.net.stakes.domain.node_key_digest(owner, node)
            self.act(owner, "stakes", move, node, hand.tampered(draw, hand.sign(node, digest), digest))
        elif move == "revokeNodeKey":
            node = draw.pick("node3", "node1", "node2")
            owner = draw.pick(owner, PEOPLE[f"owner{node[-1]}"])
            self.act(owner, "stakes", move, PEOPLE[node])
        else:
            self.act(owner, "stakes", move, draw.pick(owner, BOB, ZERO_ADDRESS))

    @rule(data=DATA)
    def stake(self, data: Any) -> None:
        """In, towards the exit, out."""
        draw = Draw(data)
        stakes = self.twin.net.stakes
        number = 1 + draw.below(len(stakes.accounts) + 1)
        owner = stakes.owner_of(number)
        caller = owner if owner in self.everybody else PEOPLE["mallory"]
        move = draw.pick("stake", "unbond", "withdrawStake")
        if move == "stake":
            self.act(draw.pick(caller, WHALE), "stakes", move, number, self.amount(draw))
        elif move == "unbond":
            held = stakes.accounts[number].stake if number in stakes.accounts else 0
            self.act(caller, "stakes", move, draw.pick(held, held // 2, min(U64, held + 1), 0))
        else:
            since = stakes.accounts[number].unbond_at if number in stakes.accounts else 0
            seconds = self.when(draw, since + C.unbond_s) if draw.one_in(4) else 1
            self.act(caller, "stakes", move, draw.pick(caller, caller, ZERO_ADDRESS), seconds=seconds)

    @rule(data=DATA)
    def whole_unbonding(self, data: Any) -> None:
        """All the way out, around the end of the wait, locked or not."""
        draw = Draw(data)
        number = 1 + draw.below(len(self.twin.net.stakes.accounts))
        owner, account = self.twin.net.stakes.owner_of(number), self.twin.net.stakes.accounts[number]
        self.act(owner, "stakes", "unbond", draw.pick(account.stake // 2, account.stake, 0))
        seconds = C.unbond_s + draw.pick(0, -1, 1)
        self.act(owner, "stakes", "withdrawStake", draw.pick(owner, owner, ZERO_ADDRESS), seconds=seconds)

    @rule(data=DATA)
    def admit_or_retire(self, data: Any) -> None:
        """By the governor."""
        draw = Draw(data)
        number, governor = draw.pick(6, 3, 4, 1, 99, 5), self.by(draw, self.twin.at.governor)
        if draw.one_in(3):
            self.act(governor, "stakes", "retireVerifier", number)
        else:
            key = PEOPLE[draw.pick("key6", "key3", "node1", "second")]
            self.act(governor, "stakes", "admitVerifier", number, draw.pick(key, key, ZERO_ADDRESS))

    @rule(data=DATA)
    def not_the_court(self, data: Any) -> None:
        """What only court and contests may."""
        draw = Draw(data)
        caller = draw.pick(*self.everybody)
        move = draw.pick("refund", "refundFromBond", "lock", "lockVerifier", "unlock", "slash", "reward")
        found = self.leaf(draw)
        if move == "slash":
            self.act(caller, "stakes", move, 1, 1, 1, 0)
        elif move == "lockVerifier":
            self.act(caller, "stakes", move, PEOPLE["key3"], 1)
        elif move in ("lock", "unlock", "reward"):
            self.act(caller, "stakes", move, 1, 1)
        elif found is not None:
            proof, outcomes, _ = found
            self.act(caller, "escrow", move, proof, outcomes, *([1] if move == "refund" else []))

    # ---------------------------------------------------------------- contests

    @rule(data=DATA)
    def contest(self, data: Any) -> None:
        """A charge, around the end of its window."""
        draw = Draw(data)
        found = self.leaf(draw, settled=not draw.one_in(6))
        if found is None:
            return
        proof, outcomes, _ = found
        caller = draw.pick(ALICE, SESSION, PEOPLE["mallory"], self.twin.wallet)
        charged = self.escrow.epoch(proof.epoch_id).posted_at
        seconds = self.when(draw, charged + C.contest_window_s) if draw.one_in(4) else 1
        self.act(caller, "contests", "contest", proof, outcomes, seconds=seconds)

    @rule(data=DATA)
    def whole_contest(self, data: Any) -> None:
        """A settled epoch, a contest of one of its charges, and how it ends."""
        self.whole_epoch(data)
        self.contest(data)
        self.contest_ends(data)

    @rule(data=DATA)
    def contest_ends(self, data: Any) -> None:
        """Answered, resolved or lapsed, each in its time or not."""
        draw = Draw(data)
        contests = self.twin.net.contests.contests
        still_open = [key for key, contest in contests.items() if contest.closed_as == 0]
        known = still_open or list(contests)
        if not known:
            found = self.leaf(draw)
            if found is not None and draw.one_in(8):
                self.act(ALICE, "contests", "resolve", *found[:2])
            return
        epoch_id, index = draw.pick(*known)
        if index >= len(self.drafts[epoch_id].rows):
            return
        proof = self.drafts[epoch_id].proof(epoch_id, index)
        outcomes = self.outcomes.get(epoch_id, Outcomes(b"", b""))
        answers_end = contests[epoch_id, index].contested_at + C.answer_window_s
        move = draw.pick("answer", "answer", "resolve", "lapse")
        if not draw.one_in(4):
            by_status = {2: "resolve", 3: "lapse"}
            move = by_status.get(int(self.twin.net.contests.status(epoch_id, index)), move)
        caller = draw.pick(*self.everybody)
        if move == "answer":
            self.answer(draw, caller, proof, self.when(draw, answers_end) if draw.one_in(6) else 1)
        elif move == "resolve":
            seconds = self.when(draw, answers_end, answers_end, answers_end + C.resolve_window_s)
            self.act(caller, "contests", move, proof, outcomes, seconds=seconds)
        else:
            seconds = self.when(draw, answers_end + C.resolve_window_s)
            self.act(caller, "contests", move, epoch_id, index, seconds=seconds)

    def answer(self, draw: Draw, caller: str, proof: LeafProof, seconds: int) -> None:
        """The order and the delivery, or other ones."""
        job = self.jobs.get(proof.digest)
        if job is None or draw.one_in(16):
            job = draw.pick(*self.jobs.values())
        order = draw.pick(*self.jobs.values()).order if draw.one_in(16) else job.order
        order_signature = hand.sign(proof.signer, self.escrow.domain.order_id(order))
        signature = hand.sign(job.commitment.node, job.digest)
        if draw.one_in(8):
            order_signature = hand.sign(PEOPLE["mallory"], self.escrow.domain.order_id(order))
        r, vs = compact("0x" + order_signature.hex()) if order_signature[64] in (27, 28) else (ZERO32, ZERO32)
        output = draw.pick(hand.OUTPUT, hand.OUTPUT, hand.OUTPUT, hand.OUTPUT, *hand.OTHER_OUTPUTS)
        node_signature = hand.tampered(draw, signature, job.digest) if draw.one_in(4) else signature
        arguments = proof, order, r, vs, job.commitment, node_signature, output
        self.act(caller, "contests", "answer", *arguments, seconds=seconds)

    @rule(data=DATA)
    def whole_duplicate(self, data: Any) -> None:
        """An order charged once more than it has copies, and what the chain makes of it."""
        draw = Draw(data)
        first = self.job(draw, ALICE)
        jobs = [first]
        for _ in range(first.order.terms.copies):
            self.made += 1
            trace = keccak(b"copy" + self.made.to_bytes(4, "big"))
            jobs.append(hand.job_of(self.escrow, first.order, PEOPLE["node1"], 5, trace))
        self.jobs |= {job.digest: job for job in jobs}
        rows = tuple(Row(ALICE, ALICE, 1, draw.pick(job.amount, 1), job.digest) for job in jobs)
        if self.post(draw, Draft((rows,))):
            epoch_id = self.escrow.last_epoch
            self.reveal_seed()
            self.settle(draw, epoch_id, C.check_wait_s)
            self.contest_duplicate(data)

    @rule(data=DATA)
    def contest_duplicate(self, data: Any) -> None:
        """Leaves of one order, more than its copies; or not."""
        draw = Draw(data)
        by_order: dict[str, list[tuple[int, int]]] = {}
        for epoch_id, draft in self.drafts.items():
            for index, row in enumerate(draft.rows):
                if row.digest in self.jobs:
                    by_order.setdefault(self.jobs[row.digest].commitment.order_id, []).append((epoch_id, index))
        known = [leaves for leaves in by_order.values() if len(leaves) > 1] or list(by_order.values())
        if not known:
            return
        leaves = draw.pick(*known[::-1])
        jobs = [self.jobs[self.drafts[epoch_id].rows[index].digest] for epoch_id, index in leaves]
        needed = jobs[0].order.terms.copies + 1
        if not draw.one_in(8):
            leaves, jobs = leaves[:needed], jobs[:needed]
        if draw.one_in(8):
            leaves, jobs = leaves[::-1], jobs[::-1]
        if draw.one_in(12):
            jobs = [draw.pick(*self.jobs.values()) for _ in jobs]
        order = draw.pick(*self.jobs.values()).order if draw.one_in(12) else jobs[0].order
        proofs = [self.drafts[epoch_id].proof(epoch_id, index) for epoch_id, index in leaves]
        outcomes = [self.outcomes.get(epoch_id, Outcomes(b"", b"")) for epoch_id, _ in leaves]
        charged = self.escrow.epoch(leaves[-1][0]).posted_at
        seconds = self.when(draw, charged + C.contest_window_s) if draw.one_in(6) else 1
        commitments = [job.commitment for job in jobs]
        caller = draw.pick(*self.everybody)
        self.act(caller, "contests", "contestDuplicate", order, proofs, outcomes, commitments, seconds=seconds)

    # ---------------------------------------------------------------- court

    def opening(self, draw: Draw, job: Job, right: bool) -> Opening:
        """What a verifier computed."""
        trace = job.trace if right else keccak(job.trace)
        units = draw.pick(job.commitment.units, job.commitment.units, 0) if draw.one_in(4) else job.commitment.units
        return Opening(trace_hash="0x" + trace.hex(), output_root=job.commitment.output_root, units=units)

    def commit_of(self, draw: Draw, case_id: bytes, key: str, job: Job) -> bytes:
        """Its hidden form, kept for the opening."""
        opening = self.opening(draw, job, draw.one_in(3))
        self.answers.setdefault((case_id, key), opening)
        return answer_commit(opening, job.digest, key)

    @rule(data=DATA)
    def open_case(self, data: Any) -> None:
        """By a verifier, on a posted leaf."""
        draw = Draw(data)
        found = self.leaf(draw)
        if found is None:
            return
        proof, _, job = found
        if job is None or draw.one_in(16):
            job = draw.pick(*self.jobs.values())
        case_id = self.twin.net.court.case_id(proof)
        key = self.by(draw, PEOPLE[draw.pick("key3", "key4", "key5")])
        signature = hand.sign(job.commitment.node, job.digest)
        if draw.one_in(10):
            signature = hand.tampered(draw, signature, job.digest)
        order = draw.pick(*self.jobs.values()).order if draw.one_in(16) else job.order
        commit = self.commit_of(draw, case_id, key, job)
        closes = self.escrow.epoch(proof.epoch_id).posted_at + C.case_window_s
        seconds = self.when(draw, closes) if draw.one_in(8) else 1
        arguments = proof, order, job.commitment, signature, commit
        if self.act(key, "court", "openCase", *arguments, seconds=seconds) is not None:
            self.cases[case_id] = proof

    @rule(data=DATA)
    def vote(self, data: Any) -> None:
        """Other verifiers' answers, appeals, openings."""
        draw = Draw(data)
        court = self.twin.net.court
        if not court.cases or draw.one_in(20):
            self.act(PEOPLE["key3"], "court", "commitVerdict", keccak(b"no case"), ZERO32)
            return
        case_id = draw.pick(*reversed(court.cases))
        case = court.cases[case_id]
        job = self.jobs[case.leaf.digest]
        move = draw.pick("commitVerdict", "commitVerdict", "reveal", "reveal", "appeal")
        key = self.by(draw, PEOPLE[draw.pick("key3", "key4", "key5")])
        edges = case.commit_ends, case.commit_ends, case.commit_ends + C.reveal_window_s
        if move == "commitVerdict":
            seconds = self.when(draw, case.commit_ends) if draw.one_in(5) else 1
            self.act(key, "court", move, case_id, self.commit_of(draw, case_id, key, job), seconds=seconds)
        elif move == "appeal":
            if draw.one_in(2):
                caller = self.by(draw, draw.pick(PEOPLE["node1"], PEOPLE["owner1"]))
                leaf = self.named(draw, case.leaf)
                self.act(caller, "court", move, leaf, seconds=self.when(draw, *edges) if draw.one_in(5) else 1)
        else:
            self.reveal(draw, case_id, key, self.when(draw, *edges))

    def reveal(self, draw: Draw, case_id: bytes, key: str, seconds: int) -> None:
        """What was committed, or something else."""
        leaf = self.twin.net.court.cases[case_id].leaf
        job = self.jobs[leaf.digest]
        opening = self.answers.get((case_id, key), self.opening(draw, job, True))
        if draw.one_in(12):
            opening = self.opening(draw, job, True)
        commitment = draw.pick(*self.jobs.values()).commitment if draw.one_in(12) else job.commitment
        trace, output = bytes.fromhex(opening.trace_hash[2:]), bytes.fromhex(opening.output_root[2:])
        leaf = self.named(draw, leaf)
        self.act(key, "court", "reveal", leaf, commitment, trace, output, opening.units, seconds=seconds)

    def named(self, draw: Draw, leaf: LeafProof) -> LeafProof:
        """A leaf as the court is told which one: mostly without its proof, at times another one."""
        if draw.one_in(20):
            return hand.wrong_proof(draw, leaf)
        return leaf if draw.one_in(4) else replace(leaf, siblings=())

    @rule(data=DATA)
    def whole_case(self, data: Any) -> None:
        """Opened, answered by the others, opened by all or some, executed."""
        draw = Draw(data)
        self.open_case(data)
        cases = self.twin.net.court.cases
        if not cases:
            return
        case_id = list(cases)[-1]
        job = self.jobs[cases[case_id].leaf.digest]
        for name in ("key3", "key4", "key5"):
            if not draw.one_in(4):
                commit = self.commit_of(draw, case_id, PEOPLE[name], job)
                self.act(PEOPLE[name], "court", "commitVerdict", case_id, commit)
        if draw.one_in(4):
            leaf = self.named(draw, cases[case_id].leaf)
            self.act(draw.pick(PEOPLE["node1"], PEOPLE["node2"]), "court", "appeal", leaf)
        wait = max(1, cases[case_id].commit_ends - self.twin.now)
        for name in ("key3", "key4", "key5"):
            if not draw.one_in(4):
                self.reveal(draw, case_id, PEOPLE[name], wait)
                wait = 1
        self.execute(data)

    @rule(data=DATA)
    def execute(self, data: Any) -> None:
        """A ruling, once there is one and its leaf is final."""
        draw = Draw(data)
        if not self.cases:
            return
        case_id = draw.pick(*reversed(self.cases))
        case = self.twin.net.court.cases[case_id]
        outcomes = self.outcomes.get(case.leaf.epoch_id, Outcomes(b"", b""))
        arguments = self.named(draw, case.leaf), outcomes, self.some(draw, case.votes)
        seconds = self.when(draw, case.commit_ends + C.reveal_window_s)
        self.act(draw.pick(*self.everybody), "court", "execute", *arguments, seconds=seconds)

    @rule(data=DATA)
    def late_verifier(self, data: Any) -> None:
        """Active again only after a case was opened."""
        draw = Draw(data)
        self.act(PEOPLE["owner5"], "stakes", "unbond", self.twin.net.stakes.accounts[5].stake)
        self.open_case(data)
        self.act(WHALE, "stakes", "stake", 5, 2 * C.min_verifier_stake_units)
        cases = self.twin.net.court.cases
        if cases:
            case_id = list(cases)[-1]
            commit = self.commit_of(draw, case_id, PEOPLE["key5"], self.jobs[cases[case_id].leaf.digest])
            self.act(PEOPLE["key5"], "court", "commitVerdict", case_id, commit)

    @rule(data=DATA)
    def settle_votes(self, data: Any) -> None:
        """Some of the votes in a case, executed or not."""
        draw = Draw(data)
        if self.cases:
            case_id = draw.pick(*reversed(self.cases))
            votes = self.some(draw, self.twin.net.court.cases[case_id].votes)
            self.act(draw.pick(*self.everybody), "court", "settleVotes", case_id, votes)

    @rule(data=DATA)
    def sweep(self, data: Any) -> None:
        """What was slashed and nobody is owed."""
        self.act(Draw(data).pick(*self.everybody), "stakes", "sweep")

    def some(self, draw: Draw, votes: Iterable[int]) -> list[int]:
        """Who voted; or some of them, one twice, somebody who did not."""
        ids = list(votes)
        return ids if draw.one_in(2) else [draw.pick(*ids, 3, 4, 99) for _ in range(draw.pick(0, 1, 2, 4))]

    @rule(data=DATA)
    def equivocation(self, data: Any) -> None:
        """Two commitments of one node to one order; or what looks like it."""
        draw = Draw(data)
        if not self.jobs:
            return
        jobs = list(self.jobs.values())
        first = draw.pick(*reversed(jobs))
        others = [job for job in jobs if job.commitment.order_id == first.commitment.order_id and job != first]
        same = [job for job in others if job.commitment.node == first.commitment.node]
        second = draw.pick(*(same or others or [first]))
        if not same and not draw.one_in(3):
            self.made += 1
            trace = keccak(b"second" + self.made.to_bytes(4, "big"))
            second = hand.job_of(self.escrow, first.order, first.commitment.node, 5, trace)
        if draw.one_in(10):
            second = draw.pick(*jobs)
        one = hand.sign(first.commitment.node, first.digest)
        two = hand.tampered(draw, hand.sign(second.commitment.node, second.digest), second.digest)
        caller = draw.pick(*self.everybody)
        order_id = bytes.fromhex(first.commitment.order_id[2:])
        requester = first.order.requester
        signer = draw.pick(requester, requester, requester, SESSION, PEOPLE["mallory"])
        r, vs = compact("0x" + hand.sign(signer, order_id).hex())
        arguments = first.order, r, vs, first.commitment, one, second.commitment, two
        self.act(caller, "court", "equivocation", *arguments)


WEIGHTS = {
    "whole_epoch": 6, "whole_contest": 4, "whole_case": 4, "contest_ends": 4, "settle_one": 3, "whole_withdrawal": 2,
    "whole_duplicate": 2, "whole_unbonding": 1,
    "post_epoch": 2, "settle_epoch": 3, "contest": 2, "contest_duplicate": 3, "vote": 4, "execute": 3,
    "settle_votes": 2, "sweep": 1, "late_verifier": 1,
    "equivocation": 2, "claim": 2, "stake": 3, "deposit": 2, "deposit_with_permit": 1, "deposit_with_authorization": 2,
    "open_lane": 1, "open_lane_with_grant": 1, "notice": 1, "withdraw": 1, "bond": 2, "bond_leaves": 1, "roles": 1,
    "donate": 1, "look": 1, "account": 1, "admit_or_retire": 1, "not_the_court": 1, "open_case": 1,
}  # fmt: skip
"""How often a long walk takes each rule: whole stories more often than single calls, which mostly come too early."""
