"""A coordinator for tests: the real contracts on a real Anvil, the real database, real HTTP."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from eth_utils.address import to_checksum_address

from backend.api.idle_timeout import IdleTimeoutProtocol
from backend.app import BackendSettings, build_app
from backend.client import AssayClient, Wallet
from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT, Constants
from contracts.protocol.hashing import ZERO32, from_hex, keccak, to_hex
from contracts.protocol.packed import pack
from contracts.protocol.records import Commitment, NodeRequest
from contracts.protocol.sampling import Deterrence
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import trace_commit
from contracts.protocol.wire import LeaseGrant, LeaseRequest, SubmitCommitment
from deploy.localnet.processes import free_port
from tests.world.founded import founded
from tests.world.founding import Plan
from tests.world.manifests import manifest
from tests.world.parties import key, owner_of
from tests.world.prompts import STOP, read, root_of, with_words
from tests.world.waiting import eventually
from tests.world.wording import id_of

FIXED, UNIT = 100, 10
PASSWORD = "a password of tests"
KEYS = {name: key(name) for name in ("deployer", "settler", "alice", "node")} | {"owner": owner_of("node")}
SCATTERING, UNFINISHED = "Scattering.", "Because the"
TOKENIZER_JSON = with_words(SCATTERING, UNFINISHED)
TOKENIZER = read(TOKENIZER_JSON)
MANIFEST = manifest(
    model="smol-test", tokenizer_sha256=hashlib.sha256(TOKENIZER_JSON).hexdigest(), stops=[STOP],
    input={"max_texts": 4, "max_bytes": 1000, "max_tokens": 200}, check_price_units=20,
    deterrence=Deterrence(
        honest_cost_ppm=500_000, cheat_cost_ppm=0, detection_ppm=1_000_000, collusion_ppm=300_000, false_alarm_ppm=0
    ).model_dump(),
)  # fmt: skip
PLAN = Plan(tokens=(("alice", 10**15), ("owner of node", 10**15)))
"""Contracts, and people with tokens: no lane, no operator, no bond."""


def word(text: str) -> int:
    """The id of a whole word."""
    found = id_of(TOKENIZER, text)
    assert found is not None
    return found


OUTPUT = pack([[word(SCATTERING), STOP]])


@dataclass
class Coordinator:
    """A running coordinator and the parties around it."""

    url: str
    chain: Chain
    home: Path
    clients: list[AssayClient] = field(default_factory=list)

    def sender(self, name: str) -> Sender:
        """A party's key on the chain."""
        return Sender(self.chain.w3, KEYS[name])

    def wallet(self, name: str = "alice") -> Wallet:
        """A party's wallet."""
        return Wallet(self.chain, KEYS[name])

    def client(self, key: Signer = KEYS["alice"], requester: str | None = None) -> AssayClient:
        """A requester's client."""
        client = AssayClient(self.url, key, requester, chain=self.chain)
        self.clients.append(client)
        return client

    def register_node(self, stake_units: int) -> None:
        """An operator with one node key and some stake."""
        owner, stakes = self.sender("owner"), self.chain.stakes.functions
        owner.call(stakes.register(owner.address))
        digest = self.chain.deployment.stake_domain.node_key_digest(KEYS["owner"].address, KEYS["node"].address)
        signature = from_hex(KEYS["node"].sign(digest))
        owner.call(stakes.addNodeKey(to_checksum_address(KEYS["node"].address), signature))
        if stake_units:
            wei = stake_units * self.chain.deployment.constants.unit_wei
            owner.call(self.chain.token.functions.approve(self.chain.stakes.address, wei))
            owner.call(stakes.stake(1, stake_units))

    def bond_settler(self, units: int) -> None:
        """What lets an epoch charge so much."""
        self.sender("deployer").call(self.chain.escrow.functions.bondSettler(units))

    def lease(self) -> httpx.Response:
        """The node asks for a job."""
        domain, workload_id = self.chain.deployment.domain, MANIFEST.workload_id()
        request = NodeRequest(
            node=KEYS["node"].address, action="lease", order_id=to_hex(ZERO32), timestamp=int(time.time())
        )
        signature = KEYS["node"].sign(domain.node_request_digest(request))
        asked = LeaseRequest(request=request, signature=signature, workload_id=workload_id)
        return self.post("/v1/operator/leases", asked)

    def deliver(self, grant: LeaseGrant, output: bytes = OUTPUT, units: int = 2) -> httpx.Response:
        """The node hands over what it computed, two tokens if nothing else is said."""
        name, order_id = root_of(output), grant.lease.order_id
        httpx.put(f"{self.url}/v1/blobs/{name}", content=output).raise_for_status()
        node = KEYS["node"]
        commitment = Commitment(
            order_id=order_id,
            node=node.address,
            output_root=name,
            trace_commit=to_hex(trace_commit(keccak(b"trace"), from_hex(order_id), node.address)),
            units=units,
        )
        signature = node.sign(self.chain.deployment.domain.commitment_digest(commitment))
        return self.post("/v1/operator/commitments", SubmitCommitment(commitment=commitment, signature=signature))

    def post(self, path: str, record: Any) -> httpx.Response:
        """One call."""
        content = record.model_dump_json().encode()
        return httpx.post(self.url + path, content=content, headers={"content-type": "application/json"})


@contextmanager
def coordinator(folder: Path, constants: Constants = DEVELOPMENT) -> Iterator[Coordinator]:
    """A founded chain, a fresh backend."""
    with founded(replace(PLAN, constants=constants)) as place:
        chain, deployment = place.chain(), place.deployment
        prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": 64}
        offer_workload(open_database(folder), open_tokenizers(folder), MANIFEST, TOKENIZER_JSON, **prices)
        with serving(BackendSettings(folder, place.url, deployment, KEYS["settler"], deployment.treasury)) as url:
            running = Coordinator(url, chain, folder)
            yield running
            for client in running.clients:
                client.close()


@contextmanager
def serving(settings: BackendSettings) -> Iterator[str]:
    """The coordinator's HTTP server in a thread. Yields its URL."""
    with listening(build_app(settings)) as url:
        yield url


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Any application behind the server that `assay serve` runs. Yields its URL."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off", http=IdleTimeoutProtocol)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
