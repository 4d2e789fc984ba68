"""Float work end to end on its real model: nodes and verifiers of two numeric classes, and a node that cuts corners.

Part of `make soak`; tests/integration/verifier/test_native.py is its short form, with an engine that stands for both.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from pydantic import TypeAdapter

from backend.client.jobs import AssayClient
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.manifest import MAX_NEW_TOKENS, InputLimits
from contracts.protocol.native import State
from contracts.protocol.native.calibrated import is_measured
from contracts.protocol.wire import NativeStanding, NodeView
from deploy.localnet.founding import TOKEN_UNITS, NetworkSetup, Parties
from deploy.localnet.network import Network, Offered
from deploy.localnet.processes import Processes
from node_agent.execution import kinds
from node_agent.execution.kinds import DETERRENCE, native_generation
from node_agent.execution.native.calibration import class_digest
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.settings import NativeSettings
from node_agent.models import ModelStore

pytestmark = [pytest.mark.chain, pytest.mark.model]

_NODES = TypeAdapter(list[NodeView])
MODEL, TOKENS, EPOCH_S = "smollm2-135m", 32, 8
HONEST, CHEAT = "node-ana", "node-cal"
VERIFIERS = ("verifier-eva", "verifier-finn")
OTHER_CLASS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""What makes a verifier's sums end in other bits than a node's on the same machine."""

PROMPTS = (
    "Why is the sky blue?",
    "Name three rivers of Europe and say where each of them ends.",
    "How does a lock keep a boat from falling?",
)
CAST = Parties(
    nodes=(HONEST, CHEAT), verifiers=VERIFIERS, requesters=("requester-gil",), node_stake_units=3 * TOKEN_UNITS,
    verifier_stake_units=5 * TOKEN_UNITS, lane_units=3 * TOKEN_UNITS, treasury_lane_units=TOKEN_UNITS,
    settler_bond_units=20 * TOKEN_UNITS,
)  # fmt: skip


