"""One node with several slots, end to end but for the chain: a real coordinator over HTTP, a real model in a batch."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from backend.api.http import create_http
from backend.chain.views import OperatorAccount
from backend.services.offering import offer_workload
from backend.store.home import open_tokenizers
from contracts.protocol.hashing import to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.manifest import Manifest
from contracts.protocol.records import Commitment, Order, Params
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import trace_commit
from node_agent.execution import kinds
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.exact.build import build
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.model_root import file_root
from node_agent.execution.model_files import ModelFiles, sha256_file
from node_agent.execution.sandbox import Executor, client
from node_agent.session.backend_api import BackendApi
from node_agent.session.commit import Committer
from node_agent.session.journal import NodeJournal
from node_agent.session.lease import LeaseClient, PriceFloor
from node_agent.session.loop import NodeSession
from node_agent.session.pacing import Pacer
from node_agent.session.rooted import RootWatch
from node_agent.session.showing import TraceClient
from tests.integration.backend.api.coordinator import listening
from tests.unit.backend.world import DEPLOYMENT, DOMAIN, FIXED, NODE, REQUESTER, SETTLER, UNIT, World, signed, terms
from tests.unit.node_agent.execution.conftest import make_deadly, make_manifest, tiny_files  # noqa: F401  fixtures
from tests.world.node_fakes import FakeFacts
from tests.world.prompts import prompts_of, read, root_of
from tests.world.waiting import PATIENCE_S, eventually

SLOTS, MAX_UNITS = 4, 200


class Together(Engine):
    """An engine whose first calls wait for each other, as many as there are slots: tiny jobs would be done too soon."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.version, self.check, self.concurrent = (
            engine.name, engine.version, engine.check, engine.concurrent
        )  # fmt: skip
        self._engine, self._calls, self._all_there = engine, count(), threading.Barrier(SLOTS)

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Fails unless the slots are filled."""
        if next(self._calls) < SLOTS:
            self._all_there.wait(PATIENCE_S)
        return self._engine.execute(input_bytes, params)


class Scene:
    """A coordinator, and a node of it whose engine runs confined."""

    def __init__(self, world: World, url: str, manifest: Manifest, files: ModelFiles) -> None:
        self.world, self.url, self.manifest = world, url, manifest
        self.executor = Executor(Path(os.path.commonpath([files.weights, files.tokenizer])))
        self.engine = Together(self.executor.load(files, manifest, "cpu"))
        self.tokenizer = read(files.tokenizer.read_bytes())
        self.orders: dict[str, tuple[bytes, dict[str, int]]] = {}

    def order(self, texts: list[str], tokens: int) -> str:
        """Submits an order for so many tokens a text."""
        prompts, params = prompts_of(self.manifest, texts, self.tokenizer), Params(max_new_tokens=tokens)
        wanted = terms(
            workload_id=self.manifest.workload_id(),
            prompt_root=root_of(prompts),
            texts_hash=self.world.blobs.put(encode_texts(texts)),
            params=params,
            max_price=FIXED + len(texts) * tokens * UNIT,
            salt=len(self.orders),
        )
        order = Order(requester=REQUESTER.address, spend_cap=10**8, terms=wanted)
        order_id, _ = self.world.services.intake.accept(signed(order))
        self.orders[order_id] = prompts, params.of(self.manifest.params)
        return order_id

    def session(self, home: Path, api: BackendApi) -> NodeSession:
        """The node, as after a start."""
        journal, facts = (
            NodeJournal(home / "journal.sqlite", node=NODE.address, domain=DOMAIN),
            FakeFacts(SETTLER.address),
        )
        manifests, now = {self.manifest.workload_id(): self.manifest}, lambda: self.world.now_s
        pacer = Pacer({}, SLOTS, now)
        leases = LeaseClient(
            api=api, facts=facts, signer=NODE, deployment=DEPLOYMENT, workloads=manifests, floor=PriceFloor(),
            pacer=pacer, clock=now,
        )  # fmt: skip
        watch = RootWatch(
            api=api, facts=facts, journal=journal, deployment=DEPLOYMENT, operator_id=1, max_unrooted=99, clock=now
        )
        return NodeSession(
            leases=leases, committer=Committer(api=api, journal=journal, signer=NODE, domain=DOMAIN, clock=now),
            watch=watch, journal=journal,
            traces=TraceClient(api=api, facts=facts, journal=journal, deployment=DEPLOYMENT, clock=now),
            engines=dict.fromkeys(manifests, self.engine), pacer=pacer,
            clock=now, poll_s=0.05, slots=SLOTS,
        )  # fmt: skip

    @contextmanager
    def node(self, home: Path) -> Iterator[None]:
        """The node at work, in a thread of its own."""
        stop = threading.Event()

        def serve() -> None:
            with closing(BackendApi(self.url)) as api:
                self.session(home, api).run(stop)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def commitment(self, alone: Engine, order_id: str) -> Commitment:
        """What an honest node commits to that runs the order by itself."""
        run = alone.execute(*self.orders[order_id])
        return Commitment(
            order_id=order_id,
            node=NODE.address,
            output_root=root_of(run.output),
            trace_commit=to_hex(trace_commit(run.trace_hash, bytes.fromhex(order_id[2:]), NODE.address)),
            units=run.units,
        )

    def delivered(self) -> dict[str, Commitment]:
        """What the coordinator accepted, by order."""
        views = {order_id: self.world.services.views.order(order_id) for order_id in self.orders}
        return {order_id: view.commitment for order_id, view in views.items() if view.commitment is not None}


@pytest.fixture
def files(tiny_files: ModelFiles, tmp_path: Path) -> ModelFiles:  # noqa: F811
    """The tiny Llama as an exact model file."""
    path = tmp_path / "model.safetensors"
    build(tiny_files, path)
    return ModelFiles(
        path, tiny_files.tokenizer, tmp_path / "config.json", sha256_file(path), tiny_files.tokenizer_sha256
    )


@pytest.fixture
def manifest(files: ModelFiles, make_manifest: Callable[..., Manifest]) -> Manifest:  # noqa: F811
    """A workload of it."""
    exact = {
        "kind": "generation",
        "engine": "exact",
        "model_root": file_root(files.weights),
        "engine_version": ExactGeneration.version,
        "check": "prefill",
        "numeric_class": None,
    }
    return make_manifest(files, **exact)


@pytest.fixture
def scene(tmp_path: Path, files: ModelFiles, manifest: Manifest) -> Iterator[Scene]:
    """The place of these tests."""
    world = World(tmp_path)
    world.chain.lanes[REQUESTER.address, REQUESTER.address] = Lane(balance=10**6)
    world.chain.operators[1] = OperatorAccount(stake=10**9)
    prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": MAX_UNITS}
    offer_workload(world.database, open_tokenizers(tmp_path), manifest, files.tokenizer.read_bytes(), **prices)
    with listening(create_http(world.services)) as url:
        made = Scene(world, url, manifest, files)
        yield made
    made.executor.close()
    world.database.close()


def test_answered_together_as_if_alone(scene: Scene, files: ModelFiles, tmp_path: Path) -> None:
    """Protects honest nodes that fill their GPU: orders of different texts and lengths, taken and delivered in any
    order by one node, carry the commitments that each has alone, byte for byte. Covers: A09"""
    for index in range(10):
        scene.order([f"Question {index}"] * (1 + index % 3), 1 + 5 * (index % 4))
    with scene.node(tmp_path / "node"):
        eventually(lambda: len(scene.delivered()) == 10)
    alone = kinds.load(files, scene.manifest, "cpu")
    for order_id, commitment in scene.delivered().items():
        assert commitment == scene.commitment(alone, order_id)


def test_a_job_that_kills_the_process_costs_no_other(
    scene: Scene,
    files: ModelFiles,
    tmp_path: Path,
    make_deadly: Callable[[bytes], list[client.Process]],  # noqa: F811
) -> None:
    """Protects what an operator earns: of four jobs that a node holds, one crashes the process whenever it runs. The
    other three are delivered as if it were not there, it is abandoned, and the node serves on. Covers: A50, A58"""
    poisonous = scene.order(["poison"], 5)
    started = make_deadly(scene.orders[poisonous][0])
    honest = [scene.order([f"Question {index}"], 20 + index) for index in range(SLOTS - 1)]
    os.kill(scene.executor._process.pid, signal.SIGKILL)  # type: ignore[union-attr]  the next is a deadly one
    with scene.node(tmp_path / "node"):
        eventually(lambda: len(scene.delivered()) == SLOTS - 1)
        honest.append(scene.order(["Afterwards"], 3))
        eventually(lambda: len(scene.delivered()) == SLOTS)
    alone = kinds.load(files, scene.manifest, "cpu")
    assert scene.delivered() == {order_id: scene.commitment(alone, order_id) for order_id in honest}
    assert [process._popen.poll() for process in started if process.is_over] == [-11, -11]


def test_restarted_it_gets_back_what_it_holds(scene: Scene, tmp_path: Path) -> None:
    """Protects requesters from a node that crashed with several jobs: it has their leases back at once, though they run
    on, and delivers each once. Covers: A45, A56"""
    orders = [scene.order([f"Question {index}"], 3) for index in range(6)]
    with closing(BackendApi(scene.url)) as api:
        crashed = scene.session(tmp_path / "node", api)
        crashed._take()
        for work in crashed._under_way.values():
            work.heartbeat.end()  # as a crash does
    assert _leased(scene) == SLOTS
    with scene.node(tmp_path / "node"):
        eventually(lambda: len(scene.delivered()) == 6)
    assert set(scene.delivered()) == set(orders)


def _leased(scene: Scene) -> int:
    return sum(scene.world.services.views.order(order_id).state == "leased" for order_id in scene.orders)
