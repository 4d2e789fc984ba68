"""A backend that gets bad input: real contracts on a real Anvil, the real database and blobs, real HTTP.

`refused` is what every test asserts with: a 4xx problem whose code is documented, which names the value and the way out
on one line, and after which database, files and chain are what they were.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from eth_utils.address import to_checksum_address
from sqlmodel import select

from backend.app import BackendSettings
from backend.services.offering import offer_workload
from backend.store.home import open_tokenizers
from backend.store.tables import LeafRow, LeaseRow, WorkloadRow
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from contracts.protocol.records import Commitment, Lease, NodeRequest, Opening, Order, Params, Terms, Verdict
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import Domain, answer_commit, trace_commit
from contracts.protocol.wire import Problem
from tests.integration.backend.api.coordinator import serving
from tests.integration.backend.worker.bench import KEYS, MANIFEST, Bench
from tests.integration.backend.worker.court import COURT
from tests.world import manifests
from tests.world.founded import founded
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import name_of, prompts_of, root_of

PARAMS = Params(max_new_tokens=8)
FIXED, UNIT, MAX_PRICE = 100, 10, 180
TEXTS = ["Why is the sky blue?"]
INPUT = encode_texts(TEXTS)
OUTPUT = pack([[5, 6, 7, 8, 9, 10, 11, 12]])
TRACE = keccak(b"trace")
JSON = {"content-type": "application/json"}
STRANGER = Signer(keccak(b"a stranger"))
_LONGEST_DETAIL = 1500


def manifest(model: str, honest_cost_ppm: int) -> Manifest:
    """A workload whose every row (cost 10^6) or no row (cost 0) of a staked operator is sampled."""
    return manifests.manifest(
        model=model, params=manifests.up_to_tokens(16), input={"max_texts": 3, "max_bytes": 400, "max_tokens": 100},
        check_price_units=50, deterrence=manifests.EVERY_ROW | {"honest_cost_ppm": honest_cost_ppm},
    )  # fmt: skip


ALWAYS, NEVER = manifest("always", 10**6), manifest("never", 0)
PROMPTS, OUTPUT_ROOT = prompts_of(ALWAYS, TEXTS), root_of(OUTPUT)
"""Both workloads cut texts alike."""


@dataclass
class Place:
    """The running backend. `bench`: its chain, keys and database."""

    bench: Bench
    url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20.0))
    _salt: int = 0

    # ------------------------------------------------------------ records

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return self.bench.deployment.domain

    def terms(self, **changes: Any) -> Terms:
        """Acceptable terms, with changes."""
        self._salt += 1
        values: dict[str, Any] = {
            "workload_id": ALWAYS.workload_id(), "prompt_root": root_of(PROMPTS),
            "texts_hash": to_hex(keccak(INPUT)), "params": PARAMS,
            "fixed_price": FIXED, "unit_price": UNIT, "max_price": MAX_PRICE,
            "deadline": int(time.time()) + 100, "salt": self._salt,
        }  # fmt: skip
        return Terms(**(values | changes))

    def order(self, who: str = "alice", *, signer: Signer | None = None, cap: int = 10**6, **changes: Any) -> Any:
        """The body of a signed order."""
        key = signer or KEYS[who]
        return self.signed(Order(requester=KEYS[who].address, spend_cap=cap, terms=self.terms(**changes)), key)

    def signed(self, order: Order, key: Signer) -> Any:
        """The body that submits an order."""
        signature = key.sign(self.domain.order_id(order))
        return {"order": order.model_dump(), "signer": key.address, "signature": signature}

    def asking(self, *texts: str) -> dict[str, str]:
        """Terms that ask these texts, which are put."""
        return {"texts_hash": self.put(encode_texts(texts)), "prompt_root": root_of(prompts_of(ALWAYS, texts))}

    def commitment(self, order_id: str, key: Signer | None = None, **changes: Any) -> Any:
        """The body that delivers an order."""
        key = key or KEYS["node"]
        values: dict[str, Any] = {
            "order_id": order_id, "node": key.address, "output_root": OUTPUT_ROOT,
            "trace_commit": to_hex(trace_commit(TRACE, from_hex(order_id), key.address)), "units": 8,
        }  # fmt: skip
        record = Commitment(**(values | changes))
        return {"commitment": record.model_dump(), "signature": key.sign(self.domain.commitment_digest(record))}

    def verdict(self, digest: str, key: Signer | None = None, *, epoch_id: int = 1, **changes: Any) -> Any:
        """The body of a verdict that agrees; `changes` to its opening."""
        key = key or KEYS["judge-1"]
        values: dict[str, Any] = {"trace_hash": to_hex(TRACE), "output_root": OUTPUT_ROOT, "units": 8}
        opening = Opening(**(values | changes))
        commit = to_hex(answer_commit(opening, from_hex(digest), key.address))
        record = Verdict(commitment_digest=digest, verifier=key.address, answer_commit=commit)
        return {
            "epoch_id": epoch_id, "verdict": record.model_dump(), "opening": opening.model_dump(),
            "signature": key.sign(self.domain.verdict_digest(record)),
        }  # fmt: skip

    def request(self, action: str, order_id: str, key: Signer | None = None, timestamp: int | None = None) -> Any:
        """What authenticates a node's call."""
        key, at = key or KEYS["node"], int(time.time()) if timestamp is None else timestamp
        record = NodeRequest(node=key.address, action=action, order_id=order_id, timestamp=at)
        return {"request": record.model_dump(), "signature": key.sign(self.domain.node_request_digest(record))}

    # ------------------------------------------------------------ good days

    def put(self, data: bytes = INPUT) -> str:
        """Puts bytes under their name."""
        name = name_of(data)
        self.http.put(f"{self.url}/v1/blobs/{name}", content=data).raise_for_status()
        return name

    def post(self, path: str, body: Any) -> httpx.Response:
        """One call that must pass."""
        response = self.http.post(self.url + path, json=body)
        assert response.is_success, response.text
        return response

    def accepted(self, **changes: Any) -> str:
        """The id of a new order that was accepted."""
        self.put()
        return str(self.post("/v1/orders", self.order(**changes)).json()["order_id"])

    def lent(self, *, expires_in_s: int = 60, key: Signer | None = None, **changes: Any) -> str:
        """The id of an order that is lent to the node, or was."""
        order_id, key, now = self.accepted(**changes), key or KEYS["node"], int(time.time())
        lease = Lease(order_id=order_id, node=key.address, expires=now + expires_in_s)
        signature = KEYS["settler"].sign(self.domain.lease_digest(lease))
        with self.bench.database.begin() as session:
            session.add(
                LeaseRow(
                    order_id=order_id, node=key.address, operator_id=self.bench.operator_id, granted_at=now,
                    expires=lease.expires, signature=signature,
                )
            )  # fmt: skip
        return order_id

    def delivered(self, **changes: Any) -> str:
        """The commitment digest of a job that was delivered."""
        order_id = self.lent(**changes)
        self.put(OUTPUT)
        return str(self.post("/v1/operator/commitments", self.commitment(order_id)).json()["digest"])

    def revealed(self, digest: str) -> int:
        """Drives the epochs until the one with this commitment is revealed, and returns it."""
        worker = self.bench.worker()
        for _ in range(40):
            self.bench.drive(worker, clock_s=11)
            with self.bench.database.read() as session:
                leaf = session.exec(select(LeafRow).where(LeafRow.digest == digest)).first()
            if leaf is not None and leaf.epoch_id + 1 in self.bench.posted():
                return leaf.epoch_id
        raise AssertionError("the epoch was not revealed")

    # ------------------------------------------------------------ bad days

    def refused(
        self, response: httpx.Response, status: int, code: str, *named: object, way_out: str
    ) -> Problem:  # fmt: skip
        """Asserts the answer alone; see `refuses`."""
        assert 400 <= response.status_code < 500, response.text
        assert response.headers["content-type"] == "application/problem+json", response.text
        problem = Problem.model_validate_json(response.content)
        assert (response.status_code, problem.status, problem.code) == (status, status, code), problem.detail
        assert problem.type == f"urn:assay:problem:{code}"
        for value in named:
            assert str(value) in problem.detail, (value, problem.detail)
        assert way_out in problem.detail, problem.detail
        assert len(problem.detail) <= _LONGEST_DETAIL
        assert problem.detail.isprintable(), "one line, nothing that moves a terminal's cursor"
        return problem

    def refuses(
        self, method: str, path: str, status: int, code: str, *named: object, way_out: str, **sent: Any
    ) -> Problem:  # fmt: skip
        """Sends bad input. Asserts the problem, its value and way out, and that nothing changed."""
        with unchanged(self.bench):
            response = self.http.request(method, self.url + path, **sent)
            return self.refused(response, status, code, *named, way_out=way_out)


