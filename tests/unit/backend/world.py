"""A coordinator on a fake view of the chain and a clock that stands still, and parties that sign."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import select

from backend.api.services import Services
from backend.app import BackendSettings, build_services
from backend.chain.views import OperatorAccount
from backend.services.offering import offer_workload
from backend.store.blobs import BlobStore
from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow
from backend.store.event_rows import subject_of
from backend.store.facts import jobs
from backend.store.home import open_tokenizers
from backend.store.tables import EpochRow, LeafRow
from contracts.onchain.artifacts import artifact
from contracts.onchain.deployment import Deployment
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import ZERO32, from_hex, keccak, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.pace import Pace
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.records import Commitment, NodeRequest, Opening, Order, Params, Terms, Verdict
from contracts.protocol.sampling import Deterrence
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import answer_commit, trace_commit
from contracts.protocol.wire import (
    Heartbeat,
    LeaseGrant,
    LeaseRequest,
    ReturnLease,
    ReturnReason,
    SubmitCommitment,
    SubmitOrder,
    SubmitVerdict,
)
from tests.world.database import fresh_database
from tests.world.fakes import FakeChainView
from tests.world.manifests import manifest, up_to_tokens
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import BYTES

NOW = 1_800_000_000
TEXTS = encode_texts(["Why is the sky blue?"])
PARAMS = Params(max_new_tokens=8)
OUTPUT = pack([[1, 2, 3, 4, 5, 6, 7, 8]])
"""Eight units."""
SHOWN = b"trace"
TRACE = hashlib.sha256(SHOWN).digest()
FIXED, UNIT, MAX_UNITS = 100, 10, 64
MANIFEST = manifest(
    model="smol-test", params=up_to_tokens(256), input={"max_texts": 4, "max_bytes": 1000, "max_tokens": 200},
    check_price_units=20,
    deterrence=Deterrence(
        honest_cost_ppm=500_000, cheat_cost_ppm=0, detection_ppm=1_000_000, collusion_ppm=300_000, false_alarm_ppm=0
    ).model_dump(),
)  # fmt: skip
WORKLOAD = MANIFEST.workload_id()
PROMPT = pack_prompts(MANIFEST, BYTES, ["Why is the sky blue?"])
"""TEXTS as token ids, packed."""


def signer(name: str) -> Signer:
    """A key that is always the same for a name."""
    return Signer(keccak(name.encode()))


REQUESTER, NODE, OTHER_NODE, VERIFIER, SETTLER = map(signer, ("requester", "node", "other node", "verifier", "settler"))
DEPLOYMENT = Deployment(
    chain_id=31337,
    first_block=0,
    escrow="0x" + "e5" * 20,
    stake_manager="0x" + "57" * 20,
    court="0x" + "c0" * 20,
    contests="0x" + "c7" * 20,
    token="0x" + "70" * 20,
    governor="0x" + "60" * 20,
    guardian="0x" + "6a" * 20,
    settler=SETTLER.address,
    treasury="0x" + "7e" * 20,
    beacon_anchor="0x" + "be" * 32,
    constants=DEVELOPMENT,
)
DOMAIN = DEPLOYMENT.domain


def terms(**changes: Any) -> Terms:
    """Acceptable terms, with changes."""
    values: dict[str, Any] = {
        "workload_id": WORKLOAD,
        "prompt_root": to_hex(packed_root(PROMPT)),
        "texts_hash": to_hex(keccak(TEXTS)),
        "params": PARAMS,
        "fixed_price": FIXED,
        "unit_price": UNIT,
        "max_price": FIXED + 8 * UNIT,
        "deadline": NOW + 100,
        "salt": 1,
    }
    return Terms(**(values | changes))


def signed(order: Order, key: Signer = REQUESTER) -> SubmitOrder:
    """An order as its signer submits it."""
    signature = key.sign(DOMAIN.order_id(order))
    return SubmitOrder(order=order, signer=key.address, signature=signature)


def commitment_for(order: str, key: Signer = NODE, **changes: Any) -> SubmitCommitment:
    """What a node sends for an order, by its id."""
    values: dict[str, Any] = {
        "order_id": order,
        "node": key.address,
        "output_root": to_hex(packed_root(OUTPUT)),
        "trace_commit": to_hex(trace_commit(TRACE, from_hex(order), key.address)),
        "units": 8,
    }
    commitment = Commitment(**(values | changes))
    return SubmitCommitment(commitment=commitment, signature=key.sign(DOMAIN.commitment_digest(commitment)))


def verdict_on(digest: str, epoch_id: int = 1, key: Signer = VERIFIER, **changes: Any) -> SubmitVerdict:
    """A verifier's verdict with its opening; `changes` to the opening."""
    values: dict[str, Any] = {"trace_hash": to_hex(TRACE), "output_root": to_hex(packed_root(OUTPUT)), "units": 8}
    opening = Opening(**(values | changes))
    commit = to_hex(answer_commit(opening, from_hex(digest), key.address))
    verdict = Verdict(commitment_digest=digest, verifier=key.address, answer_commit=commit)
    signature = key.sign(DOMAIN.verdict_digest(verdict))
    return SubmitVerdict(epoch_id=epoch_id, verdict=verdict, signature=signature, opening=opening)


