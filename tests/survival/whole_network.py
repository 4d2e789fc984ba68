"""A whole network for tests that hurt it: Anvil with a block a second, and every program a process of its own.

Real contracts, databases, journals and HTTP; only the model is a labelled fake (`programs.DiceEngine`). Everything is
reached through a proxy to the chain, so that the chain can go away without dying.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account

from backend.client import AssayClient
from backend.client.errors import ClientError
from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from contracts.protocol.constants import DEVELOPMENT
from deploy.localnet.processes import assay_command, environment, free_port
from tests.survival.checker import Checker, Ends, undecided, unfinished
from tests.survival.nursery import Child, Nursery
from tests.survival.proxy import Proxy
from tests.world.anvil import rpc
from tests.world.founded import Founded, founded
from tests.world.founding import Operator, Plan
from tests.world.manifests import manifest
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.parties import key
from tests.world.waiting import PATIENCE_S, eventually

CONSTANTS = DEVELOPMENT.model_copy(
    update={
        "epoch_max_s": 20, "check_wait_s": 6, "settle_wait_s": 180, "commit_window_s": 8,
        "reveal_window_s": 6, "case_window_s": 300,
    }
)  # fmt: skip
MANIFEST = manifest()
PASSWORD = "a password of the survival tests"
NODES, VERIFIERS, REQUESTERS = ("node-ann", "node-dan"), ("verifier-eva", "verifier-finn"), ("alice", "bob")
DICE_NODE = "node-dan"
WRITERS = ("api", "worker", *NODES, *VERIFIERS)
"""Everybody who keeps something."""
EPOCH_S, LEASE_S, MOST_TOKENS = 3, 6, 16
FIXED_PRICE, UNIT_PRICE = 100, 10
PLAN = Plan(
    CONSTANTS, lanes=tuple((name, 10**6) for name in REQUESTERS), tokens=(("treasury", 10**9),), session_units=10**6,
    bond_units=10**7,
    operators=(
        *(Operator(name, 10**6, "node") for name in NODES),
        *(Operator(name, 2 * CONSTANTS.min_verifier_stake_units, "verifier") for name in VERIFIERS),
    ),
)  # fmt: skip


@contextmanager
def whole_network(root: Path) -> Iterator["WholeNetwork"]:
    """A network with money in its lanes and stake under its parties; no program runs yet."""
    with founded(PLAN) as chain:
        place = WholeNetwork(root, chain)
        place.set_up()
        try:
            yield place
        finally:
            place.nursery.close()
            place.proxy.stop()


class WholeNetwork:
    """See the module's docstring. `children`: the programs by name, as they were started last. `accepted`: the orders
    that the backend acknowledged.
    """

    def __init__(self, root: Path, chain: Founded) -> None:
        self.root, self.home = root, root / "backend"
        self.nursery = Nursery(root / "logs")
        self.direct_url, self.deployment, self.chain = chain.url, chain.deployment, chain.chain()
        self.proxy = Proxy(int(chain.url.rpartition(":")[2]))
        self.ports = {"api": free_port(), "beacon": free_port()}
        self.url = f"http://127.0.0.1:{self.ports['api']}"
        self.children: dict[str, Child] = {}
        self.accepted: set[str] = set()

    # ------------------------------------------------------------ chain

    def rpc(self, method: str, *params: Any) -> Any:
        """One of Anvil's own calls, past the proxy."""
        return rpc(self.chain.w3, method, *params)

    def set_up(self) -> None:
        """Files and keys. Blocks come every second from then on, and only then."""
        self.deployment.save(self.root / "deployment.json")
        self._write_homes()
        self.rpc("evm_setIntervalMining", 1)
        assert self.rpc("anvil_getAutomine") is False, "no transaction is mined at once"

    def _write_homes(self) -> None:
        homes = {"settler": "backend/settler.json", "session": "backend/treasury.json"}
        homes |= {name: f"{name}/node.json" for name in NODES}
        homes |= {name: f"{name}/verifier.key.json" for name in VERIFIERS}
        for name, place in homes.items():
            file = self.root / place
            file.parent.mkdir(exist_ok=True)  # a test may have put the folder onto a disk of its own
            file.write_text(json.dumps(Account.encrypt(key(name).private_key(), PASSWORD, kdf="pbkdf2", iterations=2)))
        (self.root / "manifest.json").write_bytes(MANIFEST.canonical())
        self.offer(self.home)

    def offer(self, home: Path) -> None:
        """Puts the workload on a backend's price sheet."""
        prices = {"fixed_price": FIXED_PRICE, "unit_price": UNIT_PRICE, "max_units": MOST_TOKENS}
        offer_workload(open_database(home), open_tokenizers(home), MANIFEST, BYTE_TOKENIZER, **prices)

    # ------------------------------------------------------------ programs

    def start(self, name: str, **more: str) -> Child:
        """Starts a program by its party's name. `more`: of its environment."""
        program, arguments = self._program(name)
        self.children[name] = self.nursery.start(name, program, arguments, {"ASSAY_PASSWORD": PASSWORD, **more})
        return self.children[name]

    def start_all(self) -> None:
        """Every program that does not run, the backend first, and until it answers."""
        for name in ("beacon", *WRITERS):
            if name not in self.children or not self.children[name].alive:
                self.start(name)
        self.wait_for(self.is_up)

    def stop(self, *names: str) -> None:
        """Ends programs as their operators would; each must end well."""
        for name in names:
            self.children[name].send(15)
        for name in names:
            self.children[name].wait()

    def _program(self, name: str) -> tuple[str, list[str]]:
        deployment = str(self.root / "deployment.json")
        where = ["--rpc", self.proxy.url, "--deployment", deployment]
        home, sheet = str(self.root / name), str(self.root / "manifest.json")
        if name == "beacon":
            return "beacon", [self.proxy.url, deployment, str(self.ports["beacon"])]
        if name == "api":
            port = ["--port", str(self.ports["api"])]
            return "api", ["--home", str(self.home), *where, *port, "--lease", str(LEASE_S), "--grace", "5"]
        if name == "worker":
            pace = ["--epoch-seconds", str(EPOCH_S), "--confirmations", "1"]
            beacon = f"http://127.0.0.1:{self.ports['beacon']}"
            return "worker", ["--home", str(self.home), *where, "--beacon", beacon, *pace]
        if name in NODES:
            dice = "dice" if name == DICE_NODE else "honest"
            return "node", [home, self.proxy.url, deployment, self.url, sheet, dice]
        return "verifier", [home, self.proxy.url, deployment, self.url]

    def is_up(self) -> bool:
        """Whether the API answers."""
        try:
            return httpx.get(f"{self.url}/v1/network", timeout=5.0).is_success
        except httpx.TransportError:
            return False

    def wait_for(self, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Polls until it is so. Fails with the ends of all logs."""
        eventually(done, timeout_s, poll_s=0.1, says=self.log_ends)

    def log_ends(self) -> str:
        """The last lines of every program."""
        return "\n".join(f"--- {c.name}\n" + "\n".join(c.log_text().splitlines()[-8:]) for c in self.children.values())

    # ------------------------------------------------------------ people

    def order(self, requester: str, prompt: str) -> str:
        """One accepted order's id."""
        with AssayClient(self.url, key(requester)) as client:
            order_id = client.submit(prompt, max_new_tokens=MOST_TOKENS).order_id
        self.accepted.add(order_id)
        return order_id

    def at_rest(self) -> bool:
        """Whether all orders, epochs, cases and transactions that the backend knows of have ended."""
        return not undecided(self.home) and not unfinished(self.home)

    def check(self, *, is_recovered: bool = False) -> Ends:
        """Stops whoever writes, and finds the network whole: see `Checker`, then the auditor's own word."""
        self.stop(*(name for name in WRITERS if self.children[name].alive))
        homes = [self.root / name for name in NODES], [self.root / name for name in VERIFIERS]
        ends = Checker(self.chain, self.home, *homes, is_recovered=is_recovered).check(self.accepted)
        report = self.audit(self.home / "log")
        assert report["ok"] is True
        assert report["unexplained_wei"] == 0
        return ends

    def audit(self, log: Path) -> dict[str, Any]:
        """The report of `assay audit`, run as an auditor runs it."""
        command = [assay_command(), "audit", "--rpc", self.direct_url, "--escrow", self.deployment.escrow]
        done = subprocess.run(
            [*command, "--log", str(log), "--json", "-"], capture_output=True, text=True, env=environment(None)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))


class Customers(threading.Thread):
    """Order one thing after another, whatever happens to the backend, until told to stop.

    `failed`: what happened to those that were under way when it died.
    """

    def __init__(self, place: WholeNetwork, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._place, self._pause_s = place, pause_s
        self.failed: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        """See threading.Thread."""
        number = 0
        while not self.enough.wait(self._pause_s):
            if not self._place.is_up():
                continue
            number += 1
            prompt = f"{'throw dice' if number % 3 == 0 else 'say'} {number}"
            try:
                self._place.order(REQUESTERS[number % 2], prompt)
            except ClientError as error:
                self.failed.append(str(error))
