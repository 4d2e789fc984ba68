"""A whole network around one operator: a chain, real contracts, the real backend and worker, canary lane."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from backend.app import BackendSettings
from backend.services.closing import ClosingRule
from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from backend.worker import Worker, WorkerSettings
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.errors import AssayError
from node_agent.app import NodeSettings, run_node
from node_agent.cli import node_app
from node_agent.home import is_running
from tests.integration.backend.api.coordinator import serving
from tests.world.fakes import FakeBeacon
from tests.world.founded import Founded, founded
from tests.world.founding import Plan
from tests.world.manifests import manifest
from tests.world.node_fakes import BYTE_TOKENIZER, EchoEngine
from tests.world.parties import BEACON, key
from tests.world.waiting import PATIENCE_S, eventually

PASSWORD = "a password of this test"
SETTINGS = ("ASSAY_RPC", "ASSAY_BACKEND", "ASSAY_DEPLOYMENT", "ASSAY_OWNER_KEY", "ASSAY_MODELS", "ASSAY_DEVICE")
"""What a test before may have left in the environment: an `assay` that is called in this process sets what it finds."""
SETTLER, TREASURY, CANARY = (key(name) for name in ("settler", "treasury", "canary"))
CONSTANTS = DEVELOPMENT.model_copy(update={"check_wait_s": 3})
MANIFEST = manifest()
WORKLOAD = MANIFEST.workload_id()
FIXED, UNIT, MAX_UNITS = 2_000_000, 1_000_000, 8
LANE_UNITS = 10**9
PLAN = Plan(CONSTANTS, lanes=(("treasury", LANE_UNITS), ("canary", LANE_UNITS)), bond_units=10 * LANE_UNITS)
BLOCK_S = 0.25


@dataclass
class World:
    """What surrounds the operator. Amounts: tokens whole, units as everywhere."""

    rpc: str
    url: str
    chain: Chain
    founder: Sender
    folder: Path

    @property
    def deployment(self) -> Deployment:
        return self.chain.deployment

    def pay(self, address: str, *, wei: int = 0, token_wei: int = 0) -> None:
        """Ether and tokens from the founder."""
        if wei:
            self.founder.pay([address], wei)
        if token_wei:
            self.founder.call(self.chain.token.functions.transfer(to_checksum_address(address), token_wei))

    def earned(self, operator_id: int) -> int:
        return int(self.chain.escrow.functions.operators(operator_id).call().earnedUnits)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Contracts, backend and worker; the canary's lane is funded, and blocks come by the clock."""
    with founded(PLAN, "--block-time", str(BLOCK_S)) as chain, _served(chain, folder) as running:
        yield running


@contextmanager
def _served(place: Founded, folder: Path) -> Iterator[World]:
    rpc, deployment, chain = place.url, place.deployment, place.chain()
    home = folder / "backend"
    database = open_database(home)
    prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": MAX_UNITS}
    offer_workload(database, open_tokenizers(home), MANIFEST, BYTE_TOKENIZER, **prices)
    settings = BackendSettings(
        home, rpc, deployment, SETTLER, TREASURY.address, canary=CANARY, canary_daily_units=2 * (FIXED + UNIT)
    )
    rule = WorkerSettings(
        home=home, rpc_url=rpc, deployment=deployment, beacon_url="", settler=SETTLER, treasury=TREASURY,
        closing=ClosingRule(2), confirmations=1,
    )  # fmt: skip
    values = FakeBeacon([BEACON.value(epoch_id) for epoch_id in range(1, 257)])
    worker, stop = Worker(database, Chain.open(rpc, deployment), values, rule), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        with serving(settings) as url:
            yield World(rpc, url, chain, Sender(place.connect(), key("deployer")), folder)
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def command(*arguments: str, code: int = 0) -> str:
    """Runs `assay node ...` and returns what it printed, and the error that ended it."""
    result = CliRunner().invoke(node_app, list(arguments))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    error = result.exception
    return f"{result.output}{error.code} {error}" if isinstance(error, AssayError) else result.output


def fund_what_it_says(found: World, printed: str) -> str:
    """Sends the owner exactly what the command asked for, and returns the owner."""
    owner, ether = re.search(r"The owner (0x\w{40}) on chain 31337 lacks ([\d.]+) ether", printed).groups()  # type: ignore[union-attr]
    tokens = re.search(r"and ([\d.]+) tokens of", printed)
    token_wei = int(Decimal(tokens[1]).scaleb(18)) if tokens else 0
    found.pay(owner, wei=int(Decimal(ether).scaleb(18)), token_wei=token_wei)
    return str(owner)


@contextmanager
def running_node(found: World, home: Path) -> Iterator[None]:
    """A node that echoes, from a home that init prepared."""
    stop = threading.Event()
    settings = NodeSettings(home, found.rpc, found.deployment, found.url, (), PASSWORD, poll_s=0.2)
    thread = threading.Thread(target=run_node, args=(settings, lambda manifest: EchoEngine(), stop))
    thread.start()
    try:
        eventually(lambda: is_running(home))
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


Bend = Callable[[str, httpx.Response], tuple[bytes, dict[str, str]]]
"""From a path and the true answer to the body and headers that are told instead."""


@contextmanager
def bent(url: str, bend: Bend) -> Iterator[str]:
    """A proxy before a backend that tells other things. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {"content-type": self.headers["content-type"]} if body else {}
            answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=30.0)
            content, more = bend(self.path, answer)
            self.send_response_only(answer.status_code)
            for name, value in {"date": answer.headers["date"], **more, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
