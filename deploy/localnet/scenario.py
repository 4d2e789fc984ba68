"""The demo's story: its parties, their amounts, and all events from the first block to the last claim."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx

from backend.client.jobs import AssayClient
from contracts.onchain.chain import Chain
from contracts.protocol.signing import Signer
from contracts.protocol.wire import OrderView
from contracts.record.history import read_history
from deploy.localnet import workload
from deploy.localnet.founding import TOKEN_UNITS, NetworkSetup, Parties
from deploy.localnet.network import Network
from deploy.localnet.planning import EMBEDDING_EVERY, EPOCHS, DemoPlan
from deploy.localnet.processes import ProcessFailed
from deploy.localnet.prompts import PROMPTS
from deploy.localnet.telling import Progress
from node_agent.models import ModelStore

HONEST_NODES = ("node-ana", "node-bo")
CHEATS = {"node-dex": "lazy", "node-eli": "spoof"}
"""How each cheats, see `deploy.localnet.cheat`. Spoofing a prefill needs work that is more than a prefill."""
CHEATED_KIND = {"lazy": None, "spoof": workload.GENERATION}
"""The kind of work in which it cheats; None: all."""
NODES = (*CHEATS, *HONEST_NODES)
VERIFIERS = ("verifier-eva", "verifier-finn")
REQUESTERS = ("requester-gil", "requester-hana")

CAST = Parties(
    nodes=NODES,
    verifiers=VERIFIERS,
    requesters=REQUESTERS,
    node_stake_units=3 * TOKEN_UNITS,
    verifier_stake_units=5 * TOKEN_UNITS,
    lane_units=3 * TOKEN_UNITS,
    treasury_lane_units=TOKEN_UNITS,
    settler_bond_units=20 * TOKEN_UNITS,
)
CONFIRMATIONS = 1
OPEN_ORDERS = 10
BATCH = 3
"""Texts of an embedding job; every EMBEDDING_EVERY-th job embeds, the others generate."""
FINAL_STATES = frozenset({"paid", "void", "skipped", "expired"})
_POLL_S = 1.0


@dataclass
class Story:
    """The demo as it runs. `node_accounts` and `verifier_accounts`: party name -> account id in StakeManager; `kinds`:
    workload id -> kind of work."""

    network: Network
    progress: Progress
    store: ModelStore
    plan: DemoPlan
    node_accounts: dict[str, int] = field(default_factory=dict)
    verifier_accounts: dict[str, int] = field(default_factory=dict)
    requesters: dict[str, Signer] = field(default_factory=dict)
    orders: list[OrderView] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    # -- set-up

    def set_up(self, chain_kind: str) -> None:
        """Brings the network up: everybody has keys, stake or a funded lane, and every program runs."""
        network, founding = self.network, NetworkSetup(self.network, CAST, self.progress.step)
        self.progress.step(f"starting the chain ({chain_kind})")
        network.start_chain(chain_kind)
        self.progress.step("deploying the contracts")
        network.deploy()
        self.progress.step("making keys and funding all parties")
        founding.make_keys()
        founding.fund()
        self.requesters = founding.requesters
        network.start_beacon()
        self.progress.step("starting the backend")
        terms = workload.terms(self.plan.check_rate)
        offers = [workload.generation(self.store, terms=terms), workload.embedding(self.store, terms=terms)]
        self.kinds = {offered.manifest.workload_id(): offered.manifest.kind for offered in offers}
        network.start_backend(offers)
        network.start_worker(epoch_s=self.plan.epoch_s, confirmations=CONFIRMATIONS)
        self.progress.step("verifiers and nodes register, stake, and start (each loads the model)")
        with ThreadPoolExecutor(3) as pool:
            verifiers = pool.submit(self._join_verifiers, founding)
            list(pool.map(lambda name: self._join_node(founding, name), NODES))
            verifiers.result()
        self.node_accounts = {name: founding.accounts[name] for name in NODES}
        self.verifier_accounts = {name: founding.accounts[name] for name in VERIFIERS}

    def _join_verifiers(self, founding: NetworkSetup) -> None:
        founding.join_verifiers()
        for name in VERIFIERS:
            self.network.start_verifier(name, self.store.root)

    def _join_node(self, founding: NetworkSetup, name: str) -> None:
        founding.join_node(name)
        cheat = ("-m", "deploy.localnet.cheat", "--how", CHEATS.get(name, ""))
        program = cheat if name in CHEATS else ("node", "run")
        self.network.start_node(name, self.store.root, program=program)

    # -- jobs

    def run_jobs(self) -> None:
        """Submits all jobs, a few open at a time, and waits until each is final on chain."""
        self.progress.step("jobs are ordered, run, rooted, checked and settled")
        clients = [AssayClient(self.network.backend_url, signer) for signer in self.requesters.values()]
        asked = 0
        while True:
            self.network.processes.check()
            self._look()
            more = self._more(asked)
            for _ in range(more):
                self._order(clients[asked % len(clients)], asked)
                asked += 1
            if not more and len(self.orders) == asked and all(view.state in FINAL_STATES for view in self.orders):
                break
            time.sleep(_POLL_S)
        for client in clients:
            client.close()

    def _order(self, client: AssayClient, number: int) -> None:
        """Usually an answer to one question; sometimes the vectors of three."""
        first, least = number % len(PROMPTS), self.plan.least_tokens
        tokens = least + number * 5 % (self.plan.most_tokens - least + 1)
        if (number + 1) % EMBEDDING_EVERY:
            client.submit(PROMPTS[first], workload.GENERATION, max_new_tokens=tokens)
        else:
            client.submit([*PROMPTS, *PROMPTS][first : first + BATCH], workload.EMBEDDING)

    def _more(self, asked: int) -> int:
        """How many orders to submit now: a few stay open, and more follow while a cheat has had too few."""
        waiting = sum(view.state in ("queued", "leased") for view in self.orders)
        rooted = len({view.receipt.epoch_id for view in self.orders if view.receipt})
        jobs = self.plan.jobs
        part = -(-jobs * (1 + rooted) // EPOCHS)  # a further part is ordered only once the last part has a root
        if asked < jobs:
            return max(0, min(OPEN_ORDERS - waiting, min(part, jobs) - asked))
        cheated = [view.node for view in self.orders if self.is_cheated(view)]
        fewest = min(cheated.count(cheat) for cheat in self.cheats)
        if fewest >= self.plan.cheat_jobs or waiting or asked >= jobs + self.plan.extra_jobs:
            return 0
        return len(NODES)

    @cached_property
    def cheats(self) -> dict[str, str]:
        """The cheats' names by hot key."""
        keys = {name: json.loads(self.network.party(name).key("node").read_text()) for name in CHEATS}
        return {"0x" + str(key["address"]).lower(): name for name, key in keys.items()}

    def is_cheated(self, view: OrderView) -> bool:
        """Whether a cheat delivered it, in a kind of work in which it cheats."""
        if view.node not in self.cheats:
            return False
        return CHEATED_KIND[CHEATS[self.cheats[view.node]]] in (None, self.kinds[view.order.terms.workload_id])

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
        """Waits until every open case is executed."""
        self.progress.step("the court finishes its cases")
        chain = self.network.chain()
        until = time.monotonic() + timeout_s
        while _open_cases(chain):
            self.network.processes.check()
            if time.monotonic() > until:
                raise ProcessFailed("court", "left cases open", self.network.processes.logs / "worker.log")
            time.sleep(_POLL_S)

    def claim(self) -> None:
        """Every node claims its earnings with its own command."""
        self.progress.step("operators claim what they earned")
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(self._claim_one, NODES))

    def _claim_one(self, name: str) -> None:
        party = self.network.party(name)
        arguments = ["node", "claim", "--home", str(party.home), *self.network.common()]
        self.network.processes.run(f"{name}-claim", arguments, party=party)


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
