"""A whole network for the pages: a real Anvil, backend, worker, beacon and node as processes, windows of seconds.

Only the node's engine is a fake: it answers with the texts that it was asked, so that a test knows the answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from eth_utils.address import to_checksum_address

from backend.client.wallet import Wallet
from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from backend.store.tables import WorkloadRow
from contracts.onchain.chain import connect
from contracts.onchain.keystore import create_key, load_key
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.manifest import Manifest
from contracts.protocol.signing import Signer
from deploy.localnet.network import Network
from deploy.localnet.processes import Processes, free_port
from node_agent.app import NODE_KEY
from tests.browser.echo_node import STOP
from tests.world.node_fakes import BYTE_TOKENIZER, fake_manifest

# The shortest windows in which a busy machine still settles: a notice ripens after 42 s.
CONSTANTS = DEVELOPMENT.model_copy(
    update={
        "order_ttl_s": 15, "epoch_max_s": 4, "seed_blocks": 1, "check_wait_s": 2, "commit_window_s": 1,
        "reveal_window_s": 1, "settle_wait_s": 20, "notice_s": 42, "notice_life_s": 600,
    }
)  # fmt: skip
GRACE_S = 2
TOKEN = 10**9
"""Units of one token."""
FIXED_PRICE, UNIT_PRICE = 2_000_000, 1_000_000
MANIFEST = fake_manifest().model_copy(update={"stops": (STOP,)})
REQUESTERS = {
    name: Signer(keccak(b"browser " + name.encode()))
    for name in ("ana", "bo", "chi", "dee", "eve", "fay", "gus", "hal", "poor")
}
"""Keys of the wallets in the browser, held by the test, never by a page."""


@contextmanager
def running(root: Path) -> Iterator[Network]:
    """The network, everybody funded: requesters hold 100 tokens each, but for `poor`."""
    network = Network(root, Processes(root / "logs"), CONSTANTS)
    try:
        network.start_chain("anvil")
        chain = connect(network.rpc_url)
        chain.request("evm_setAutomine", True)  # setting up waits for no block
        network.deploy()
        _fund(network)
        network.start_beacon()
        _start_backend(network)
        network.start_worker(epoch_s=2, confirmations=1)
        _start_node(network)
        network.processes.wait_for("backend", lambda: _answers(f"{network.backend_url}/v1/network"))
        chain.request("evm_setIntervalMining", 1)
        yield network
        network.processes.check()
    finally:
        network.processes.stop_all()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


def _fund(network: Network) -> None:
    backend = network.party("backend")
    settler, treasury = (load_key(backend.key(name), backend.password) for name in ("settler", "treasury"))
    wei = CONSTANTS.unit_wei
    rich = {key.address: 100 * TOKEN * wei for name, key in REQUESTERS.items() if name != "poor"}
    network.fund(rich | {treasury.address: TOKEN * wei}, ether_only=[settler.address, REQUESTERS["poor"].address])
    network.bond_settler(100 * TOKEN)
    network.fund_lane(treasury, TOKEN)


def _start_backend(network: Network) -> None:
    backend, port = network.party("backend"), free_port()
    network.backend_url = f"http://127.0.0.1:{port}"
    offer(network)
    options = ["--port", str(port), "--grace", str(GRACE_S), "--public-rpc", network.rpc_url]
    network.processes.start(
        "backend", ["serve", "--home", str(backend.home), *network.common(), *options], party=backend
    )


def _start_node(network: Network) -> None:
    chain, party = network.chain(), network.party("node")
    owner = Signer(keccak(b"browser node owner"))
    node = create_key(party.home / NODE_KEY, party.password)
    network.fund({owner.address: TOKEN * CONSTANTS.unit_wei})
    sender, stakes = Sender(chain.w3, owner), chain.stakes
    sender.call(stakes.functions.register(sender.address))
    signature = from_hex(node.sign(network.deployment.stake_domain.node_key_digest(owner.address, node.address)))
    sender.call(stakes.functions.addNodeKey(to_checksum_address(node.address), signature))
    sender.call(chain.token.functions.approve(stakes.address, TOKEN * CONSTANTS.unit_wei))
    sender.call(stakes.functions.stake(1, TOKEN))
    where = [str(party.home), network.rpc_url, str(network.deployment_file), network.backend_url]
    network.processes.start("node", ["-m", "tests.browser.echo_node", *where], party=party)


def offer(network: Network, *, fixed_price: int = FIXED_PRICE) -> None:
    """Puts the workload on the price sheet, or changes its price."""
    home = network.party("backend").home
    prices = {"fixed_price": fixed_price, "unit_price": UNIT_PRICE, "max_units": 64}
    offer_workload(open_database(home), open_tokenizers(home), MANIFEST, BYTE_TOKENIZER, **prices)


@contextmanager
def offered_beside(network: Network, manifest: Manifest) -> Iterator[None]:
    """Meanwhile another workload is on the price sheet, which nobody serves."""
    home = network.party("backend").home
    prices = {"fixed_price": FIXED_PRICE, "unit_price": UNIT_PRICE, "max_units": 64}
    offer_workload(open_database(home), open_tokenizers(home), manifest, BYTE_TOKENIZER, **prices)
    try:
        yield
    finally:
        with open_database(home).begin() as session:
            session.delete(session.get_one(WorkloadRow, manifest.workload_id()))


def deposit(network: Network, name: str, units: int) -> None:
    """Funds a requester's lane without a page."""
    Wallet(network.chain(), REQUESTERS[name]).deposit(units)
