"""The network of `assay up`: one party of each kind, founded once, then started and stopped in the same folder."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from contracts.onchain.artifacts import CONTRACTS, artifact
from contracts.onchain.chain import as_dict
from contracts.onchain.errors import ChainError
from contracts.onchain.keystore import create_key
from contracts.protocol.constants import DEVELOPMENT, Constants
from contracts.protocol.hashing import keccak, to_hex
from deploy.localnet import workload
from deploy.localnet.founding import TOKEN_UNITS, NetworkSetup, Parties
from deploy.localnet.measuring import PATIENT_S, look
from deploy.localnet.network import Network
from deploy.localnet.planning import Burden, windows
from deploy.localnet.processes import Processes, ProcessFailed, free_port
from deploy.localnet.up.anvil_state import AnvilState
from deploy.localnet.up.errors import OtherRelease, PortTaken
from deploy.localnet.up.first_answer import CanaryOrder, FirstAnswer
from deploy.localnet.up.folder import Folder
from deploy.localnet.up.supervisor import Service, Supervisor
from deploy.settings import ClientFile
from node_agent.models import ModelStore

NODE, VERIFIER, REQUESTER = "node", "verifier", "requester"
EPOCH_S, CONFIRMATIONS = 8, 1
LONG_PROMPT_TOKENS = 256
"""Tokens of a long order, which the windows must allow."""
CAST = Parties(
    nodes=(NODE,),
    verifiers=(VERIFIER,),
    requesters=(REQUESTER,),
    node_stake_units=20 * TOKEN_UNITS,
    verifier_stake_units=20 * TOKEN_UNITS,
    lane_units=10 * TOKEN_UNITS,
    treasury_lane_units=1000 * TOKEN_UNITS,
    settler_bond_units=100 * TOKEN_UNITS,
    wallet_units=90 * TOKEN_UNITS,
    requester_key="requester",
)
CANARY_LANE_UNITS = 100 * TOKEN_UNITS
_NODE_END_S, _CHAIN_END_S, _MINED_WITHIN_S = 45.0, 20.0, 5.0
_WARM_BLOCKS = 3
_STRANDED = 4
_RECENT_EPOCHS = 8
_PREFERRED_RPC_PORT, _PREFERRED_BACKEND_PORT = 8545, 8000


class LocalNetwork:
    """The network of one folder. `say` prints a line."""

    def __init__(self, folder: Folder, store: ModelStore, say: Callable[[str], None]) -> None:
        self._folder, self._store, self._say = folder, store, say
        self._processes = Processes(folder.path / "logs", end_with_us=True)
        self.network = Network(folder.path, self._processes, DEVELOPMENT)
        self._place()
        if folder.is_founded:
            self.network.constants = self.network.deployment.constants
        self.anvil_state = AnvilState(self.network.rpc_url, folder.chain_file, say)
        self.supervisor = Supervisor(self._processes, self._services(), say)

    @property
    def folder_path(self) -> Path:
        """Where the network is kept."""
        return self._folder.path

    def _place(self) -> None:
        """URLs of the programs: the earlier ones, else the usual ports, else free ones."""
        network = self.network
        if self._folder.is_founded:
            file = ClientFile.load(self._folder.path)
            network.rpc_url, network.backend_url, network.beacon_url = file.rpc, file.backend, file.beacon
            if file.build != build_digest():
                raise OtherRelease(self._folder.path)
            for program, url in (("chain", file.rpc), ("backend", file.backend), ("beacon", file.beacon)):
                if _taken(url):
                    raise PortTaken(program, url)
            return
        network.rpc_url = self._usual("chain", _PREFERRED_RPC_PORT)
        network.backend_url = self._usual("backend", _PREFERRED_BACKEND_PORT)
        network.beacon_url = f"http://127.0.0.1:{free_port()}"

    def _usual(self, program: str, port: int) -> str:
        """The URL at the usual port, or at a free one, which it prints."""
        url = f"http://127.0.0.1:{port}"
        if not _taken(url):
            return url
        free = free_port()
        self._say(f"port {port} was taken, so the {program} listens on {free}: read {free} wherever {port} is written")
        return f"http://127.0.0.1:{free}"

    def _services(self) -> list[Service]:
        network, models = self.network, self._store.root
        return [
            Service("chain", self._start_chain, end_wait_s=_CHAIN_END_S),
            Service("beacon", network.start_beacon),
            Service("backend", network.serve_backend),
            Service("worker", lambda: network.start_worker(epoch_s=EPOCH_S, confirmations=CONFIRMATIONS)),
            Service(VERIFIER, lambda: network.start_verifier(VERIFIER, models)),
            Service(NODE, lambda: network.start_node(NODE, models), end_wait_s=_NODE_END_S),
        ]

    def _start_chain(self) -> None:
        """Starts Anvil with the kept state. It mines before anybody reads, since the state of old blocks is not
        kept."""
        file, folder = self._folder.chain_file, self._folder.path
        options = ["--cache-path", str(folder / "anvil-cache"), "--max-persisted-states", "0"]
        kept = ["--load-state", str(file)] if file.is_file() else []
        self.network.start_chain("anvil", [*options, *kept])
        self.anvil_state.started(time.monotonic())
        if kept:
            age_s = time.time() - file.stat().st_mtime
            self._say(f"the chain continues from its state of {_ago(age_s)}")
            self._warm_up()

    def _warm_up(self) -> None:
        head = self._head()
        self._processes.wait_for("chain", lambda: self._head() >= head + _WARM_BLOCKS)

    def _head(self) -> int:
        return int(self.network.founder().w3.eth.block_number)

    # -- life

    def create(self) -> None:
        """Makes everything for the first time. Only a completely founded network is ever started again."""
        self._say("measuring this machine")
        self.network.constants = self.measured_windows()
        network, founding = self.network, NetworkSetup(self.network, CAST, self._say)
        self._say("starting Anvil and deploying the contracts")
        self._start_chain()
        self.anvil_state.mine_at_once()
        network.deploy()
        self._say("making keys, funding all parties, offering the workloads")
        with ThreadPoolExecutor(2) as pool:  # threads run programs to their end here, and start none that stay
            offers = pool.submit(self._offer)
            founding.make_keys()
            founding.fund()
            self._fund_canary()
            offers.result()
            self._say("registering verifier and node")
            node = pool.submit(founding.join_node, NODE)
            founding.join_verifiers()
            node.result()
        self.anvil_state.mine_by_the_clock()
        self.anvil_state.save(time.monotonic())
        self._folder.write_client_file(
            ClientFile(
                rpc=network.rpc_url,
                backend=network.backend_url,
                beacon=network.beacon_url,
                escrow=network.deployment.escrow,
                build=build_digest(),
            )
        )

    def measured_windows(self) -> Constants:
        """Windows for usual orders on this machine; the longest fit too, one at a time. Raises TooSlow if it is
        hopelessly slow."""
        speeds, machine = look(self._store.root, None, PATIENT_S)
        speed, written = speeds.generation, workload.USUAL_NEW_TOKENS
        burden = Burden(LONG_PROMPT_TOKENS, written, ahead=2, rows=6, disputed=1)
        found = windows(speed, machine.share / machine.cores, burden)  # an engine here uses every core
        self._say(
            f"it reads {speed.read_per_s:.3g} and writes {speed.write_per_s:.3g} tokens/s ({speed.way}): an order has "
            f"{found.order_ttl_s} s, its check {found.check_wait_s} s"
        )
        return found

    def until_answered(self) -> None:
        """Waits until the node has answered a job. Raises NotAnswered."""
        self._say("waiting for the node's first answer")

        def tick(now: float) -> None:
            self.supervisor.tick(now)
            self.anvil_state.tick(now)

        with closing(CanaryOrder(self.network)) as order:
            log = self._processes.logs / f"{NODE}.log"
            took_s = FirstAnswer(order, lambda: self.supervisor.failures(NODE), tick, self._say, log).wait()
        self._say(f"the node answered its first job after {took_s:.0f} s")

    def _offer(self) -> None:
        for offered in (workload.generation(self._store), workload.embedding(self._store)):
            self.network.offer(offered)

    def _fund_canary(self) -> None:
        """The key whose lane pays newcomers' first jobs."""
        backend, unit = self.network.party("backend"), self.network.constants.unit_wei
        canary = create_key(backend.key("canary"), backend.password)
        self.network.fund({canary.address: CANARY_LANE_UNITS * unit})
        self.network.fund_lane(canary, CANARY_LANE_UNITS)

    def stop(self) -> None:
        """Stops all programs, saves the chain's state when nobody writes any more, then stops the chain."""
        services = {service.name: service for service in self._services()}
        chain = services.pop("chain")
        for service in reversed(services.values()):
            self.supervisor.stop(service)
        if "chain" in self._processes.running and "chain" not in self._processes.ended():
            self._save_at_rest()
        self.supervisor.stop(chain)

    def _save_at_rest(self) -> None:
        until = time.monotonic() + _MINED_WITHIN_S
        while not self.anvil_state.is_at_rest() and time.monotonic() < until:
            time.sleep(0.2)
        if self._folder.is_founded:
            block = self.anvil_state.save(time.monotonic())
            self._say(f"the chain's state is saved, up to block {block}")

    def settle_stranded(self) -> None:
        """Pays rows one by one, with the node's own command, if a stop prevented their settlement in time."""
        try:
            self._settle_stranded()
        except (ChainError, ProcessFailed) as error:
            self._say(f"stranded epochs were not settled: {error}; `assay node settle` does it by hand")

    def _settle_stranded(self) -> None:
        chain = self.network.chain()
        last = chain.escrow.functions.lastEpoch().call()
        recent = range(max(1, last - _RECENT_EPOCHS), last + 1)
        status = {epoch: chain.escrow.functions.epochStatus(epoch).call() for epoch in recent}
        counts = {epoch: as_dict(chain.escrow.functions.epochs(epoch).call())["count"] for epoch in recent}
        if not any(status[epoch] == _STRANDED and counts[epoch] for epoch in recent):
            return
        node = self.network.party(NODE)
        arguments = ["node", "settle", "--home", str(node.home), *self.network.common()]
        printed = self._processes.run("node-settle", arguments, party=node).splitlines()
        self._say(f"epochs were left unsettled while the network was stopped: {printed[-1] if printed else ''}")


def build_digest() -> str:
    """Identifies the contracts of this release: its programs understand no chain with other contracts."""
    return to_hex(keccak("".join(artifact(name).bytecode for name in CONTRACTS).encode()))


def _taken(url: str) -> bool:
    """Whether a program listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def _ago(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return f"{seconds:.0f} seconds ago"
