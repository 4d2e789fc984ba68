"""A whole network for tests that hurt it: Anvil with a block a second, and every program a process of its own.

Real contracts, databases, journals and HTTP; only the model is a labelled fake (`programs.DiceEngine`). Everything is
reached through a proxy to the chain, so that the chain can go away without dying.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_utils.address import to_checksum_address

from backend.client import AssayClient
from backend.client.errors import ClientError
from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from contracts.onchain.chain import Chain, connect
from contracts.onchain.deployment import deploy
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.signing import Signer
from deploy.localnet.anvil import answers, find_anvil
from deploy.localnet.processes import assay_command, environment, free_port
from node_agent.testing import BYTE_TOKENIZER, fake_manifest
from tests.survival.checker import Checker, Ends, undecided, unfinished
from tests.survival.nursery import Child, Nursery
from tests.survival.programs import BEACON
from tests.survival.proxy import Proxy

CONSTANTS = DEVELOPMENT.model_copy(
    update={
        "epoch_max_s": 20, "check_wait_s": 6, "settle_wait_s": 180, "commit_window_s": 8,
        "reveal_window_s": 6, "case_window_s": 300,
    }
)  # fmt: skip
MANIFEST = fake_manifest()
PASSWORD = "a password of the survival tests"
NODES, VERIFIERS, REQUESTERS = ("node-ann", "node-dan"), ("verifier-eva", "verifier-finn"), ("alice", "bob")
DICE_NODE = "node-dan"
WRITERS = ("api", "worker", *NODES, *VERIFIERS)
"""Everybody who keeps something."""
EPOCH_S, LEASE_S, MOST_TOKENS = 3, 6, 16
FIXED_PRICE, UNIT_PRICE = 100, 10
LANE_UNITS, STAKE_UNITS, BOND_UNITS = 10**6, 10**6, 10**7


def key(name: str) -> Signer:
    """A party's key, the same in every run."""
    return Signer(keccak(b"survival " + name.encode()))


@contextmanager
def anvil() -> Iterator[int]:
    """Anvil that mines at once, until it is told otherwise. Yields its port."""
    port = free_port()
    command = [find_anvil(), "--port", str(port), "--hardfork", "prague", "--chain-id", "31337", "--silent"]
    with subprocess.Popen(command) as process:
        until = time.monotonic() + 20
        while not answers(f"http://127.0.0.1:{port}"):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        try:
            yield port
        finally:
            process.terminate()


@contextmanager
def town(root: Path) -> Iterator["Town"]:
    """A network with money in its lanes and stake under its parties; no program runs yet."""
    with anvil() as port:
        place = Town(root, port)
        place.set_up()
        try:
            yield place
        finally:
            place.nursery.close()
            place.proxy.stop()


class Town:
    """See the module's docstring. `children`: the programs by name, as they were started last. `accepted`: the orders
    that the backend acknowledged.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.home = root, root / "backend"
        self.nursery = Nursery(root / "logs")
        self.proxy = Proxy(port)
        self.direct_url = f"http://127.0.0.1:{port}"
        self.w3 = connect(self.direct_url)
        self.ports = {"api": free_port(), "beacon": free_port()}
        self.url = f"http://127.0.0.1:{self.ports['api']}"
        self.children: dict[str, Child] = {}
        self.accepted: set[str] = set()

    # ------------------------------------------------------------ chain

    def rpc(self, method: str, *params: Any) -> Any:
        """One of Anvil's own calls, past the proxy."""
        answer: Any = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]  # not in its list
        assert "error" not in answer, answer
        return answer["result"]

    def set_up(self) -> None:
        """Contracts, lanes, stakes, keys. Blocks come every second from then on, and only then."""
        names = ("founder", "settler", "treasury", *REQUESTERS, *NODES, *VERIFIERS)
        owners = [f"owner of {name}" for name in (*NODES, *VERIFIERS)]
        for name in (*names, *owners):
            self.rpc("anvil_setBalance", to_checksum_address(key(name).address), hex(10**21))
        founder = Sender(self.w3, key("founder"))
        self.deployment = deploy(
            founder, CONSTANTS, settler=key("settler").address, treasury=key("treasury").address,
            beacon_anchor=to_hex(BEACON.anchor),
        )  # fmt: skip
        self.deployment.save(self.root / "deployment.json")
        self.chain = Chain(self.w3, self.deployment)
        self._fund_lanes(founder)
        self.accounts = {name: self._register(founder, name) for name in (*NODES, *VERIFIERS)}
        self._add_node_keys()
        self._admit(founder)
        self._write_homes()
        self.rpc("evm_setIntervalMining", 1)
        assert self.rpc("anvil_getAutomine") is False, "no transaction is mined at once"

    def _fund_lanes(self, founder: Sender) -> None:
        escrow, token = self.chain.escrow, self.chain.token
        treasury = Sender(self.w3, key("treasury"))
        founder.call(token.functions.transfer(treasury.address, 10**9 * CONSTANTS.unit_wei))
        for sender in (founder, treasury):
            for contract in (escrow, self.chain.stakes):
                sender.call(token.functions.approve(contract.address, 10**30))
        for name in REQUESTERS:
            lane = to_checksum_address(key(name).address)
            founder.call(escrow.functions.deposit(lane, lane, LANE_UNITS))
        session = to_checksum_address(key("session").address)
        treasury.call(escrow.functions.openLane(session, 2**32 - 1, LANE_UNITS))
        founder.call(escrow.functions.bondSettler(BOND_UNITS))

    def _register(self, founder: Sender, name: str) -> int:
        owner = Sender(self.w3, key(f"owner of {name}"))
        owner.call(self.chain.stakes.functions.register(owner.address))
        account = int(self.chain.stakes.functions.operatorIdOf(owner.address).call())
        stake = 2 * CONSTANTS.min_verifier_stake_units if name in VERIFIERS else STAKE_UNITS
        founder.call(self.chain.stakes.functions.stake(account, stake))
        return account

    def _add_node_keys(self) -> None:
        for name in NODES:
            owner, node = key(f"owner of {name}"), key(name)
            signature = node.sign(self.deployment.stake_domain.node_key_digest(owner.address, node.address))
            adding = self.chain.stakes.functions.addNodeKey(to_checksum_address(node.address), from_hex(signature))
            Sender(self.w3, owner).call(adding)

    def _admit(self, founder: Sender) -> None:
        governor, stakes = self.chain.governor.functions, self.chain.stakes
        calls = [
            stakes.encode_abi("admitVerifier", [self.accounts[name], to_checksum_address(key(name).address)])
            for name in VERIFIERS
        ]
        for data in calls:
            founder.call(governor.schedule(stakes.address, 0, data, bytes(32), bytes(32), CONSTANTS.timelock_s))
        time.sleep(CONSTANTS.timelock_s + 1)
        self.rpc("evm_mine")
        for data in calls:
            founder.call(governor.execute(stakes.address, 0, data, bytes(32), bytes(32)))

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
        home, manifest = str(self.root / name), str(self.root / "manifest.json")
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
            return "node", [home, self.proxy.url, deployment, self.url, manifest, dice]
        return "verifier", [home, self.proxy.url, deployment, self.url]

    def is_up(self) -> bool:
        """Whether the API answers."""
        try:
            return httpx.get(f"{self.url}/v1/network", timeout=5.0).is_success
        except httpx.TransportError:
            return False

    def wait_for(self, done: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Polls until it is so. Fails with the ends of all logs."""
        until = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < until, f"not reached within {timeout_s} s\n{self.log_ends()}"
            time.sleep(0.1)

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

    def __init__(self, place: Town, pause_s: float) -> None:
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
