"""The ports of the node in memory: a backend that lends prepared jobs, a chain with given facts, an engine that echoes.

`FakeBackend` speaks contracts.protocol.wire, over HTTP (`serve`) or as an httpx transport (`transport`), and misbehaves
where a test sets `intercept`.
"""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from tokenizers.pre_tokenizers import ByteLevel

from contracts.onchain.deployment import Deployment
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.manifest import InputLimits, IntegerRange, Manifest
from contracts.protocol.merkle import Row, merkle_proof, merkle_root
from contracts.protocol.packed import pack, packed_root, unpack
from contracts.protocol.pricing import amount_units
from contracts.protocol.prompts import pack_prompts
from contracts.protocol.records import Lease, NodeRequest, Order, Params, Record, Terms
from contracts.protocol.sampling import Deterrence
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.tokens import TextTokenizer
from contracts.protocol.wire import (
    Acknowledgement,
    Heartbeat,
    LeaseGrant,
    LeaseRequest,
    NetworkInfo,
    OrderView,
    Problem,
    Receipt,
    ReturnLease,
    SubmitCommitment,
    SubmitTrace,
)
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.session.chain_facts import RootFacts

FAR_FUTURE_S = 2**40 - 1

Answer = tuple[int, bytes]
"""HTTP status and body."""

Intercept = Callable[[str, str, bytes], Answer | None]
"""Hears (method, path, body) of every call first; may block, or answer in the backend's place."""


def _byte_tokenizer() -> bytes:
    """tokenizer.json with one token a byte of UTF-8, after three control tokens of ChatML."""
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    vocab = [*specials, *sorted(ByteLevel.alphabet())]
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": name, **flags} for index, name in enumerate(specials)],
        "pre_tokenizer": level,
        "decoder": level,
        "model": {"type": "BPE", "vocab": {token: index for index, token in enumerate(vocab)}, "merges": []},
    }
    return json.dumps(tokenizer).encode()


BYTE_TOKENIZER = _byte_tokenizer()
BYTE_TOKENIZER_SHA256 = hashlib.sha256(BYTE_TOKENIZER).hexdigest()
_TOKENIZER = TextTokenizer(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256)


def fake_manifest(model: str = "echo") -> Manifest:
    """A workload that no real engine serves."""
    return Manifest(
        kind="generation",
        unit="completion token",
        meter="new_tokens",
        model=model,
        weights_sha256="00" * 32,
        tokenizer_sha256=BYTE_TOKENIZER_SHA256,
        engine_version="fake",
        numeric_class="00" * 32,
        params={"max_new_tokens": IntegerRange(minimum=1, maximum=64, default=32)},
        input=InputLimits(max_texts=8, max_bytes=1000, max_tokens=1000),
        check_price_units=1,
        deterrence=Deterrence(
            honest_cost_ppm=700_000, cheat_cost_ppm=100_000, detection_ppm=990_000, collusion_ppm=0, false_alarm_ppm=0
        ),
    )


def fake_deployment(settler: str) -> Deployment:
    """A deployment that lies on no chain, with the development constants."""
    names = ("escrow", "stake_manager", "court", "contests", "token", "governor", "guardian", "treasury")
    addresses = {name: to_hex(keccak(name.encode())[12:]) for name in names}
    anchor = to_hex(keccak(b"beacon"))
    return Deployment(
        chain_id=31337,
        first_block=0,
        settler=settler,
        beacon_anchor=anchor,
        constants=DEVELOPMENT,
        founding=None,
        **addresses,
    )


@dataclass
class FakeFacts:
    """`LiveFacts` that says what it is told."""

    settler_address: str = "0x" + "00" * 20
    operator_id: int = 7
    lane_facts: Lane = field(default_factory=lambda: Lane(10**12, 0, 0, 0, FAR_FUTURE_S))
    epochs: dict[int, RootFacts] = field(default_factory=dict)

    def settler(self) -> str:
        """See LiveFacts."""
        return self.settler_address

    def operator_of(self, node: str) -> int:
        """See LiveFacts."""
        return self.operator_id

    def lane(self, requester: str, signer: str) -> Lane:
        """See LiveFacts."""
        return self.lane_facts

    def last_epoch(self) -> int:
        """See LiveFacts."""
        return max(self.epochs, default=0)

    def posted(self, epoch_id: int) -> RootFacts:
        """See LiveFacts."""
        return self.epochs.get(epoch_id, RootFacts(bytes(32), 0))