class World:
    """A founded network that offers one native workload, every row of which is checked."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.network = ModelStore(), Network(root, Processes(root / "logs"), DEVELOPMENT)
        self._environment = monkeypatch
        self.founding = NetworkSetup(self.network, CAST, print)

    def start(self) -> None:
        """Everything but the nodes."""
        network, founding = self.network, self.founding
        network.start_chain("anvil")
        network.deploy()
        founding.make_keys()
        founding.fund()
        network.start_beacon()
        network.start_backend([offered(self.store)])
        network.start_worker(epoch_s=EPOCH_S, confirmations=1)
        founding.join_verifiers()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(founding.join_node, CAST.nodes))
        with self._environment.context() as process:
            for name, value in OTHER_CLASS.items():
                process.setenv(name, value)
            for name in VERIFIERS:
                network.start_verifier(name, self.store.root)

    def serve(self, name: str, *program: str) -> None:
        """Starts a node."""
        self.network.start_node(name, self.store.root, program=program or ("node", "run"))

    def answered(self, prompts: tuple[str, ...]) -> list[str]:
        """Orders answers to these, waits until each is there, and returns their orders."""
        with AssayClient(self.network.backend_url, self.founding.requesters["requester-gil"]) as client:
            placed = [
                client.submit(prompt, "native_generation", TOKENS, {"temperature_milli": 700}).order_id
                for prompt in prompts
            ]
            for order_id in placed:
                client.wait(order_id, timeout_s=200.0)
        return placed

    def until_judged(self, name: str, jobs: int) -> NativeStanding:
        """Waits until so many checks of an operator are complete, as the backend's API has it. Further orders bring
        further epochs, in whose logs traces are published."""
        end, account = time.monotonic() + 300, self.founding.accounts[name]
        while True:
            self.network.processes.check()
            views = _NODES.validate_json(httpx.get(f"{self.network.backend_url}/v1/nodes").content)
            found = next(view.native for view in views if view.operator_id == account)
            if found.checks >= jobs:
                return found
            assert time.monotonic() < end, f"{found}; see {self.network.processes.logs}"
            self.answered(PROMPTS[:1])
            time.sleep(EPOCH_S)

    def run_again(self, order_ids: list[str]) -> list[dict[str, Any]]:
        """Each job's `seen` by an auditor whose machine is of the verifiers' class."""
        arguments = ["verify", *(f"--job={order_id}" for order_id in order_ids), *self._where(), "--device", "cpu"]
        with self._environment.context() as process:
            for name, value in OTHER_CLASS.items():
                process.setenv(name, value)
            said = self.network.processes.run("again", [*arguments, "--json"], ends_with=(0, 1))
        return [found["seen"] for found in json.loads(said)]

    def audit(self) -> dict[str, Any]:
        """As anybody does it."""
        report = self.network.root / "audit.json"
        self.network.processes.run("audit", ["audit", *self._where(), "--json", str(report)])
        return dict(json.loads(report.read_text()))

    def _where(self) -> list[str]:
        network = self.network
        escrow = network.deployment.escrow
        return ["--rpc", network.rpc_url, "--escrow", escrow, "--log", f"{network.backend_url}/v1/log"]


def offered(store: ModelStore) -> Offered:
    """SmolLM2 as it is. Every row is sampled: costs so far apart that the least rate is one."""
    certain = DETERRENCE | {"cheat_cost_ppm": 0, "honest_cost_ppm": 1_000_000, "collusion_ppm": 600_000}
    manifest = kinds.write_manifest(
        "native_generation", MODEL, "cpu", check_price_units=3_000_000, deterrence=certain,
        params=native_generation.TEMPLATE["params"] | {MAX_NEW_TOKENS: {"minimum": 1, "maximum": TOKENS}},
        input=InputLimits(max_texts=4, max_bytes=2048, max_tokens=512),
    )  # fmt: skip
    return Offered(manifest, store.load(MODEL).tokenizer, 2_000_000, 1_000_000, TOKENS)


@pytest.fixture
def measured() -> None:
    """Skips where nobody has measured what this CPU's floats are like: there a check says nothing."""
    files = ModelStore().pull(MODEL)
    native = NativeLlama.load(files.weights, files.config, NativeSettings("float32"), torch.device("cpu"))
    if not is_measured(files.weights_sha256, found := class_digest(native)):
        pytest.skip(f"this CPU's class {found} has no thresholds; `make bench-native` measures it")


@pytest.fixture
def world(measured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    try:
        made.start()
        yield made
    finally:
        made.network.processes.stop_all()


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # connections that end with us
def test_native_work_is_judged_by_what_others_see(world: World) -> None:
    """Every program is the real one. An honest node's floats are near to what verifiers of another class see, another
    model's are far; the one stays clear, the other is watched; nobody is slashed, and everything is paid and audited.

    Covers: A03, A08, A09
    """
    world.serve(HONEST)
    honest = world.answered(PROMPTS)
    world.network.processes.stop(HONEST, wait_s=30)
    world.serve(CHEAT, "-m", "tests.e2e.native_cheat", "--how", "rounded")
    cheated = world.answered(PROMPTS)
    world.serve(HONEST)  # it shows its traces
    stands = [world.until_judged(name, len(PROMPTS)) for name in CAST.nodes]
    seen = world.run_again([*honest, *cheated])
    near, far = seen[: len(honest)], seen[len(honest) :]
    assert max(each["distance"] for each in near) < 10 < 30 < min(each["distance"] for each in far), (
        "by any two classes"
    )
    assert all(each["calibrated"] for each in seen), "both nodes have shown one class, and both are measured"
    findings = [{each["judgement"]["finding"] for each in half} for half in (near, far)]
    assert findings == [{"accept"}, {"suspect"}]
    assert (stands[0].state, stands[1].state in (State.WATCH, State.WITHHELD)) == (State.CLEAR, True)
    report = world.audit()
    assert report["faults"] == []
    assert (report["cases"], report["void_rows"], report["unexplained_wei"]) == (0, 0, 0)
