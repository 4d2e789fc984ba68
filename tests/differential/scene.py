"""Who is there when a sequence of moves begins, what they have in hand, and how a move chooses."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from contracts.model.base import U32, U64, U256, ZERO_ADDRESS
from contracts.model.proofs import LeafProof, Outcomes
from contracts.protocol.hashing import ZERO32, keccak
from contracts.protocol.packing import CapProof
from contracts.protocol.records import Opening
from tests.differential import hand
from tests.differential.hand import AMOUNTS, Draft, Draw, Job, Row
from tests.differential.twin import CONSTANTS as C
from tests.differential.twin import Twin, person

PEOPLE = {name: person(name).address for name in hand.NAMES}
ALICE, BOB, WHALE, SESSION, SECOND = (PEOPLE[name] for name in ("alice", "bob", "whale", "session", "second"))
FAR = 2**40
DATA = st.data()


def prepare(twin: Twin) -> None:
    """The state that every sequence starts from: people with tokens, two operators, three verifiers, funded lanes."""
    at = twin.at
    payers = [*PEOPLE.values(), twin.wallet]
    for payer in payers:
        twin.act(at.minter, "token", "mint", payer, 10**9 * (2**70 if payer == WHALE else 2**50))
        for contract in (at.escrow, at.stakes, at.contests):
            twin.act(payer, "token", "approve", contract, U256)
    for number, stake in ((1, 10**10), (2, 5000), (3, 2 * 10**9), (4, 3 * 10**9), (5, 4 * 10**9)):
        owner = PEOPLE[f"owner{number}"]
        twin.act(owner, "stakes", "register", owner)
        twin.act(owner, "stakes", "stake", number, stake)
        if number <= 2:
            node = PEOPLE[f"node{number}"]
            signature = hand.sign(node, twin.net.stakes.domain.node_key_digest(owner, node))
            twin.act(owner, "stakes", "addNodeKey", node, signature)
        else:
            twin.act(at.governor, "stakes", "admitVerifier", number, PEOPLE[f"key{number}"])
    twin.act(at.settler, "escrow", "bondSettler", 10**12)
    for requester in (ALICE, BOB, at.treasury, twin.wallet):
        twin.act(requester, "escrow", "deposit", requester, requester, 10**9)
    twin.act(ALICE, "escrow", "openLane", SESSION, twin.now + 2000, 10**6)
    twin.mark()


class Scene(RuleBasedStateMachine):
    """Subclasses name the twin."""

    twin: Twin

    def __init__(self) -> None:
        super().__init__()
        self.twin.rewind()
        self.drafts: dict[int, Draft] = {}
        self.outcomes: dict[int, Outcomes] = {}
        self.jobs: dict[bytes, Job] = {}
        self.cases: dict[bytes, LeafProof] = {}
        self.answers: dict[tuple[bytes, str], Opening] = {}
        self.lanes = [(ALICE, ALICE), (BOB, BOB), (ALICE, SESSION), (self.twin.wallet, self.twin.wallet)]
        self.everybody = (*PEOPLE.values(), self.twin.wallet)
        self.made = 0

    # ---------------------------------------------------------------- helpers

    @property
    def escrow(self) -> Any:
        """The model's escrow, as it is now."""
        return self.twin.net.escrow

    def act(self, caller: str, contract: str, name: str, *arguments: Any, seconds: int = 1, blocks: int = 1) -> Any:
        """One call to both."""
        return self.twin.act(caller, contract, name, *arguments, seconds=seconds, blocks=blocks)

    def by(self, draw: Draw, right: str) -> str:
        """Who should call, or somebody else."""
        return draw.pick(*self.everybody) if draw.one_in(16) else right

    def when(self, draw: Draw, *edges: int) -> int:
        """Seconds until an edge, one before or one after; mostly at once."""
        if not edges or draw.one_in(2):
            return 1
        at = draw.pick(*edges) + draw.pick(0, -1, 1)
        return at - self.twin.now if 0 < at - self.twin.now < 10**6 else 1

    def lane(self, draw: Draw) -> tuple[str, str]:
        """A known one, or any."""
        if draw.one_in(8):
            return draw.pick(*self.everybody, self.twin.at.escrow), draw.pick(*self.everybody, ZERO_ADDRESS)
        return draw.pick(*self.lanes, (self.twin.at.treasury, self.twin.at.treasury))

    def amount(self, draw: Draw) -> int:
        """Small, or at the edge of a field."""
        return draw.pick(*AMOUNTS) if draw.one_in(4) else draw.pick(*AMOUNTS[:4])

    def leaf(self, draw: Draw, settled: bool = False) -> tuple[LeafProof, Outcomes, Job | None] | None:
        """A posted leaf, perhaps of a settled epoch, with what proves it; now and then something about it is wrong."""
        posted = [epoch_id for epoch_id, draft in self.drafts.items() if draft.rows]
        if not posted:
            return None
        posted = [epoch_id for epoch_id in posted if settled and epoch_id in self.outcomes][-2:] or posted
        epoch_id = draw.pick(*reversed(posted))
        draft = self.drafts[epoch_id]
        proof = draft.proof(epoch_id, draw.below(len(draft.rows)))
        outcomes = self.outcomes.get(epoch_id, Outcomes(b"", b""))
        job = self.jobs.get(proof.digest)
        if draw.one_in(12):
            proof = hand.wrong_proof(draw, proof)
        if draw.one_in(12):
            outcomes = hand.wrong_outcomes(draw, outcomes)
        return proof, outcomes, job

    def job(self, draw: Draw, requester: str) -> Job:
        """A new one, or another commitment to an order that was delivered before."""
        node = draw.pick(PEOPLE["node1"], PEOPLE["node1"], PEOPLE["node2"], PEOPLE["node3"])
        self.made += 1
        trace = keccak(b"trace" + self.made.to_bytes(4, "big"))
        units = draw.pick(5, 5, 0, U32)
        earlier = [job.order for job in self.jobs.values() if job.order.requester == requester]
        if earlier and draw.one_in(3):
            order = draw.pick(*earlier)
        else:
            order = hand.order_of(
                requester,
                draw.pick(10**6, 1, U64),
                salt=self.made,
                comparator=2 if draw.one_in(8) else 1,
                copies=draw.pick(1, 1, 2),
                visibility=draw.pick(0, 0, 1),
                max_price=draw.pick(1000, 1000, 1000, 1000, 120, 2**48 - 1, U64),
                unit_price=draw.pick(10, 10, 10, U64),
                deadline=max(0, self.twin.now + draw.pick(300, 300, -C.epoch_max_s, 1 - C.epoch_max_s)),
            )
        job = hand.job_of(self.escrow, order, node, units, trace)
        self.jobs[job.digest] = job
        return job

    def draft(self, draw: Draw) -> Draft:
        """Some groups of some rows."""
        groups = []
        for _ in range(1 + draw.below(3)):
            requester, signer = self.lane(draw)
            rows = []
            for _ in range(1 + draw.below(3)):
                job = self.job(draw, BOB if draw.one_in(24) else requester)
                operator = {PEOPLE["node1"]: 1, PEOPLE["node2"]: 2}.get(job.commitment.node, 0)
                if draw.one_in(8):
                    operator = draw.pick(0, 3, 99, U32)
                amount = self.amount(draw) if draw.one_in(5) else job.amount
                digest = keccak(job.digest) if draw.one_in(8) else job.digest
                rows.append(Row(requester, signer, operator, amount, digest))
            groups.append(tuple(rows))
        return Draft(tuple(groups))

    # ---------------------------------------------------------------- epochs

    def post(self, draw: Draw, draft: Draft) -> bool:
        """The next epoch; now and then something is wrong with it."""
        epoch_id = self.escrow.last_epoch + 1
        root, count = draft.root, len(draft.rows)
        beacon = self.next_beacon()
        if draw.one_in(14):
            root, count = draw.pick((root, 0), (ZERO32, count), (root, count + 1), (keccak(root), count), (root, 1))
        given_id, given_beacon = epoch_id, beacon
        if draw.one_in(16):
            given_id, given_beacon = draw.pick((epoch_id + 1, beacon), (epoch_id, ZERO32), (U64, beacon), (0, beacon))
        caller = self.by(draw, self.escrow.settler)
        blocks = draw.pick(3, 3, 3, 3, 4, 3, 2, 1)
        arguments = given_id, root, count, given_beacon, keccak(root)
        self.act(caller, "escrow", "postEpoch", *arguments, blocks=blocks)
        if self.escrow.last_epoch != epoch_id:
            return False
        self.drafts[epoch_id] = draft if count else Draft(())
        return True

    def reveal_seed(self) -> None:
        """An empty epoch, which nothing is wrong with."""
        epoch_id, settler = self.escrow.last_epoch + 1, self.escrow.settler
        self.act(settler, "escrow", "postEpoch", epoch_id, ZERO32, 0, self.next_beacon(), ZERO32, blocks=3)
        self.drafts[epoch_id] = Draft(())

    def next_beacon(self) -> bytes:
        """What hashes to the tip."""
        beacons = self.twin.beacons
        return beacons[beacons.index(self.escrow.tip) + 1] if self.escrow.tip in beacons else keccak(self.escrow.tip)

    def settle(self, draw: Draw, epoch_id: int, seconds: int) -> None:
        """With some rows void and some caps wrong; now and then with bytes that are broken."""
        draft = self.drafts.get(epoch_id, Draft(()))
        rows = draft.rows
        void = frozenset(index for index in range(len(rows)) if draw.one_in(6))
        proofs: list[CapProof] = []
        index, sums = 0, dict[tuple[str, str], int]()
        for group in draft.groups:
            key = group[0].requester, group[0].signer
            units = sum(row.amount & (2**48 - 1) for at, row in enumerate(group, index) if at not in void)
            index += len(group)
            sums[key] = sums.get(key, 0) + units
            needed = self.escrow.lane(*key).charged + sums[key]
            proofs.append(hand.cap_proof(draw, self.escrow, *key, needed))
        operators = sorted({row.operator_id for row in rows})
        packed = hand.pack(draw, draft, void, proofs, operators * 2 if draw.one_in(5) else operators)
        if draw.one_in(8):
            packed = hand.broken(draw, packed)
        self.act(self.by(draw, self.escrow.settler), "escrow", "settleEpoch", epoch_id, packed, seconds=seconds)
        for event in self.twin.net.chain.events:
            if event.name == "EpochSettled" and event.values[0] == epoch_id:
                void_bits, skipped = event.values[3:]
                assert isinstance(void_bits, bytes)
                assert isinstance(skipped, bytes)
                self.outcomes[epoch_id] = Outcomes(void_bits, skipped)