class EchoEngine(Engine):
    """An engine that answers with the beginning of its prompts.

    With `fickle`, each call gives other bytes: no honest engine does that.
    """

    name: str = "echo"
    version: str = "fake"
    check: Check = "regenerate"
    concurrent: bool = True

    def __init__(self, *, fickle: bool = False, speed: Speed | None = None) -> None:
        self.calls, self.speed = 0, speed
        self._fickle = fickle

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See Engine."""
        self.calls += 1
        answers = [ids[: params["max_new_tokens"]] for ids in unpack(input_bytes)]
        if self._fickle:
            answers[-1][-1] = secrets.randbits(32)
        output, units = pack(answers), sum(map(len, answers))
        trace = b"trace" + output
        return Execution(output=output, trace_hash=hashlib.sha256(trace).digest(), units=units, trace=trace)


class FakeBackend:
    """A backend in memory. See the module's docstring.

    Attributes:
        jobs: what is lent, first to last, but for what the node says it holds; one leaves when it is committed to.
        commitments: every commitment received, repetitions included.
        receipts: what an order's view shows, by order id.
        traces: every trace received.
        returned: every job that was given back; it is lent to nobody again.
        tokenizer: cuts the texts that are ordered.
        ahead_s: how far its clock, by the Date header, is ahead of this host's; None: it tells no date.
        calls: (method, path) of every call.
        intercept: a test's chance to misbehave.
    """

    def __init__(self, deployment: Deployment, settler: Signer, manifest: Manifest, clock: Callable[[], int]) -> None:
        self.deployment, self.settler, self.manifest, self.clock = deployment, settler, manifest, clock
        self.requester = Signer(keccak(b"requester"))
        self.blobs: dict[str, bytes] = {}
        self.jobs: list[tuple[Order, str]] = []
        self.known: dict[str, tuple[Order, str]] = {}
        self.commitments: list[SubmitCommitment] = []
        self.receipts: dict[str, Receipt] = {}
        self.calls: list[tuple[str, str]] = []
        self.traces: list[SubmitTrace] = []
        self.returned: list[ReturnLease] = []
        self.tokenizer = _TOKENIZER
        self.ahead_s: float | None = None
        self.intercept: Intercept = lambda method, path, body: None
        self.lease_s = 30

    def order(
        self, text: bytes | list[str], *, spend_cap: int = 10**9, changes: Mapping[str, object] | None = None
    ) -> str:
        """Puts a signed order of a text, or a batch, into the queue and returns its id. `changes` replace terms."""
        texts = text if isinstance(text, list) else [text.decode()]
        fields: dict[str, object] = {
            "workload_id": self.manifest.workload_id(),
            "prompt_root": self.put(pack_prompts(self.manifest, self.tokenizer, texts)),
            "texts_hash": self.put(encode_texts(texts)),
            "params": Params(max_new_tokens=16 if self.manifest.params else 0),
            "fixed_price": 100,
            "unit_price": 10,
            "max_price": 260,
            "deadline": self.clock() + 100,
            "salt": len(self.known),
        }
        terms = Terms.model_validate(fields | dict(changes or {}))
        order = Order(requester=self.requester.address, spend_cap=spend_cap, terms=terms)
        digest = self.deployment.domain.order_id(order)
        job = (order, self.requester.sign(digest))
        self.jobs.append(job)
        self.known[to_hex(digest)] = job
        return to_hex(digest)

    def put(self, data: bytes) -> str:
        """Keeps bytes under their name: their root if they are packed words."""
        try:
            name = to_hex(packed_root(data))
        except NotPacked:
            name = to_hex(keccak(data))
        self.blobs[name] = data
        return name

    def grant(self, job: tuple[Order, str], node: str) -> LeaseGrant:
        """A lease of a job, signed by the settler."""
        order, signature = job
        order_id = to_hex(self.deployment.domain.order_id(order))
        lease = Lease(order_id=order_id, node=node, expires=self.clock() + self.lease_s)
        return LeaseGrant(
            lease=lease,
            lease_signature=self.settler.sign(self.deployment.domain.lease_digest(lease)),
            order=order,
            signer=self.requester.address,
            order_signature=signature,
        )

    def root(self, order_ids: list[str], operator_id: int, epoch_id: int, posted_at_s: int = 1) -> RootFacts:
        """Makes receipts of delivered orders under one root."""
        rows = [self.row(order_id, operator_id) for order_id in order_ids]
        leaves = [row.leaf() for row in rows]
        for index, (order_id, row) in enumerate(zip(order_ids, rows, strict=True)):
            self.receipts[order_id] = Receipt(
                epoch_id=epoch_id,
                index=index,
                operator_id=operator_id,
                amount_units=row.amount_units,
                commitment_digest=to_hex(row.digest),
                siblings=[to_hex(sibling) for sibling in merkle_proof(leaves, index)],
            )
        return RootFacts(merkle_root(leaves), len(leaves), posted_at_s)

    def row(self, order_id: str, operator_id: int) -> Row:
        """The leaf of a delivered order."""
        order, _ = self.known[order_id]
        commitment = next(each.commitment for each in self.commitments if each.commitment.order_id == order_id)
        digest = self.deployment.domain.commitment_digest(commitment)
        amount = amount_units(order.terms, commitment.units)
        return Row(order.requester, self.requester.address, operator_id, amount, digest)

    def handle(self, method: str, path: str, body: bytes) -> Answer:
        """Answers one call."""
        self.calls.append((method, path))
        answer = self.intercept(method, path, body)
        if answer is not None:
            return answer
        _, _, kind, *rest = path.split("/")
        if kind == "blobs" and method == "PUT":
            self.blobs[rest[0]] = body
            return 201, b""
        if kind == "blobs":
            return (200, self.blobs[rest[0]]) if rest[0] in self.blobs else problem(404, "unknown_blob", "put it first")
        if kind == "workloads":
            return 200, self.manifest.canonical()
        if kind == "network":
            return 200, _json(self._network())
        if kind == "orders":
            return 200, _json(self._view(rest[0]))
        return self._operator(rest[0], body)

    def _operator(self, what: str, body: bytes) -> Answer:
        if what == "leases":
            asked = LeaseRequest.model_validate_json(body)
            unknown = (job for job in self.jobs if to_hex(self.deployment.domain.order_id(job[0])) not in asked.held)
            job = next(unknown, None)
            return (204, b"") if job is None else (200, _json(self.grant(job, asked.request.node)))
        if what == "heartbeats":
            request: NodeRequest = Heartbeat.model_validate_json(body).request
            return 200, _json(self.grant(self.known[request.order_id], request.node))
        if what == "traces":
            shown = SubmitTrace.model_validate_json(body)
            assert shown.trace in self.blobs, "a trace is uploaded before it is shown"
            self.traces.append(shown)
            return 200, _json(Acknowledgement(digest=shown.commitment_digest, new=True))
        if what == "returns":
            returned = ReturnLease.model_validate_json(body)
            self.returned.append(returned)
            self.jobs = [job for job in self.jobs if job is not self.known[returned.request.order_id]]
            return 200, _json(Acknowledgement(digest=returned.request.order_id, new=True))
        sent = SubmitCommitment.model_validate_json(body)
        assert sent.commitment.output_root in self.blobs, "an output is uploaded before its commitment"
        self.jobs = [job for job in self.jobs if job is not self.known[sent.commitment.order_id]]
        new = sent not in self.commitments
        self.commitments.append(sent)
        digest = to_hex(self.deployment.domain.commitment_digest(sent.commitment))
        return 200, _json(Acknowledgement(digest=digest, new=new))

    def _network(self) -> NetworkInfo:
        d = self.deployment
        return NetworkInfo(
            chain_id=d.chain_id, escrow=d.escrow, stake_manager=d.stake_manager, court=d.court,
            contests=d.contests, token=d.token,
            settler=d.settler, treasury=d.treasury, treasury_signer=d.treasury, first_block=d.first_block,
            constants=d.constants, price_sheet=[], newcomer_price=0,
        )  # fmt: skip

    def _view(self, order_id: str) -> OrderView:
        order, signature = self.known[order_id]
        receipt = self.receipts.get(order_id)
        return OrderView(
            order_id=order_id, state="rooted" if receipt else "delivered", order=order,
            signer=self.requester.address, signature=signature, node=None, commitment=None,
            commitment_signature=None, amount_units=None, receipt=receipt,
        )  # fmt: skip

    def transport(self) -> httpx.MockTransport:
        """The same backend as a transport, without sockets."""

        def answer(request: httpx.Request) -> httpx.Response:
            status, body = self.handle(request.method, request.url.path, request.content)
            dated = {} if self.ahead_s is None else {"date": formatdate(time.time() + self.ahead_s, usegmt=True)}
            return httpx.Response(status, headers=dated, stream=httpx.ByteStream(body))

        return httpx.MockTransport(answer)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The same backend over HTTP on a free port; yields its base URL."""
        backend = self

        class FakeBackendHandler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = backend.handle(self.command, self.path, body)
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), FakeBackendHandler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


def problem(status: int, code: str, detail: str) -> Answer:
    """RFC 9457 problem details."""
    return status, _json(Problem(type="about:blank", title=code, status=status, code=code, detail=detail))


def _json(record: Record) -> bytes:
    return record.model_dump_json().encode()
