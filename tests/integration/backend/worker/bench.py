"""A worker's surroundings for tests: the real contracts on a real Anvil, the real database, delivered jobs, a beacon.

Blocks are mined on demand and the chain's time is moved, so nothing waits for a clock. Jobs are written as the
coordinator writes them, with real signatures.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from sqlmodel import col, select

from backend.services.closing import ClosingRule
from backend.services.ledger.reconcile import reconcile
from backend.store import facts
from backend.store.chain_tables import ChainEventRow, SettlementRow, TxReceiptRow
from backend.store.database import Database
from backend.store.home import open_blobs, open_database
from backend.store.ledger import balances
from backend.store.tables import CommitmentRow, LeaseRow, OrderRow, VerdictRow, WorkloadRow
from backend.worker import Worker, WorkerSettings
from contracts.onchain.chain import Chain, connect
from contracts.onchain.contract import ContractCall
from contracts.onchain.deployment import Deployment
from contracts.onchain.sender import Sender
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.packed import pack
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import VISIBILITY_OPEN, Commitment, Lease, Opening, Order, Params, Terms, Verdict
from contracts.protocol.sampling import Deterrence
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import answer_commit, trace_commit
from tests.world import parties
from tests.world.anvil import pass_time, rpc
from tests.world.fakes import FakeBeacon
from tests.world.founding import Operator, Plan
from tests.world.manifests import manifest, up_to_tokens
from tests.world.prompts import prompts_of, root_of
from tests.world.replay import assert_replayed

KEYS = {
    name: parties.key(name)
    for name in ("deployer", "settler", "treasury", "session", "alice", "bob", "node", "verifier", "judge-1", "judge-2")
} | {"owner": parties.owner_of("node")}
PARAMS = Params(max_new_tokens=8)
FIXED_PRICE, UNIT_PRICE, MAX_PRICE = 100, 10, 1_000
MANIFEST = manifest(
    model="bench", params=up_to_tokens(8), check_price_units=50,
    deterrence=Deterrence(
        honest_cost_ppm=900_000, cheat_cost_ppm=0, detection_ppm=1_000_000, collusion_ppm=0, false_alarm_ppm=0
    ).model_dump(),
)  # fmt: skip
PLAN = Plan(
    lanes=(("alice", 10**6), ("bob", 10**6)), tokens=(("treasury", 10**9),), session_units=10**6, bond_units=10**7,
    operators=(Operator("node", role="node"), Operator("verifier")),
)  # fmt: skip


@dataclass
class Bench:
    """Everything around a worker. `now`: the clock that the worker is given."""

    url: str
    deployment: Deployment
    home: Path
    confirmations: int = 1
    now: int = field(default_factory=lambda: int(time.time()))
    delivered: int = 0

    def __post_init__(self) -> None:
        self.w3 = connect(self.url)
        self.beacon = parties.BEACON
        self.chain = Chain(self.w3, self.deployment)
        self.database: Database = open_database(self.home)
        self.blobs = open_blobs(self.home)
        self.operator_id, self.verifier_id = PLAN.account("node"), PLAN.account("verifier")
        with self.database.begin() as session:
            session.add(
                WorkloadRow(
                    workload_id=MANIFEST.workload_id(), manifest=MANIFEST.canonical(), fixed_price=FIXED_PRICE,
                    unit_price=UNIT_PRICE, max_units=90,
                )
            )  # fmt: skip

    # ------------------------------------------------------------ chain

    @property
    def constants(self) -> Constants:
        return self.deployment.constants

    def rpc(self, method: str, *params: Any) -> Any:
        return rpc(self.w3, method, *params)

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.rpc("evm_mine")

    def wait(self, seconds: int) -> None:
        """Moves the chain's time."""
        pass_time(self.w3, seconds)

    def call(self, who: str, function: ContractCall) -> Any:
        return Sender(self.w3, KEYS[who]).call(function)

    def address(self, who: str) -> Any:
        return to_checksum_address(KEYS[who].address)

    # ------------------------------------------------------------ jobs

    def deliver(
        self, requester: str = "alice", units: int = 5, *, cap: int | None = None, visibility: int = VISIBILITY_OPEN
    ) -> CommitmentRow:
        """A job through to its accepted commitment. Its cap covers every job of its lane so far."""
        self.delivered += 1
        key, texts = KEYS[requester], [f"job {self.delivered}"]
        prompts = prompts_of(MANIFEST, texts)
        terms = Terms(
            workload_id=MANIFEST.workload_id(), prompt_root=self.blobs.put(prompts, root_of(prompts)),
            texts_hash=self.blobs.put(encode_texts(texts)), params=PARAMS,
            fixed_price=FIXED_PRICE, unit_price=UNIT_PRICE, max_price=MAX_PRICE, deadline=self.now + 60,
            salt=self.delivered, visibility=visibility,
        )  # fmt: skip
        order = Order(requester=key.address, spend_cap=self.delivered * MAX_PRICE if cap is None else cap, terms=terms)
        domain, node = self.deployment.domain, KEYS["node"]
        order_id = domain.order_id(order)
        output = pack([range(1000 * self.delivered, 1000 * self.delivered + units)])
        commitment = Commitment(
            order_id=to_hex(order_id), node=node.address, output_root=self.blobs.put(output, root_of(output)),
            trace_commit=to_hex(trace_commit(keccak(prompts), order_id, node.address)), units=units,
        )  # fmt: skip
        lease = Lease(order_id=to_hex(order_id), node=node.address, expires=self.now + 60)
        digest = domain.commitment_digest(commitment)
        row = CommitmentRow(
            digest=to_hex(digest), order_id=to_hex(order_id), node=node.address, operator_id=self.operator_id,
            commitment_json=commitment.model_dump_json(), signature=node.sign(digest),
            amount=amount_units(terms, units), received_at=self.now,
        )  # fmt: skip
        with self.database.begin() as session:
            session.add(_order_row(order, key, order_id, self.now))
            session.add(
                LeaseRow(
                    order_id=to_hex(order_id), node=node.address, operator_id=self.operator_id, granted_at=self.now,
                    expires=lease.expires, signature=KEYS["settler"].sign(domain.lease_digest(lease)),
                )
            )  # fmt: skip
            session.add(row)
        return row

    def check(self, epoch_id: int, commitment: CommitmentRow, *, opened: bool = True) -> VerdictRow:
        """A verdict on a row that agrees with its node."""
        record = Commitment.model_validate_json(commitment.commitment_json)
        opening = Opening(
            trace_hash=to_hex(keccak(self._prompts_of(commitment))), output_root=record.output_root, units=record.units
        )
        key = KEYS["verifier"]
        commit = answer_commit(opening, from_hex(commitment.digest), key.address)
        verdict = Verdict(commitment_digest=commitment.digest, verifier=key.address, answer_commit=to_hex(commit))
        digest = self.deployment.domain.verdict_digest(verdict)
        row = VerdictRow(
            digest=to_hex(digest), epoch_id=epoch_id, commitment_digest=commitment.digest, verifier=key.address,
            operator_id=self.verifier_id, verdict_json=verdict.model_dump_json(),
            opening_json=opening.model_dump_json() if opened else None, signature=key.sign(digest),
            received_at=self.now,
        )  # fmt: skip
        with self.database.begin() as session:
            session.add(row)
        return row

    def _prompts_of(self, commitment: CommitmentRow) -> bytes:
        with self.database.read() as session:
            return self.blobs.get(session.get_one(OrderRow, commitment.order_id).prompt_root)

    # ------------------------------------------------------------ worker

    def settings(self, beacon_url: str = "http://127.0.0.1:9", epoch_s: int = 10) -> WorkerSettings:
        return WorkerSettings(
            home=self.home, rpc_url=self.url, deployment=self.deployment, beacon_url=beacon_url,
            settler=KEYS["settler"], treasury=KEYS["session"], closing=ClosingRule(epoch_s),
            confirmations=self.confirmations,
        )  # fmt: skip

    def worker(self) -> Worker:
        """A worker in this process, as it is after a start. Its beacon shows every value that it is asked for."""
        beacon = FakeBeacon([self.beacon.value(epoch_id) for epoch_id in range(1, 60)])
        return Worker(self.database, Chain(connect(self.url), self.deployment), beacon, self.settings())

    def drive(self, worker: Worker, ticks: int = 1, *, clock_s: int = 1) -> None:
        """Ticks, each with a block and `clock_s` more on the worker's clock."""
        for _ in range(ticks):
            worker.tick(self.now)
            self.mine()
            self.now += clock_s

    def drive_until(self, worker: Worker, done: Callable[[], bool], *, most: int = 80) -> None:
        """Ticks until it is so."""
        for _ in range(most):
            if done():
                return
            self.drive(worker)
        raise AssertionError(f"not there after {most} ticks")

    def settle(self, worker: Worker, epoch_id: int = 1) -> None:
        """An epoch through post, reveal, check period and settlement, until the worker has read all of it."""
        self.drive_until(worker, lambda: {epoch_id, epoch_id + 1} <= self.posted())
        self.wait(self.constants.check_wait_s)
        self.drive_until(worker, lambda: self.settlement(epoch_id) is not None)
        self.drive(worker, 2)

    # ------------------------------------------------------------ what came of it

    def events(self, name: str) -> list[ChainEventRow]:
        with self.database.read() as session:
            query = select(ChainEventRow).where(ChainEventRow.name == name)
            return list(session.exec(query.order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))))

    def settlement(self, epoch_id: int) -> SettlementRow | None:
        with self.database.read() as session:
            return session.get(SettlementRow, epoch_id)

    def receipts(self) -> list[TxReceiptRow]:
        with self.database.read() as session:
            return list(session.exec(select(TxReceiptRow)))

    def posted(self) -> set[int]:
        with self.database.read() as session:
            return set(facts.posts_since(session, 0))

    def assert_books_are_right(self) -> dict[str, int]:
        """The ledger equals a replay and the contracts to the wei, at the newest block that was read. Its accounts."""
        with self.database.read() as session:
            assert_replayed(session, self.constants)
            accounts = balances(session)
        assert sum(accounts.values()) == 0
        for one in reconcile(self.database, self.chain)[1]:
            assert one.unexplained_wei == 0, one
            assert one.held_wei >= one.owed_wei
        return accounts


def _order_row(order: Order, key: Signer, order_id: bytes, now: int) -> OrderRow:
    return OrderRow(
        order_id=to_hex(order_id), requester=order.requester, signer=key.address, workload_id=order.terms.workload_id,
        prompt_root=order.terms.prompt_root, order_json=order.model_dump_json(), signature=key.sign(order_id),
        spend_cap=order.spend_cap, max_price=order.terms.max_price, deadline=order.terms.deadline,
        accepted_at=now,
    )  # fmt: skip
