"""A network in miniature for tests: the real contracts on a real Anvil, really signed records, a log in a folder.

No backend: epochs are built and settled here by direct calls, so that a test can bend any one of them.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts.onchain.sender import Sender
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.log import (
    CommitmentEntry,
    LeaseEntry,
    LogEntry,
    OrderEntry,
    RowEntry,
    TraceEntry,
    VerdictEntry,
    WorkloadEntry,
    dump_line,
    log_root,
)
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packed import pack as pack_words
from contracts.protocol.packed import unpack as unpack_words
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack
from contracts.protocol.pricing import amount_units
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.records import COMPARATORS, Commitment, Lease, Opening, Order, Params, Terms, Verdict
from contracts.protocol.signing import Signer, compact
from contracts.protocol.texts import encode_texts
from contracts.protocol.tokens import TextTokenizer
from contracts.protocol.trace import ShownText, encode_shown, trace_hash_of
from contracts.protocol.typed_data import answer_commit, terms_hash, trace_commit
from node_agent.execution.engine import Check, Engine, Execution
from tests.world.anvil import pass_time, rpc
from tests.world.founded import Founded, founded
from tests.world.founding import PARTIES, Operator, Plan
from tests.world.manifests import EVERY_ROW, manifest, up_to_tokens
from tests.world.parties import BEACON, key, owner_of
from tests.world.prompts import BYTES, root_of

PARAMS = Params(max_new_tokens=8)
NODE_STAKE_UNITS, STAKE_UNITS = 10**6, 10**9


def plan(verifiers: int = 3) -> Plan:
    """An operator and verifiers of equal stake."""
    return Plan(
        lanes=(("requester", 10**7), ("treasury", 10**7)), bond_units=10**8,
        operators=(
            Operator("node", NODE_STAKE_UNITS, "node"),
            *(Operator(f"verifier {number}", STAKE_UNITS, "verifier") for number in range(verifiers)),
        ),
    )  # fmt: skip


@contextmanager
def network_of(
    folder: Path,
    *,
    verifiers: int = 3,
    manifest: Manifest | None = None,
    engine: Engine | None = None,
    tokenizer: TextTokenizer = BYTES,
) -> Iterator["Network"]:
    """A network on a founded chain of its own."""
    with founded(plan(verifiers)) as chain:
        yield Network(chain, folder, manifest or fake_manifest(), engine or HashEngine(), tokenizer)


class HashEngine(Engine):
    """A fake engine: the answer is a hash of the question. `flavour` is the model: another one computes otherwise."""

    name, version, check = "torch-float", "1", "regenerate"
    name: str
    version: str
    check: Check

    def __init__(self, flavour: bytes = b"honest") -> None:
        self.flavour = flavour
        self.calls = 0

    def get(self, manifest: Manifest) -> "HashEngine":
        """The engine of any workload (verifier.reexecution.Engines)."""
        return self

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        self.calls += 1
        most, answers, shown = params["max_new_tokens"], list[bytes](), list[ShownText]()
        for ids in unpack_words(input_bytes):
            seed = self.flavour + pack_words([ids]) + repr(sorted(params.items())).encode()
            answers.append(hashlib.sha256(b"answer" + seed).digest()[: 1 + len(ids) % most])
            shown.append(ShownText(rows=len(answers[-1]), nodes=[hashlib.sha256(b"logits" + seed).digest()]))
        trace = encode_shown(shown)
        return Execution(pack_words(answers), trace_hash_of(trace), sum(map(len, answers)), trace)


@dataclass(frozen=True)
class Ordered:
    """A job through to its commitment, and its packed prompts."""

    order: OrderEntry
    lease: LeaseEntry
    commitment: CommitmentEntry
    prompts: bytes
    row: Row
    trace: bytes = b""


@dataclass
class Closed:
    """An epoch as it was posted."""

    epoch_id: int
    lines: list[bytes]
    groups: tuple[LaneGroup, ...]
    jobs: list[Ordered] = field(default_factory=list)


class Network:
    """All parties in one object. Keys are fixed, so that runs are alike."""

    def __init__(
        self, chain: Founded, folder: Path, manifest: Manifest, engine: Engine, tokenizer: TextTokenizer
    ) -> None:
        self.rpc_url, self.folder, self.deployment = chain.url, folder, chain.deployment
        (folder / "epochs").mkdir(parents=True)
        (folder / "blobs").mkdir()
        self.beacon = BEACON
        self.keys = {name: key(name) for name in (*PARTIES, "node")} | {"operator": owner_of("node")}
        verifiers = [operator.name for operator in chain.plan.operators if operator.role == "verifier"]
        self.verifiers = [key(name) for name in verifiers]
        self.operator_id = chain.plan.account("node")
        self.verifier_ids = [chain.plan.account(name) for name in verifiers]
        self.chain = chain.chain()
        self.w3, self.domain = self.chain.w3, self.deployment.domain
        self.engine, self.manifest, self.tokenizer = engine, manifest, tokenizer
        self.params = PARAMS if self.manifest.params else Params()
        self._published: set[str] = set()
        self._salt = self._open_max = 0
        self.closed: dict[int, Closed] = {}

    # ------------------------------------------------------------ chain

    def rpc(self, method: str, *params: Any) -> Any:
        """A JSON-RPC call."""
        return rpc(self.w3, method, *params)

    def wait(self, seconds: int) -> None:
        """Moves the chain's time."""
        pass_time(self.w3, seconds)

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.rpc("evm_mine")

    def sender(self, signer: Signer) -> Sender:
        return Sender(self.w3, signer)

    def call(self, who: Signer, function: Any) -> Any:
        return self.sender(who).call(function)

    # ------------------------------------------------------------ the flow

    def job(self, text: str | list[str], *, engine: Engine | None = None, max_price: int = 100) -> Ordered:
        """Orders, leases and executes a job of a text or a batch; `engine` is the node's."""
        requester, node = self.keys["requester"], self.keys["node"]
        texts = [text] if isinstance(text, str) else text
        prompts = pack_prompts(self.manifest, self.tokenizer, texts)
        order = self._order(requester, texts, prompts, max_price)
        order_id = self.domain.order_id(order)
        run = self.execute(prompts, engine)
        commitment = Commitment(
            order_id=to_hex(order_id),
            node=node.address,
            output_root=self.words(run.output),
            trace_commit=to_hex(trace_commit(run.trace_hash, order_id, node.address)),
            units=run.units,
        )
        digest = self.domain.commitment_digest(commitment)
        lease = Lease(order_id=to_hex(order_id), node=node.address, expires=order.terms.deadline)
        amount = amount_units(order.terms, run.units)
        return Ordered(
            OrderEntry(order=order, signer=requester.address, signature=requester.sign(order_id)),
            LeaseEntry(lease=lease, signature=self.keys["settler"].sign(self.domain.lease_digest(lease))),
            CommitmentEntry(commitment=commitment, signature=node.sign(digest)),
            prompts,
            Row(requester.address, requester.address, self.operator_id, amount, digest),
            run.trace,
        )

    def execute(self, prompts: bytes, engine: Engine | None = None) -> Execution:
        """What an engine, the network's own if none is given, makes of prompts with the parameters of all orders."""
        return (engine or self.engine).execute(prompts, self.params.of(self.manifest.params))

    def show(self, job: Ordered) -> TraceEntry:
        """A job's trace, as its node shows it."""
        return TraceEntry(commitment_digest=to_hex(job.row.digest), trace=self.blob(job.trace))

    def _order(self, requester: Signer, texts: list[str], prompts: bytes, max_price: int) -> Order:
        self._salt += 1
        self._open_max += max_price
        terms = Terms(
            workload_id=self.manifest.workload_id(),
            prompt_root=self.words(prompts),
            texts_hash=self.blob(encode_texts(texts)),
            params=self.params,
            comparator=COMPARATORS[self.manifest.comparator],
            fixed_price=10,
            unit_price=5,
            max_price=max_price,
            deadline=max(self.chain.head().timestamp, int(time.time())) + 100,  # no block may have come for long
            salt=self._salt,
        )
        return Order(requester=requester.address, spend_cap=self._open_max, terms=terms)

    def blob(self, data: bytes) -> str:
        """Publishes bytes under their hash."""
        return self._publish(to_hex(keccak(data)), data)

    def words(self, packed: bytes) -> str:
        """Publishes packed words under their root."""
        return self._publish(root_of(packed), packed)

    def _publish(self, name: str, data: bytes) -> str:
        (self.folder / "blobs" / name).write_bytes(data)
        return name

    def verdict(self, epoch_id: int, job: Ordered, verifier: int = 0, engine: Engine | None = None) -> VerdictEntry:
        """A verdict of a verifier that computed the job with `engine`, with its opening."""
        key, digest = self.verifiers[verifier], job.row.digest
        run = self.execute(job.prompts, engine)
        opening = Opening(trace_hash=to_hex(run.trace_hash), output_root=root_of(run.output), units=run.units)
        hidden = to_hex(answer_commit(opening, digest, key.address))
        verdict = Verdict(commitment_digest=to_hex(digest), verifier=key.address, answer_commit=hidden)
        signature = key.sign(self.domain.verdict_digest(verdict))
        return VerdictEntry(epoch_id=epoch_id, verdict=verdict, signature=signature, opening=opening)

    def check_row(self, entry: VerdictEntry) -> Row:
        """The row that pays a check."""
        treasury = self.keys["treasury"].address
        account = self.verifier_ids[[v.address for v in self.verifiers].index(entry.verdict.verifier)]
        price, digest = self.manifest.check_price_units, self.domain.verdict_digest(entry.verdict)
        return Row(treasury, treasury, account, price, digest)

    def post(
        self,
        jobs: list[Ordered],
        verdicts: Sequence[VerdictEntry] = (),
        *,
        shown: Sequence[LogEntry] = (),
        paid: int | None = None,
    ) -> Closed:
        """Closes an epoch of these jobs, verdicts and traces, writes its log and posts it. `paid`: how many checks
        are paid."""
        epoch_id = len(self.closed) + 1
        checks = [self.check_row(entry) for entry in verdicts[:paid]]
        groups = self._groups(jobs, checks)
        lines = [dump_line(entry) for entry in self._entries(jobs, [*verdicts, *shown], groups)]
        (self.folder / "epochs" / f"{epoch_id}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        root = merkle_root([row.leaf() for group in groups for row in group.rows])
        count = sum(len(group.rows) for group in groups)
        self.mine(self.deployment.constants.seed_blocks + 1)
        post = self.chain.escrow.functions.postEpoch(
            epoch_id, root, count, self.beacon.value(epoch_id), log_root(lines)
        )
        self.call(self.keys["settler"], post)
        self.closed[epoch_id] = Closed(epoch_id, lines, groups, jobs)
        return self.closed[epoch_id]

    def _groups(self, jobs: list[Ordered], checks: list[Row]) -> tuple[LaneGroup, ...]:
        groups = []
        if jobs:
            last = max(jobs, key=lambda job: job.order.order.spend_cap).order
            lane = (last.signer, last.signer)
            proof = CapProof(last.order.spend_cap, terms_hash(last.order.terms), *compact(last.signature))
            groups.append(LaneGroup(*lane, proof, tuple(job.row for job in jobs)))
        if checks:
            treasury = self.keys["treasury"]
            order = self._order(treasury, ["checks"], pack_words([[1]]), 1).model_copy(update={"spend_cap": 10**6})
            proof = CapProof(10**6, terms_hash(order.terms), *compact(treasury.sign(self.domain.order_id(order))))
            groups.append(LaneGroup(treasury.address, treasury.address, proof, tuple(checks)))
        return tuple(groups)

    def _entries(
        self, jobs: list[Ordered], facts: Sequence[LogEntry], groups: tuple[LaneGroup, ...]
    ) -> Iterator[LogEntry]:
        if jobs and self.manifest.workload_id() not in self._published:
            self._published.add(self.manifest.workload_id())
            yield WorkloadEntry(manifest=self.manifest.model_dump(mode="json"))
        for job in jobs:
            yield from (job.order, job.lease, job.commitment)
        yield from facts
        for index, row in enumerate(row for group in groups for row in group.rows):
            yield RowEntry(
                index=index,
                requester=row.requester,
                signer=row.signer,
                operator_id=row.operator_id,
                amount_units=row.amount_units,
                digest=to_hex(row.digest),
            )

    def settle(self, epoch_id: int, void: frozenset[int] = frozenset()) -> None:
        """Settles an epoch whole."""
        packed = pack(Epoch(self.closed[epoch_id].groups, void))
        self.call(self.keys["settler"], self.chain.escrow.functions.settleEpoch(epoch_id, packed))


def moved_row(job: Ordered, **changes: Any) -> Ordered:
    """The same job with another row."""
    return replace(job, row=replace(job.row, **changes))


def fake_manifest(**changes: Any) -> Manifest:
    """The world's manifest; every row of it is checked."""
    return manifest(
        **{"model": "fake", "params": up_to_tokens(8), "check_price_units": 7, "deterrence": EVERY_ROW,
           "engine_version": "1"} | changes
    )  # fmt: skip