def table_rows(home: Path) -> dict[str, list[Any]]:
    """Every row of every table, read beside the backend."""
    with closing(sqlite3.connect(f"file:{home / 'assay.db'}?mode=ro", uri=True)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in sorted(names)}


def files(folder: Path) -> dict[str, str]:
    """The sha256 of every file under a folder, the database's own aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("assay.db")
    }


@contextmanager
def unchanged(bench: Bench) -> Iterator[None]:
    """Asserts that the database's rows, the files and the chain are the same after as before."""
    before = (table_rows(bench.home), files(bench.home), bench.chain.head())
    yield
    after = (table_rows(bench.home), files(bench.home), bench.chain.head())
    for name, rows in before[0].items():
        assert after[0][name] == rows, f"rows of {name} changed"
    assert after[1:] == before[1:]


@contextmanager
def open_place(home: Path) -> Iterator[Place]:
    """A backend on a chain of its own, with lanes of alice and bob, a staked operator and two verifiers."""
    with founded(COURT) as chain:
        bench = Bench(chain.url, chain.deployment, home)
        with bench.database.begin() as session:  # the bench's own workload comes without its tokenizer
            session.delete(session.get_one(WorkloadRow, MANIFEST.workload_id()))
        for each in (ALWAYS, NEVER):
            prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": 40}
            offer_workload(bench.database, open_tokenizers(home), each, BYTE_TOKENIZER, **prices)
        settings = BackendSettings(home, chain.url, bench.deployment, KEYS["settler"], KEYS["session"].address)
        with serving(settings) as url:
            place = Place(bench, url)
            try:
                yield place
            finally:
                place.http.close()


def address(key: Signer) -> Any:
    """As the contracts' functions take it."""
    return to_checksum_address(key.address)
