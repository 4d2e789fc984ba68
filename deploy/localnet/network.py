"""A whole network on one machine: chain, contracts, backend, beacon, verifiers, nodes, each a separate process.

The founder (the development account that such chains make rich) deploys, hands out ether and tokens, and has the
governor admit the verifiers; after that every party acts with its own keys.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from eth_account import Account
from eth_utils.address import to_checksum_address

from backend.client.wallet import Wallet
from contracts.onchain.chain import Chain, connect
from contracts.onchain.deployment import Deployment, deploy
from contracts.onchain.keystore import create_key
from contracts.onchain.sender import Sender
from contracts.protocol.constants import Constants
from contracts.protocol.manifest import Manifest
from contracts.protocol.signing import Signer
from deploy.localnet.anvil import answers, anvil_options, find_anvil
from deploy.localnet.processes import Party, Processes, free_port

ETHER_EACH_WEI = 10**19
_DEV_MNEMONIC = "test test test test test test test test test test test junk"
_CALL_GAS = 400_000


@dataclass(frozen=True)
class Offered:
    """A workload with its tokenizer and its line of the price sheet. Prices in units; a job costs at most
    `max_units`."""

    manifest: Manifest
    tokenizer: Path
    fixed_price: int
    unit_price: int
    max_units: int


@dataclass
class Network:
    """The running network and how to reach it. A program listens at its URL, if one is given."""

    root: Path
    processes: Processes
    constants: Constants
    rpc_url: str = ""
    backend_url: str = ""
    beacon_url: str = ""
    parties: dict[str, Party] = field(default_factory=dict)

    @property
    def deployment_file(self) -> Path:
        """The file with the contracts' addresses."""
        return self.root / "deployment.json"

    @property
    def deployment(self) -> Deployment:
        """The contracts."""
        return Deployment.load(self.deployment_file)

    def chain(self) -> Chain:
        """A new connection."""
        return Chain.open(self.rpc_url, self.deployment)

    def party(self, name: str) -> Party:
        """A party by name, made on first use; an earlier one if the folder is used again."""
        if name not in self.parties:
            self.parties[name] = Party.open(self.root, name)
        return self.parties[name]

    def common(self) -> list[str]:
        """The options that locate the chain."""
        return ["--rpc", self.rpc_url, "--deployment", str(self.deployment_file)]

    # -- chain and contracts

    def start_chain(self, kind: str, options: Sequence[str] = ()) -> None:
        """Starts the embedded chain, or Anvil with further options; blocks come every second."""
        self.rpc_url, port = _place(self.rpc_url)
        if kind == "anvil":
            self.processes.start_program("chain", [find_anvil(), *anvil_options(port), *options])
        else:
            self.processes.start("chain", ["chain", "serve", "--port", str(port)])
        self.processes.wait_for("chain", lambda: answers(self.rpc_url))

    def deploy(self) -> None:
        """Makes the settler's, treasury's and beacon's keys and deploys the contracts."""
        backend = self.party("backend")
        settler = create_key(backend.key("settler"), backend.password)
        treasury = create_key(backend.key("treasury"), backend.password)
        beacon = self.party("beacon")
        anchor = self.processes.run("beacon-init", ["beacon", "init", "--home", str(beacon.home)], party=beacon)
        deployment = deploy(
            self.founder(),
            self.constants,
            settler=settler.address,
            treasury=treasury.address,
            beacon_anchor=_last_word(anchor),
        )
        deployment.save(self.deployment_file)

    def founder(self) -> Sender:
        """The rich development account."""
        Account.enable_unaudited_hdwallet_features()
        key = bytes(Account.from_mnemonic(_DEV_MNEMONIC).key)
        return Sender(connect(self.rpc_url), Signer(key))

    def fund(self, tokens_wei: dict[str, int], ether_only: Sequence[str] = ()) -> None:
        """Sends ether to all these addresses, and tokens to the first."""
        founder, chain = self.founder(), self.chain()
        founder.pay([*tokens_wei, *ether_only], ETHER_EACH_WEI)
        transfers = [chain.token.functions.transfer(to_checksum_address(a), wei) for a, wei in tokens_wei.items()]
        founder.call_all(transfers, gas=_CALL_GAS)

    def bond_settler(self, units: int) -> None:
        """The founder bonds the settler: what it may charge in a window."""
        founder, chain = self.founder(), self.chain()
        wei = units * self.constants.unit_wei
        calls = [
            chain.token.functions.approve(chain.escrow.address, wei),
            chain.escrow.functions.bondSettler(units),
        ]
        founder.call_all(calls, gas=_CALL_GAS)

    def fund_lane(self, signer: Signer, units: int) -> None:
        """Deposits into the signer's own lane."""
        Wallet(self.chain(), signer).deposit(units)

    def register_verifier(self, owner: Signer, stake_units: int) -> int:
        """Registers and stakes a verifier's account with its owner's key. The governor admits it."""
        chain = self.chain()
        sender = Sender(chain.w3, owner)
        wei = stake_units * self.constants.unit_wei
        sender.call(chain.stakes.functions.register(sender.address))
        account = int(chain.stakes.functions.operatorIdOf(sender.address).call())
        calls = [
            chain.token.functions.approve(chain.stakes.address, wei),
            chain.stakes.functions.stake(account, stake_units),
        ]
        sender.call_all(calls, gas=_CALL_GAS)
        return account

    def admit_verifiers(self, accounts: dict[int, str]) -> None:
        """Has the governor admit verifiers (account -> key address): proposes, waits, executes."""
        founder, chain = self.founder(), self.chain()
        delay, empty = self.constants.timelock_s, bytes(32)
        data = [
            chain.stakes.encode_abi("admitVerifier", [account, to_checksum_address(key)])
            for account, key in accounts.items()
        ]
        governor, target = chain.governor.functions, chain.stakes.address
        founder.call_all([governor.schedule(target, 0, d, empty, empty, delay) for d in data], gas=_CALL_GAS)
        time.sleep(delay + 1)
        founder.call_all([governor.execute(target, 0, d, empty, empty) for d in data], gas=_CALL_GAS)

    # -- programs

    def start_beacon(self) -> None:
        """Starts the beacon."""
        beacon, (self.beacon_url, port) = self.party("beacon"), _place(self.beacon_url)
        arguments = ["beacon", "serve", "--home", str(beacon.home), *self.common(), "--port", str(port)]
        self.processes.start("beacon", arguments, party=beacon)

    def start_backend(self, offers: Sequence[Offered]) -> None:
        """Offers the workloads and starts the API."""
        for offered in offers:
            self.offer(offered)
        self.serve_backend()

    def offer(self, offered: Offered) -> None:
        """Puts a workload on the price sheet, and keeps its manifest for nodes in `manifests`."""
        backend, kind = self.party("backend"), offered.manifest.kind
        file = self.root / f"{kind}.manifest.json"
        file.write_bytes(offered.manifest.canonical())
        prices = ["--fixed-price", str(offered.fixed_price), "--unit-price", str(offered.unit_price)]
        limits = ["--max-units", str(offered.max_units), "--tokenizer", str(offered.tokenizer)]
        arguments = ["workloads", "offer", str(file), *prices, *limits, "--home", str(backend.home)]
        self.processes.run(f"offer-{kind}", arguments, party=backend)

    @property
    def manifests(self) -> list[Path]:
        """The manifests of the workloads on offer."""
        return sorted(self.root.glob("*.manifest.json"))

    def serve_backend(self) -> None:
        """Starts the API with the workloads on offer."""
        backend, (self.backend_url, port) = self.party("backend"), _place(self.backend_url)
        serve = [
            "serve",
            "--home",
            str(backend.home),
            *self.common(),
            "--port",
            str(port),
            "--public-rpc",
            self.rpc_url,
        ]
        self.processes.start("backend", serve, party=backend)
        self.processes.wait_for("backend", lambda: _is_up(f"{self.backend_url}/v1/network"))

    def start_worker(self, *, epoch_s: int, confirmations: int) -> None:
        """Starts the worker that drives epochs."""
        backend = self.party("backend")
        pace = ["--epoch-seconds", str(epoch_s), "--confirmations", str(confirmations)]
        arguments = ["worker", "--home", str(backend.home), *self.common(), "--beacon", self.beacon_url, *pace]
        self.processes.start("worker", arguments, party=backend)

    def start_verifier(self, name: str, model_dir: Path) -> None:
        """Starts a verifier whose key was made by `assay verifier init`."""
        party = self.party(name)
        where = [*self.common(), "--backend", self.backend_url, "--model-dir", str(model_dir)]
        self.processes.start(name, ["verifier", "run", "--home", str(party.home), *where], party=party)

    def start_node(self, name: str, models: Path, *, program: Sequence[str] = ("node", "run")) -> None:
        """Starts a node that `assay node init` prepared, for all workloads on offer; `program` replaces `assay node
        run`."""
        party = self.party(name)
        where = [*self.common(), "--backend", self.backend_url, "--models", str(models)]
        workloads = [option for file in self.manifests for option in ("--workload", str(file))]
        arguments = [*program, "--home", str(party.home), *where, *workloads]
        self.processes.start(name, arguments, party=party)


def _place(url: str) -> tuple[str, int]:
    """A program's URL and port: the given ones, or free ones."""
    port = urlsplit(url).port or free_port()
    return f"http://127.0.0.1:{port}", port


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


def _last_word(text: str) -> str:
    return text.split()[-1].strip().lower()
