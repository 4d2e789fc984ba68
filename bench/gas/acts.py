"""What each single act costs: a deposit, a contest answered, a case from opening to execution, a job settled alone.

The job that they are about is row 500 of an epoch of 1,000 jobs, so proofs have ten siblings; its
output has 256 tokens.
"""

from dataclasses import dataclass
from typing import Any

from backend.client.authorizations import parts, sign_permit
from bench.gas.network import CONSTANTS, Network, account_of, key_of
from contracts.onchain.structs import commitment_tuple, leaf_proof, order_tuple
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packed import pack as pack_words
from contracts.protocol.packed import packed_root
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, bits, pack
from contracts.protocol.records import Commitment, Opening, Order, Params, Terms
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import answer_commit, terms_hash, trace_commit

JOBS, INDEX = 1000, 500
PARAMS = Params(max_new_tokens=256)
UNITS, AMOUNT = 256, 10_000_000
OUTPUT = pack_words([[int.from_bytes(keccak(b"token %d" % place)[:2], "big") for place in range(UNITS)]])
WRONG = Opening(trace_hash=to_hex(keccak(b"another trace")), output_root=to_hex(keccak(b"another output")), units=255)


@dataclass(frozen=True)
class Job:
    """One delivered job and the epoch that it stands in."""

    order: Order
    order_signature: str
    commitment: Commitment
    node_signature: bytes
    epoch: Epoch
    epoch_id: int

    @property
    def proof(self) -> tuple[Any, ...]:
        """Its LeafProof."""
        return leaf_proof(self.epoch_id, INDEX, self.epoch.rows)

    @property
    def outcomes(self) -> tuple[bytes, bytes]:
        """The two bitmaps of its settled epoch, of which no lane was skipped."""
        return bits(self.epoch.void, JOBS), bytes(JOBS // 8)

    @property
    def cap(self) -> CapProof:
        """Its order, as the proof of its lane's cap."""
        return CapProof(self.order.spend_cap, terms_hash(self.order.terms), *compact(self.order_signature))


class Acts:
    """People with money, and an account of what each thing that they do costs."""

    def __init__(self, network: Network) -> None:
        self._network, self._chain, self._epoch = network, network.chain, 0
        people = ["requester", "crowd", "owner", "contester", "judge 0", "judge 1"]
        network.fund(people)
        token, escrow, stakes = self._chain.token.functions, self._chain.escrow.functions, self._chain.stakes.functions
        crowd = account_of("crowd")
        network.send("deployer", escrow.deposit(crowd, crowd, 10**12))
        self.gas = {"first_deposit_permit": self._deposit_with_permit()}
        network.send("deployer", token.transfer(account_of("contester"), 10**24))
        network.send("contester", token.approve(self._chain.contests.address, 2**256 - 1))
        before = network.send("owner", stakes.register(account_of("owner")))
        self._operator = int(stakes.operatorIdOf(account_of("owner")).call())
        consent = key_of("node").sign(
            self._chain.deployment.stake_domain.node_key_digest(account_of("owner"), key_of("node").address)
        )
        self.gas["register_node"] = before + network.send(
            "owner", stakes.addNodeKey(account_of("node"), from_hex(consent))
        )
        network.send("deployer", stakes.stake(self._operator, 10**9))
        self._judges = [self._admit(judge) for judge in ("judge 0", "judge 1")]

    def measure(self) -> dict[str, int]:
        """Gas by act, each in the state that an earlier act left."""
        voided, settled, stranded = self._post(void=True), self._post(), self._post()
        self._post_nothing()
        self._network.wait(CONSTANTS.check_wait_s + 1)
        for job in (voided, settled):
            self._network.send("settler", self._chain.escrow.functions.settleEpoch(job.epoch_id, pack(job.epoch)))
        with self._network.put_back():
            self._contest(settled)
        with self._network.put_back():
            self._slash(voided)
        with self._network.put_back():
            self.gas["execute_paid"] = self._execute(settled)
        self.gas["slash_one_job"] = self.gas["open_case"] + self.gas["execute"]
        self.gas["slash_paid_job"] = self.gas["open_case"] + self.gas["execute_paid"]
        self._settle_one(stranded)
        self._withdraw()
        return self.gas

    # ------------------------------------------------------------ acts

    def _deposit_with_permit(self) -> int:
        me = account_of("requester")
        self._network.send("deployer", self._chain.token.functions.transfer(me, 10**24))
        permit = sign_permit(self._chain, key_of("requester"), 10**12)
        signature = parts(permit.signature)
        deposit = self._chain.escrow.functions.depositWithPermit(me, me, 10**12, permit.deadline, *signature)
        return self._network.send("requester", deposit)

    def _contest(self, job: Job) -> None:
        contests, send = self._chain.contests.functions, self._network.send
        self.gas["contest"] = send("contester", contests.contest(job.proof, job.outcomes))
        signature = compact(job.order_signature)
        delivered = (commitment_tuple(job.commitment), job.node_signature, OUTPUT)
        self.gas["answer"] = send("owner", contests.answer(job.proof, order_tuple(job.order), *signature, *delivered))
        self.gas["contest_answered"] = self.gas["contest"] + self.gas["answer"]

    def _slash(self, job: Job) -> None:
        """A case as it usually goes: ruled on in its row's check period, so that the row is VOID: nothing to refund."""
        self.gas["execute"] = self._execute(job)
        case_id = bytes(self._chain.court.functions.caseIdOf(job.proof).call())
        settle = self._chain.court.functions.settleVotes(case_id, self._judges)
        self.gas["settle_two_votes"] = self._network.send("contester", settle)
        steps = ("open_case", "commit_verdict", "first_reveal", "second_reveal", "execute", "settle_two_votes")
        self.gas["case_without_appeal"] = sum(self.gas[step] for step in steps)

    def _execute(self, job: Job) -> int:
        court, send, digest = self._chain.court.functions, self._network.send, job.epoch.rows[INDEX].digest
        commits = [answer_commit(WRONG, digest, key_of(judge).address) for judge in ("judge 0", "judge 1")]
        accused = (order_tuple(job.order), commitment_tuple(job.commitment), job.node_signature)
        self.gas["open_case"] = send("judge 0", court.openCase(job.proof, *accused, commits[0]))
        leaf, case_id = (*job.proof[:-1], []), bytes(court.caseIdOf(job.proof).call())
        self.gas["commit_verdict"] = send("judge 1", court.commitVerdict(case_id, commits[1]))
        self._network.wait(CONSTANTS.commit_window_s + 1)
        opened = (from_hex(WRONG.trace_hash), from_hex(WRONG.output_root), WRONG.units)
        for judge, name in (("judge 0", "first_reveal"), ("judge 1", "second_reveal")):
            self.gas[name] = send(judge, court.reveal(leaf, accused[1], *opened))
        self._network.wait(CONSTANTS.reveal_window_s + 1)
        stake = self._chain.stakes.functions.operators(self._operator).call().stakeUnits
        gas = send("contester", court.execute(leaf, job.outcomes, []))
        if self._chain.stakes.functions.operators(self._operator).call().stakeUnits >= stake:
            raise RuntimeError("the node was not slashed: this measures nothing")
        return gas

    def _settle_one(self, job: Job) -> None:
        self._network.wait(CONSTANTS.settle_wait_s + 1)
        cap = job.cap
        proven = (cap.cap, cap.terms_hash, cap.r, cap.vs)
        settle = self._chain.escrow.functions.settleOne(job.proof, (b"", b""), proven)
        self.gas["settle_one"] = self._network.send("owner", settle)

    def _withdraw(self) -> None:
        escrow, send, me = self._chain.escrow.functions, self._network.send, account_of("requester")
        self.gas["give_notice"] = send("requester", escrow.giveNotice(me))
        self._network.wait(CONSTANTS.notice_s + 1)
        self.gas["withdraw"] = send("requester", escrow.withdraw(me, 10**9, me))

    # ------------------------------------------------------------ people and epochs

    def _register(self, owner: str) -> int:
        stakes = self._chain.stakes.functions
        self._network.send(owner, stakes.register(account_of(owner)))
        return int(stakes.operatorIdOf(account_of(owner)).call())

    def _admit(self, judge: str) -> int:
        stakes, governor = self._chain.stakes, self._chain.governor.functions
        account = self._register(judge)
        self._network.send("deployer", stakes.functions.stake(account, CONSTANTS.min_verifier_stake_units))
        admit = stakes.functions.admitVerifier(account, account_of(judge)).data
        call = (stakes.address, 0, admit, bytes(32), account.to_bytes(32, "big"))
        self._network.send("deployer", governor.schedule(*call, CONSTANTS.timelock_s))
        self._network.wait(CONSTANTS.timelock_s + 1)
        self._network.send("deployer", governor.execute(*call))
        return account

    def _post(self, *, void: bool = False) -> Job:
        """Posts an epoch of 1,000 jobs, one of them real to the last signature."""
        epoch_id, network = self._epoch + 1, self._network
        terms = Terms(
            workload_id=to_hex(keccak(b"workload")), prompt_root=to_hex(keccak(b"input")),
            texts_hash=to_hex(keccak(b"texts")), params=PARAMS,
            fixed_price=AMOUNT - UNITS, unit_price=1, max_price=AMOUNT,
            deadline=network.now() + CONSTANTS.order_ttl_s, salt=epoch_id,
        )  # fmt: skip
        order = Order(requester=key_of("requester").address, spend_cap=AMOUNT * epoch_id, terms=terms)
        order_id, node = network.domain.order_id(order), key_of("node").address
        commitment = Commitment(
            order_id=to_hex(order_id), node=node, output_root=to_hex(packed_root(OUTPUT)),
            trace_commit=to_hex(trace_commit(keccak(b"trace"), order_id, node)), units=UNITS,
        )  # fmt: skip
        digest = network.domain.commitment_digest(commitment)
        signature = key_of("requester").sign(order_id)
        cap = CapProof(order.spend_cap, terms_hash(terms), *compact(signature))
        mine = LaneGroup(order.requester, order.requester, cap, (self._row("requester", digest),))
        groups = (self._crowd(epoch_id, 0, INDEX), mine, self._crowd(epoch_id, INDEX + 1, JOBS))
        node_signature = from_hex(key_of("node").sign(digest))
        epoch = Epoch(groups, frozenset({INDEX} if void else ()))
        job = Job(order, signature, commitment, node_signature, epoch, epoch_id)
        self._post_root(merkle_root([row.leaf() for row in job.epoch.rows]), JOBS)
        return job

    def _crowd(self, epoch_id: int, first: int, end: int) -> LaneGroup:
        rows = tuple(self._row("crowd", keccak(b"%d %d" % (epoch_id, i))) for i in range(first, end))
        crowd = key_of("crowd")
        order = Order(requester=crowd.address, spend_cap=10**12, terms=CROWD_TERMS)
        signature = compact(crowd.sign(self._network.domain.order_id(order)))
        cap = CapProof(order.spend_cap, terms_hash(CROWD_TERMS), *signature)
        return LaneGroup(crowd.address, crowd.address, cap, rows)

    def _row(self, who: str, digest: bytes) -> Row:
        address = key_of(who).address
        return Row(address, address, self._operator, AMOUNT, digest)

    def _post_nothing(self) -> None:
        self._post_root(bytes(32), 0)

    def _post_root(self, root: bytes, count: int) -> None:
        self._network.mine(CONSTANTS.seed_blocks + 1)
        self._epoch += 1
        value = self._network.beacon.value(self._epoch)
        post = self._chain.escrow.functions.postEpoch(self._epoch, root, count, value, keccak(b"log"))
        self._network.send("settler", post)


CROWD_TERMS = Terms(
    workload_id=to_hex(keccak(b"workload")), prompt_root=to_hex(keccak(b"input")), texts_hash=to_hex(keccak(b"texts")),
    params=PARAMS, fixed_price=AMOUNT, unit_price=1, max_price=AMOUNT, deadline=2**40 - 1, salt=0,
)  # fmt: skip
