"""The moves of everybody as a Hypothesis state machine: right and wrong callers, amounts at the edge of their fields,
times a second before, at and after each window's edge. Each call goes to model and chain (see `twin`)."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from contracts.model.base import U32, U64, U256, ZERO_ADDRESS
from contracts.model.escrow import EpochStatus
from contracts.model.proofs import LeafProof, Outcomes
from contracts.protocol.hashing import ZERO32, keccak
from contracts.protocol.packing import CapProof
from contracts.protocol.records import Opening
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import answer_commit
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


class Moves(RuleBasedStateMachine):
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

    # ---------------------------------------------------------------- lanes

    @rule(data=DATA)
    def deposit(self, data: Any) -> None:
        """Anyone's money into a lane."""
        draw = Draw(data)
        caller = draw.pick(ALICE, BOB, WHALE, self.twin.wallet)
        self.act(caller, "escrow", "deposit", *self.lane(draw), self.amount(draw))

    @rule(data=DATA)
    def deposit_with_permit(self, data: Any) -> None:
        """A good permit, a bad one, one that is late: the allowance stands, or does not."""
        draw = Draw(data)
        caller, units = draw.pick(ALICE, BOB), self.amount(draw)
        if draw.one_in(3):
            self.act(caller, "token", "approve", self.twin.at.escrow, draw.pick(0, 10**9, U256))
        deadline = self.twin.now + draw.pick(100, 1, 0)
        digest = self.twin.net.token.permit_digest(caller, self.twin.at.escrow, units * C.unit_wei, deadline)
        signature = hand.tampered(draw, hand.sign(caller, digest), digest)
        self.act(caller, "escrow", "depositWithPermit", *self.lane(draw), units, deadline, hand.split(signature))

    @rule(data=DATA)
    def deposit_with_authorization(self, data: Any) -> None:
        """The payer's authorization, brought by anybody, perhaps twice, perhaps to another lane."""
        draw = Draw(data)
        payer, (requester, signer), units = draw.pick(ALICE, BOB, WHALE), self.lane(draw), self.amount(draw)
        salt = draw.below(6).to_bytes(32, "big")
        after, before = draw.pick((0, FAR), (self.twin.now, FAR), (self.twin.now + 1, FAR), (0, self.twin.now + 1))
        if draw.one_in(8):
            after, before = 1 << 47, 1 << 47 | draw.pick(U32, self.twin.block)
        nonce = keccak(b"".join(bytes(12) + bytes.fromhex(who[2:]) for who in (requester, signer)) + salt)
        arguments = payer, self.twin.at.escrow, units * C.unit_wei, after, before, nonce
        digest = self.twin.net.token.receive_digest(*arguments)
        signature = hand.tampered(draw, hand.sign(payer, digest), digest)
        if draw.one_in(8):
            signer = draw.pick(*self.everybody)
        self.act(
            draw.pick(*self.everybody), "escrow", "depositWithAuthorization",
            payer, requester, signer, units, after, before, salt, hand.split(signature),
        )  # fmt: skip

    @rule(data=DATA)
    def open_lane(self, data: Any) -> None:
        """A session lane, or what is none."""
        draw = Draw(data)
        requester = draw.pick(ALICE, BOB, self.twin.wallet)
        signer = draw.pick(SESSION, SECOND, ZERO_ADDRESS, requester) if draw.one_in(2) else SECOND
        expiry = self.twin.now + draw.pick(2000, 50, 1, 2, 0)
        self.act(requester, "escrow", "openLane", signer, expiry, self.amount(draw))
        self.lanes.append((requester, signer))

    @rule(data=DATA)
    def open_lane_with_grant(self, data: Any) -> None:
        """By signature, each nonce once."""
        draw = Draw(data)
        requester = draw.pick(ALICE, self.twin.wallet, BOB)
        signer, units = draw.pick(SECOND, SESSION, requester), self.amount(draw)
        expiry = self.twin.now + draw.pick(2000, 1)
        nonce = self.escrow.nonces.get(requester, 0) + draw.pick(0, 0, 0, 1)
        key = self.twin.wallet_owner if requester == self.twin.wallet else requester
        grant = hand.grant_of(requester, signer, units, expiry, nonce)
        digest = self.escrow.domain.lane_grant_digest(grant)
        signature = hand.tampered(draw, hand.sign(key, digest), digest)
        caller = draw.pick(*self.everybody)
        self.act(caller, "escrow", "openLaneWithGrant", requester, signer, units, expiry, nonce, signature)
        self.lanes.append((requester, signer))

    @rule(data=DATA)
    def notice(self, data: Any) -> None:
        """Given or taken back."""
        draw = Draw(data)
        requester, signer = self.lane(draw)
        if requester in self.everybody:
            self.act(requester, "escrow", draw.pick("giveNotice", "giveNotice", "cancelNotice"), signer)

    @rule(data=DATA)
    def whole_withdrawal(self, data: Any) -> None:
        """Noticed and withdrawn, around both edges of the notice's life."""
        self.notice(data)
        self.withdraw(data)

    @rule(data=DATA)
    def withdraw(self, data: Any) -> None:
        """Around both edges of the notice's life."""
        draw = Draw(data)
        noticed = [key for key, lane in self.escrow.lanes.items() if lane.notice_at and key[0] in self.everybody]
        requester, signer = draw.pick(*noticed) if noticed and not draw.one_in(5) else (ALICE, SESSION)
        lane = self.escrow.lane(requester, signer)
        matures = lane.notice_at + C.notice_s
        seconds = self.when(draw, matures, matures, matures + C.notice_life_s)
        units = draw.pick(lane.balance, 1, 0, min(U64, lane.balance + 1))
        to = draw.pick(requester, BOB, ZERO_ADDRESS, self.twin.at.escrow)
        self.act(requester, "escrow", "withdraw", signer, units, to, seconds=seconds)

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
                size = (len(rows) + 7) // 8
                at = 2 + 4 * int.from_bytes(packed[:2], "big")
                skipped = event.values[3]
                assert isinstance(skipped, bytes)
                self.outcomes[epoch_id] = Outcomes(packed[at : at + size], skipped)

    @rule(data=DATA)
    def post_epoch(self, data: Any) -> None:
        """Some rows, or none."""
        draw = Draw(data)
        self.post(draw, Draft(()) if draw.one_in(3) else self.draft(draw))

    @rule(data=DATA)
    def settle_epoch(self, data: Any) -> None:
        """Any posted one, around the edges of its time."""
        draw = Draw(data)
        epoch_id = draw.pick(*reversed(self.drafts)) if self.drafts and not draw.one_in(12) else 0
        checked = self.escrow.epoch(epoch_id + 1).posted_at + C.check_wait_s
        stranded = self.escrow.epoch(epoch_id).posted_at + C.settle_wait_s
        self.settle(draw, epoch_id, self.when(draw, checked, checked, stranded))

    @rule(data=DATA)
    def whole_epoch(self, data: Any) -> None:
        """Posted, revealed, settled in its time."""
        draw = Draw(data)
        if self.post(draw, self.draft(draw)):
            epoch_id = self.escrow.last_epoch
            self.reveal_seed()
            self.settle(draw, epoch_id, C.check_wait_s + draw.pick(0, 0, 5, -1))

    @rule(data=DATA)
    def settle_one(self, data: Any) -> None:
        """A stranded or skipped leaf, or one that is neither."""
        draw = Draw(data)
        found = self.leaf(draw)
        if found is None:
            return
        proof, outcomes, _ = found
        needed = self.escrow.lane(proof.requester, proof.signer).charged + proof.amount_units
        cap = hand.cap_proof(draw, self.escrow, proof.requester, proof.signer, needed)
        seconds = 1
        if self.escrow.epoch_status(proof.epoch_id) != EpochStatus.SETTLED:
            seconds = self.when(draw, self.escrow.epoch(proof.epoch_id).posted_at + C.settle_wait_s)
        self.act(draw.pick(*self.everybody), "escrow", "settleOne", proof, outcomes, cap, seconds=seconds)

    # ---------------------------------------------------------------- credits, bond, roles

    @rule(data=DATA)
    def claim(self, data: Any) -> None:
        """To the payout address, or to the stake."""
        draw = Draw(data)
        earners = [number for number, credit in self.escrow.credits.items() if credit.earned != credit.claimed]
        number = draw.pick(*earners) if earners and not draw.one_in(6) else draw.pick(1, 2, 3, 0, 99)
        if draw.one_in(3):
            owner = self.twin.net.stakes.owner_of(number)
            self.act(self.by(draw, owner if owner in self.everybody else ALICE), "escrow", "claimToStake", number)
        else:
            self.act(draw.pick(*self.everybody), "escrow", "claim", number)

    @rule(data=DATA)
    def bond(self, data: Any) -> None:
        """In and out; the whole of it leaves when nothing was charged lately."""
        draw = Draw(data)
        settler, bond = self.escrow.settler, self.escrow.bond
        move = draw.pick("bondSettler", "bondSettler", "unbondSettler", "withdrawBond", "withdrawBond")
        if move == "bondSettler":
            caller = self.by(draw, draw.pick(settler, WHALE))
            self.act(caller, "escrow", move, self.amount(draw))
        elif move == "unbondSettler":
            if draw.one_in(3):
                self.act(self.by(draw, settler), "escrow", move)
        else:
            seconds = self.when(draw, bond.unbond_at + C.unbond_s, bond.bucket_start + 2 * C.charge_window_s)
            self.act(self.by(draw, settler), "escrow", move, seconds=seconds)

    @rule(data=DATA)
    def bond_leaves(self, data: Any) -> None:
        """The settler gives up: no rows any more; the bond goes once its time is over."""
        draw = Draw(data)
        if not draw.one_in(3):
            return
        settler = self.escrow.settler
        if draw.one_in(2):
            self.post(draw, self.draft(draw))
        self.act(settler, "escrow", "unbondSettler")
        self.post(draw, self.draft(draw))
        wait = C.unbond_s + draw.pick(0, -2, -1)
        if draw.one_in(2):
            self.act(settler, "escrow", "withdrawFees", seconds=wait - 100)
            self.settle_one(data)
            wait = 100
        self.act(settler, "escrow", "withdrawBond", seconds=wait)

    @rule(data=DATA)
    def roles(self, data: Any) -> None:
        """Guardian and governor."""
        draw = Draw(data)
        at = self.twin.at
        move = draw.pick("unpause", "unpause", "pause", "setSettler", "resetBeacon", "withdrawFees")
        if move == "setSettler":
            settler = draw.pick(at.settler, at.settler, self.twin.wallet, ZERO_ADDRESS, BOB)
            self.act(self.by(draw, at.governor), "escrow", move, settler)
        elif move == "resetBeacon":
            tip = draw.pick(self.twin.beacons[0], self.twin.beacons[200])
            seconds = self.when(draw, self.escrow.epoch(self.escrow.last_epoch).posted_at + C.settle_wait_s)
            self.act(self.by(draw, at.governor), "escrow", move, tip, seconds=seconds)
        elif move == "withdrawFees":
            self.act(draw.pick(*self.everybody), "escrow", move)
        else:
            self.act(self.by(draw, draw.pick(at.guardian, at.governor)), "escrow", move)

    @rule(data=DATA)
    def donate(self, data: Any) -> None:
        """Tokens sent to a contract are nobody's."""
        draw = Draw(data)
        at = self.twin.at
        receiver = draw.pick(at.escrow, at.stakes, at.contests)
        self.act(draw.pick(ALICE, BOB), "token", "transfer", receiver, draw.pick(1, C.unit_wei, 2**90))

    @rule(data=DATA)
    def look(self, data: Any) -> None:
        """Derived views at any moment."""
        draw = Draw(data)
        epoch_id = draw.below(self.escrow.last_epoch + 2)
        self.act(ALICE, "escrow", "epochStatus", epoch_id)
        found = self.leaf(draw)
        if found is not None:
            proof, outcomes, _ = found
            self.act(ALICE, "escrow", "leafStatus", proof, outcomes)
            self.act(ALICE, "contests", "contestStatus", proof.epoch_id, proof.index)
        for case_id in self.twin.net.court.cases:
            self.act(ALICE, "court", "ruling", case_id)
        account = 1 + draw.below(6)
        self.act(ALICE, "stakes", "payoutOf", account)
        self.act(ALICE, "stakes", "activeStakeAt", account, max(0, self.twin.block - draw.below(30)))
        self.act(ALICE, "stakes", "totalActiveStakeAt", max(0, self.twin.block - draw.below(30)))

    # ---------------------------------------------------------------- stakes

    @rule(data=DATA)
    def account(self, data: Any) -> None:
        """Registering, keys, payouts."""
        draw = Draw(data)
        owner = PEOPLE[draw.pick("owner6", "owner1", "owner3", "mallory")]
        move = draw.pick("register", "addNodeKey", "setPayout")
        if move == "addNodeKey":
            node = draw.pick(PEOPLE["node3"], PEOPLE["node1"], PEOPLE["key3"], ZERO_ADDRESS)
            digest = self.twin.net.stakes.domain.node_key_digest(owner, node)
            self.act(owner, "stakes", move, node, hand.tampered(draw, hand.sign(node, digest), digest))
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
        move = draw.pick("refund", "refundFromBond", "lock", "unlock", "slash")
        found = self.leaf(draw)
        if move == "slash":
            self.act(caller, "stakes", move, 1, 1, 1, [3], 1)
        elif move in ("lock", "unlock"):
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
        output = draw.pick(hand.OUTPUT, hand.OUTPUT, hand.OUTPUT, b"")
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
        return Opening(trace_hash="0x" + trace.hex(), output_hash=job.commitment.output_hash, units=units)

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
        case_id = self.twin.net.court.case_id(proof.epoch_id, proof.index)
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
        job = self.jobs[case.commitment_digest]
        move = draw.pick("commitVerdict", "commitVerdict", "reveal", "reveal", "appeal")
        key = self.by(draw, PEOPLE[draw.pick("key3", "key4", "key5")])
        edges = case.commit_ends, case.commit_ends, case.commit_ends + C.reveal_window_s
        if move == "commitVerdict":
            seconds = self.when(draw, case.commit_ends) if draw.one_in(5) else 1
            self.act(key, "court", move, case_id, self.commit_of(draw, case_id, key, job), seconds=seconds)
        elif move == "appeal":
            if draw.one_in(2):
                caller = self.by(draw, draw.pick(PEOPLE["node1"], PEOPLE["owner1"]))
                self.act(caller, "court", move, case_id, seconds=self.when(draw, *edges) if draw.one_in(5) else 1)
        else:
            self.reveal(draw, case_id, key, self.when(draw, *edges))

    def reveal(self, draw: Draw, case_id: bytes, key: str, seconds: int) -> None:
        """What was committed, or something else."""
        job = self.jobs[self.twin.net.court.cases[case_id].commitment_digest]
        opening = self.answers.get((case_id, key), self.opening(draw, job, True))
        if draw.one_in(12):
            opening = self.opening(draw, job, True)
        commitment = draw.pick(*self.jobs.values()).commitment if draw.one_in(12) else job.commitment
        trace, output = bytes.fromhex(opening.trace_hash[2:]), bytes.fromhex(opening.output_hash[2:])
        self.act(key, "court", "reveal", case_id, commitment, trace, output, opening.units, seconds=seconds)

    @rule(data=DATA)
    def whole_case(self, data: Any) -> None:
        """Opened, answered by the others, opened by all or some, executed."""
        draw = Draw(data)
        self.open_case(data)
        cases = self.twin.net.court.cases
        if not cases:
            return
        case_id = list(cases)[-1]
        job = self.jobs[cases[case_id].commitment_digest]
        for name in ("key3", "key4", "key5"):
            if not draw.one_in(4):
                commit = self.commit_of(draw, case_id, PEOPLE[name], job)
                self.act(PEOPLE[name], "court", "commitVerdict", case_id, commit)
        if draw.one_in(4):
            self.act(draw.pick(PEOPLE["node1"], PEOPLE["node2"]), "court", "appeal", case_id)
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
        case, proof = self.twin.net.court.cases[case_id], self.cases[case_id]
        outcomes = self.outcomes.get(proof.epoch_id, Outcomes(b"", b""))
        if draw.one_in(12):
            proof = hand.wrong_proof(draw, proof)
        edge = case.commit_ends + C.reveal_window_s
        self.act(
            draw.pick(*self.everybody), "court", "execute", case_id, proof, outcomes, seconds=self.when(draw, edge)
        )

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
        rewarded = draw.pick(0, 3, 4, 1, 99)
        caller = draw.pick(*self.everybody)
        self.act(caller, "court", "equivocation", first.order, first.commitment, one, second.commitment, two, rewarded)


WEIGHTS = {
    "whole_epoch": 6, "whole_contest": 4, "whole_case": 4, "contest_ends": 4, "settle_one": 3, "whole_withdrawal": 2,
    "whole_duplicate": 2, "whole_unbonding": 1,
    "post_epoch": 2, "settle_epoch": 3, "contest": 2, "contest_duplicate": 3, "vote": 4, "execute": 3,
    "equivocation": 2, "claim": 2, "stake": 3, "deposit": 2, "deposit_with_permit": 1, "deposit_with_authorization": 2,
    "open_lane": 1, "open_lane_with_grant": 1, "notice": 1, "withdraw": 1, "bond": 2, "bond_leaves": 1, "roles": 1,
    "donate": 1, "look": 1, "account": 1, "admit_or_retire": 1, "not_the_court": 1, "open_case": 1,
}  # fmt: skip
"""How often a long walk takes each rule: whole stories more often than single calls, which mostly come too early."""