def _blank(kind: str) -> Any:
    return (
        to_hex(bytes(int(kind[5:] or 0))) if kind.startswith("bytes") else "0x" + "00" * 20 if kind == "address" else 0
    )


_EVENTS = {
    item["name"]: (contract, {each["name"]: _blank(each["type"]) for each in item["inputs"]})
    for contract in ("StakeManager", "SlashingCourt", "Contests", "JobEscrow")
    for item in artifact(contract).abi
    if item["type"] == "event"
}


@dataclass
class World:
    """One backend. Move `now_s`, change `chain`, call `services`."""

    folder: Path
    now_s: int = NOW
    chain: FakeChainView = field(default_factory=FakeChainView)

    def __post_init__(self) -> None:
        self.database = fresh_database(self.folder / "assay.db")
        self.blobs = BlobStore(self.folder / "blobs", max_bytes=10_000, max_loose_bytes=100_000)
        self.settings = BackendSettings(self.folder, "http://unused", DEPLOYMENT, SETTLER, DEPLOYMENT.treasury)
        self.services: Services = build_services(
            self.settings, self.chain, self.database, self.blobs, lambda: self.now_s
        )
        self.chain.lanes[REQUESTER.address, REQUESTER.address] = Lane(balance=10_000)
        self.chain.nodes |= {NODE.address: 1, OTHER_NODE.address: 2}
        self.chain.operators |= {1: OperatorAccount(stake=10_000), 2: OperatorAccount(stake=10_000)}
        self.chain.verifiers[VERIFIER.address] = 3
        prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": MAX_UNITS}
        offer_workload(self.database, open_tokenizers(self.folder), MANIFEST, BYTE_TOKENIZER, **prices)
        self.blobs.put(TEXTS)
        self.blobs.put(OUTPUT, to_hex(packed_root(OUTPUT)))
        self._salt = 100

    def order(self, **changes: Any) -> str:
        """Accepts a new order at the lane's present cap and returns its id."""
        self._salt += 1
        values = {"salt": self._salt, "deadline": self.now_s + 100} | changes
        lane = self.services.views.lane(REQUESTER.address, REQUESTER.address)
        wanted = terms(**values)
        cap = lane.charged + lane.open_max + wanted.max_price
        order = Order(requester=REQUESTER.address, spend_cap=cap, terms=wanted)
        return self.services.intake.accept(signed(order))[0]

    def ask(
        self,
        key: Signer = NODE,
        held: Sequence[str] = (),
        session: str | None = None,
        pace: Pace | None = None,
        **changes: Any,
    ) -> LeaseRequest:
        """A node's signed request for a job, which names the leases that it knows of and the node's pace."""
        request = self._request("lease", to_hex(ZERO32), key, changes)
        signature = key.sign(DOMAIN.node_request_digest(request))
        return LeaseRequest(
            request=request, signature=signature, workload_id=WORKLOAD, held=list(held), session=session, pace=pace
        )

    def beat(self, order_id: str, key: Signer = NODE) -> Heartbeat:
        """A node's signed heartbeat."""
        request = self._request("heartbeat", order_id, key, {})
        return Heartbeat(request=request, signature=key.sign(DOMAIN.node_request_digest(request)))

    def give_back(self, order_id: str, key: Signer = NODE, reason: ReturnReason = "too_slow") -> ReturnLease:
        """A node's signed return of a job."""
        request = self._request("return", order_id, key, {})
        signature = key.sign(DOMAIN.node_request_digest(request))
        return ReturnLease(request=request, signature=signature, reason=reason, words="5 tokens/s")

    def _request(self, action: str, order_id: str, key: Signer, changes: dict[str, Any]) -> NodeRequest:
        values: dict[str, Any] = {"action": action, "order_id": order_id, "timestamp": self.now_s}
        return NodeRequest(node=key.address, **(values | changes))

    def lend(self, key: Signer = NODE, held: Sequence[str] = ()) -> LeaseGrant:
        """A lease that must be given."""
        grant = self.services.leasing.lend(self.ask(key, held))
        assert grant is not None
        return grant

    def deliver(self, key: Signer = NODE) -> str:
        """Orders, lends and delivers one job, and returns its order's id."""
        self.order()
        order_id = self.lend(key).lease.order_id
        self.services.delivery.receive(commitment_for(order_id, key))
        return order_id

    def close_epoch(self, epoch_id: int = 1) -> list[LeafRow]:
        """What closing does: every delivered job that is in no epoch becomes a row."""
        with self.database.begin() as session:
            waiting = [job for job in jobs(session) if job.commitment is not None and job.leaf is None]
            leaves = [
                LeafRow(
                    epoch_id=epoch_id,
                    index=index,
                    kind="job",
                    digest=job.commitment.digest,
                    requester=job.order.requester,
                    signer=job.order.signer,
                    operator_id=job.commitment.operator_id,
                    amount=job.commitment.amount,
                )
                for index, job in enumerate(waiting)
                if job.commitment is not None
            ]
            rows = [Row(x.requester, x.signer, x.operator_id, x.amount, from_hex(x.digest)) for x in leaves]
            root = to_hex(merkle_root([row.leaf() for row in rows]))
            zero = to_hex(ZERO32)
            epoch = EpochRow(epoch_id=epoch_id, closed_at=self.now_s, root=root, log_root=zero, row_count=len(rows))
            session.add_all([epoch, *leaves])
        return leaves

    def event(self, name: str, **args: Any) -> None:
        """A confirmed event in a block of its own, at the present time. What is left out of it is zero."""
        contract, blank = _EVENTS[name]
        args = blank | args
        with self.database.begin() as session:
            number = len(session.exec(select(BlockRow)).all()) + 1
            name_hash = to_hex(keccak(name.encode()))
            session.add(BlockRow(number=number, hash=name_hash, parent_hash=name_hash, timestamp=self.now_s))
            session.add(
                ChainEventRow(
                    block_number=number,
                    log_index=0,
                    contract=contract,
                    name=name,
                    subject=subject_of(name, args),
                    operator_id=args.get("operatorId"),
                    args=args,
                    block_hash=name_hash,
                    tx_hash=name_hash,
                )
            )

    def settle(self, epoch_id: int = 1, *, void: int = 0, skipped: int = 0) -> None:
        """A confirmed settlement; `void` and `skipped` as numbers whose bit i is row i's."""
        with self.database.begin() as session:
            session.add(
                SettlementRow(
                    epoch_id=epoch_id,
                    block_number=1,
                    tx_hash=to_hex(keccak(b"settle")),
                    packed=b"",
                    void_bits=bytes([void]),
                    skipped_bits=bytes([skipped]),
                    gas_used=1,
                )
            )
