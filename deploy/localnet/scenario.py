"""The demo's story: who takes part, with how much, and what happens from the first block to the last claim."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
from eth_utils.address import to_checksum_address

from backend.client.jobs import AssayClient
from contracts.onchain.chain import Chain
from contracts.onchain.history import read_history
from contracts.onchain.keystore import create_key, load_key
from contracts.protocol.constants import Constants
from contracts.protocol.signing import Signer
from contracts.protocol.wire import OrderView
from deploy.localnet import workload
from deploy.localnet.network import Network
from deploy.localnet.processes import Party, ProcessFailed
from deploy.localnet.prompts import PROMPTS
from node_agent.models import ModelStore

HONEST_NODES = ("node-ana", "node-bo", "node-chi")
CHEAT = "node-dex"
NODES = (CHEAT, *HONEST_NODES)
VERIFIERS = ("verifier-eva", "verifier-finn")
REQUESTERS = ("requester-gil", "requester-hana")

TOKEN_UNITS = 10**9
NODE_STAKE_UNITS = 3 * TOKEN_UNITS
VERIFIER_STAKE_UNITS = 5 * TOKEN_UNITS
LANE_UNITS = 3 * TOKEN_UNITS
TREASURY_LANE_UNITS = TOKEN_UNITS
SETTLER_BOND_UNITS = 20 * TOKEN_UNITS
EPOCH_S = 14
JOB_EPOCHS = 3
"""The jobs are spread over at least so many epochs: a further part is ordered only once the last part has a root."""
CONFIRMATIONS = 1
OPEN_ORDERS = 10
CHEAT_JOBS = 14
"""The cheat must have this many jobs: at p = 0.5 a run misses it once in 16,000 times."""
MOST_EXTRA_JOBS = 20
FINAL_STATES = frozenset({"paid", "void", "skipped", "expired"})
_POLL_S = 1.0


@dataclass
class Progress:
    """What the story tells whoever watches: a line for the present step, and counts for the bars."""

    step: Callable[[str], None]
    jobs: Callable[[dict[str, int]], None]


@dataclass
class Story:
    """The demo as it runs. `node_accounts` and `verifier_accounts`: party name -> account id in StakeManager."""

    network: Network
    constants: Constants
    progress: Progress
    store: ModelStore
    jobs: int
    node_accounts: dict[str, int] = field(default_factory=dict)
    verifier_accounts: dict[str, int] = field(default_factory=dict)
    requesters: dict[str, Signer] = field(default_factory=dict)
    orders: list[OrderView] = field(default_factory=list)

    # -- set-up

    def set_up(self, chain_kind: str) -> None:
        """Brings the network up: everybody has keys, stake or a funded lane, and every program runs."""
        network = self.network
        self.progress.step(f"starting the chain ({chain_kind})")
        network.start_chain(chain_kind)
        self.progress.step("deploying the contracts")
        network.deploy()
        self.progress.step("making keys and funding everybody")
        owners = self._make_keys()
        self._fund(owners)
        network.start_beacon()
        self.progress.step("starting the backend")
        manifest = workload.manifest(self.store)
        network.start_backend(
            manifest,
            fixed_price=workload.FIXED_PRICE_UNITS,
            unit_price=workload.UNIT_PRICE_UNITS,
            max_units=workload.MAX_NEW_TOKENS,
        )
        network.start_worker(epoch_s=EPOCH_S, confirmations=CONFIRMATIONS)
        self.progress.step("verifiers and nodes register, stake, and start (each loads the model)")
        with ThreadPoolExecutor(3) as pool:
            verifiers = pool.submit(self._join_verifiers, owners)
            list(pool.map(self._join_node, NODES))
            verifiers.result()

    def _make_keys(self) -> dict[str, Signer]:
        """Owner keys of operators and verifiers, requesters' wallets, by party. Encrypting takes a second each."""
        with ThreadPoolExecutor(2) as pool:
            names = [*NODES, *VERIFIERS, *REQUESTERS]
            made = list(pool.map(lambda name: _owner_key(self.network.party(name)), names))
        owners = dict(zip(names, made, strict=True))
        self.requesters = {name: owners[name] for name in REQUESTERS}
        return owners

    def _fund(self, owners: dict[str, Signer]) -> None:
        network, unit = self.network, self.constants.unit_wei
        backend = network.party("backend")
        treasury = load_key(backend.key("treasury"), backend.password)
        settler = load_key(backend.key("settler"), backend.password)
        tokens = {owners[name].address: NODE_STAKE_UNITS * unit for name in NODES}
        tokens |= {owners[name].address: VERIFIER_STAKE_UNITS * unit for name in VERIFIERS}
        tokens |= {owners[name].address: LANE_UNITS * unit for name in REQUESTERS}
        tokens |= {treasury.address: TREASURY_LANE_UNITS * unit}
        network.fund(tokens, ether_only=[settler.address])
        network.bond_settler(SETTLER_BOND_UNITS)
        network.fund_lane(treasury, TREASURY_LANE_UNITS)
        for requester in self.requesters.values():
            network.fund_lane(requester, LANE_UNITS)

    def _join_verifiers(self, owners: dict[str, Signer]) -> None:
        keys = {}
        for name in VERIFIERS:
            party = self.network.party(name)
            printed = self.network.processes.run(
                f"{name}-init", ["verifier", "init", "--home", str(party.home)], party=party
            )
            key = printed.split()[-1]
            account = self.network.register_verifier(owners[name], VERIFIER_STAKE_UNITS)
            self.verifier_accounts[name], keys[account] = account, key
        self.network.founder().pay(list(keys.values()), 10**18)
        self.network.admit_verifiers(keys)
        for name in VERIFIERS:
            self.network.start_verifier(name, self.store.root)

    def _join_node(self, name: str) -> None:
        party = self.network.party(name)
        payout = create_key(party.key("payout"), party.password).address
        stake = ["--payout", to_checksum_address(payout), "--stake", str(NODE_STAKE_UNITS // TOKEN_UNITS)]
        arguments = ["node", "init", "--home", str(party.home), *self.network.common(), *stake]
        self.network.processes.run(f"{name}-init", arguments, party=party)
        owner = load_key(party.key("owner"), party.password)
        chain = self.network.chain()
        account = chain.stakes.functions.operatorIdOf(to_checksum_address(owner.address)).call()
        self.node_accounts[name] = int(account)
        program = ("-m", "deploy.localnet.cheat") if name == CHEAT else ("node", "run")
        self.network.start_node(name, self.store.root, self.network.root / "manifest.json", program=program)

    # -- jobs

    def run_jobs(self) -> None:
        """Submits all jobs, a few open at a time, and waits until each is final on chain."""
        self.progress.step("jobs are ordered, run, rooted, checked and settled")
        clients = [AssayClient(self.network.backend_url, signer) for signer in self.requesters.values()]
        workload_id = clients[0].network().price_sheet[0].workload_id
        asked = 0
        while True:
            self.network.processes.check()
            self._look()
            more = self._more(asked)
            for _ in range(more):
                prompt, tokens = PROMPTS[asked % len(PROMPTS)], 20 + asked * 5 % 13
                clients[asked % len(clients)].submit(prompt, workload_id, max_new_tokens=tokens)
                asked += 1
            if not more and len(self.orders) == asked and all(view.state in FINAL_STATES for view in self.orders):
                break
            time.sleep(_POLL_S)
        for client in clients:
            client.close()

    def _more(self, asked: int) -> int:
        """How many orders to submit now: a few stay open, and some are added while the cheat has had too few."""
        waiting = sum(view.state in ("queued", "leased") for view in self.orders)
        rooted = len({view.receipt.epoch_id for view in self.orders if view.receipt})
        part = -(-self.jobs * (1 + rooted) // JOB_EPOCHS)
        if asked < self.jobs:
            return max(0, min(OPEN_ORDERS - waiting, min(part, self.jobs) - asked))
        cheated = sum(view.node == self.cheat_address for view in self.orders)
        if cheated >= CHEAT_JOBS or waiting or asked >= self.jobs + MOST_EXTRA_JOBS:
            return 0
        return len(NODES)

    @cached_property
    def cheat_address(self) -> str:
        """The cheat's hot key."""
        return "0x" + str(json.loads(self.network.party(CHEAT).key("node").read_text())["address"]).lower()

    def _look(self) -> None:
        self.orders = [view for signer in self.requesters.values() for view in self._orders_of(signer.address)]
        counts: dict[str, int] = {}
        for view in self.orders:
            counts[view.state] = counts.get(view.state, 0) + 1
        self.progress.jobs(counts)

    def _orders_of(self, requester: str) -> list[OrderView]:
        answer = httpx.get(f"{self.network.backend_url}/v1/orders", params={"requester": requester}, timeout=30.0)
        answer.raise_for_status()
        return [OrderView.model_validate(item) for item in answer.json()]

    def finish_cases(self, timeout_s: float = 120.0) -> None:
        """Waits until every case that was opened is executed."""
        self.progress.step("the court finishes its cases")
        chain = self.network.chain()
        until = time.monotonic() + timeout_s
        while _open_cases(chain):
            self.network.processes.check()
            if time.monotonic() > until:
                raise ProcessFailed("court", "left cases open", self.network.processes.logs / "worker.log")
            time.sleep(_POLL_S)

    def claim(self) -> None:
        """Every node claims what it earned, with its own command."""
        self.progress.step("operators claim what they earned")
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(self._claim_one, NODES))

    def _claim_one(self, name: str) -> None:
        party = self.network.party(name)
        arguments = ["node", "claim", "--home", str(party.home), *self.network.common()]
        self.network.processes.run(f"{name}-claim", arguments, party=party)


def _owner_key(party: Party) -> Signer:
    return create_key(party.key("owner"), party.password)


def _open_cases(chain: Chain) -> list[bytes]:
    history = read_history(chain, chain.head().number)
    return [case.case_id for case in history.cases.values() if case.executed is None]


@contextmanager
def ending(network: Network) -> Iterator[None]:
    """Ends every program, however the story ends."""
    try:
        yield
    finally:
        network.processes.stop_all()


def audit_folder(root: Path) -> Path:
    """An empty folder for the auditor."""
    folder = root / "auditor"
    folder.mkdir()
    return folder
