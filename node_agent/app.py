"""The node agent's composition root: connects key, chain, backend, journal and engines, and runs them.

The engines are passed in. Only the default ones import torch, so commands that compute nothing start fast.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.onchain.sender import Sender
from contracts.protocol.manifest import Manifest
from contracts.protocol.signing import Signer
from contracts.protocol.wire import NetworkInfo
from node_agent.errors import BadSetting, ForeignBackend, NoAnswer, NothingToServe
from node_agent.execution.engine import Engine
from node_agent.execution.errors import ModelUnavailable, UnknownKind, UnsupportedModel, WorkloadMismatch
from node_agent.home import JOURNAL, NODE_KEY, PULSE, running, session_id
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts, OnchainFacts, require_registered
from node_agent.session.commit import Committer
from node_agent.session.court import CourtWatch
from node_agent.session.journal import NodeJournal
from node_agent.session.lease import LeaseClient, PriceFloor
from node_agent.session.loop import NodeSession
from node_agent.session.pacing import Pacer
from node_agent.session.pulse import Pulse
from node_agent.session.rooted import RootWatch
from node_agent.session.showing import TraceClient

log = logging.getLogger(__name__)

_JOIN_S = 5.0

EngineFactory = Callable[[Manifest], Engine]


@dataclass(frozen=True)
class NodeSettings:
    """A node's settings.

    `workloads`: each a workload id, whose manifest the backend has, or the path of a manifest; empty: all offered ones
    that work here. `models`: the model store. `device`: "cpu", "cuda" or "cuda:N"; default: the first GPU, else the
    CPU. `floor`: the lowest price that the node works for. `max_unrooted`: how many delivered jobs may be overdue for a
    root before the node takes no more. `poll_s`: pause between requests for a job. `slots`: most jobs held at once.
    """

    home: Path
    rpc_url: str
    deployment: Deployment
    backend_url: str
    workloads: tuple[str, ...]
    password: str = field(repr=False)
    models: Path | None = None
    device: str | None = None
    floor: PriceFloor = field(default_factory=PriceFloor)
    max_unrooted: int = 3
    poll_s: float = 2.0
    slots: int = 1


def default_engines(settings: NodeSettings) -> EngineFactory:
    """The engines of this host, in a confined process without keys and without network.

    The factory raises what the store and `Executor.load` do: SelfTestFailed where this host must not sign anything.
    """
    from node_agent.execution.sandbox import Executor
    from node_agent.models import ModelStore

    store = ModelStore(settings.models)
    executor = Executor(store.root)

    def load(manifest: Manifest) -> Engine:
        engine = executor.load(store.load(manifest.weights_sha256), manifest, settings.device)
        log.info("engine %s %s passed its self-test and serves %s", engine.name, engine.version, manifest.model)
        return engine

    return load


def run_node(
    settings: NodeSettings, engine_factory: EngineFactory | None = None, stop: threading.Event | None = None
) -> None:
    """Serves until told to stop: by `stop`, or else by SIGTERM or SIGINT, whose second abandons the jobs under way.

    Raises SetupError, KeystoreError, ChainError or ExecutionError if the node cannot start; JournalError.
    """

    def serve(told: threading.Event) -> None:
        with ready_session(settings, engine_factory, told) as session:
            if session is not None:
                session.run(told)
        log.info("stopped")

    if stop is None:
        run_until_told(serve)
    else:
        serve(stop)


def run_until_told(serve: Callable[[threading.Event], None]) -> None:
    """Runs `serve` with an event that SIGTERM and SIGINT set; a second signal ends it at once, wherever it is.

    That is harmless: nothing is signed before it is in the journal.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log.info("%s: finishing the jobs under way; a second signal abandons them", signal.Signals(number).name)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)
    try:
        serve(stop)
    except KeyboardInterrupt:
        log.warning("stopped at once; what was not journaled was not signed")


@contextmanager
def ready_session(
    settings: NodeSettings, engine_factory: EngineFactory | None, stop: threading.Event
) -> Iterator[NodeSession | None]:
    """A session that can serve, with its home locked and the court watched. None if `stop` came before the backend."""
    signer = load_key(settings.home / NODE_KEY, settings.password)
    with running(settings.home), closing(BackendApi(settings.backend_url, pause=stop.wait)) as api:
        facts = OnchainFacts(Chain.open(settings.rpc_url, settings.deployment))
        operator_id = require_registered(facts.operator_of(signer.address), signer.address)
        if not meet(api, settings.deployment, settings.poll_s, stop):
            yield None
            return
        workloads, engines = load_workloads(settings, api, engine_factory or default_engines(settings))
        session = build_session(settings, signer, facts, api, operator_id, workloads, engines)
        log.info("node %s of operator %d serves %s", signer.address, operator_id, ", ".join(workloads))
        with _court_watched(settings, signer, operator_id):
            yield session


def load_workloads(
    settings: NodeSettings, api: BackendApi, build: EngineFactory
) -> tuple[dict[str, Manifest], dict[str, Engine]]:
    """Manifests and engines by workload id: of the named workloads, or of all offered ones that work here.

    Raises NothingToServe if no offered one works here; BadSetting, CallFailed or ExecutionError for a named one.
    """
    names = settings.workloads or tuple(entry.workload_id for entry in api.network().price_sheet)
    manifests: dict[str, Manifest] = {}
    engines: dict[str, Engine] = {}
    why = "It offers none"
    for manifest in (resolve_workload(name, api) for name in names):
        try:
            engines[manifest.workload_id()] = build(manifest)
        except (WorkloadMismatch, ModelUnavailable, UnknownKind, UnsupportedModel) as error:
            if settings.workloads:
                raise
            why = f"{manifest.model}: {error}"
            log.warning("%s (%s) is not served here: %s", manifest.model, manifest.workload_id(), error)
        else:
            manifests[manifest.workload_id()] = manifest
    if not engines:
        says = f"This host can serve none of the {len(names)} workloads of {api.base_url}. {why}."
        way_out = "Run `assay node doctor`, which names what is missing."
        raise NothingToServe(says, way_out=way_out, offered=names)
    return manifests, engines


@contextmanager
def _court_watched(settings: NodeSettings, signer: Signer, operator_id: int) -> Iterator[None]:
    """Watches the court for cases against the operator, from a thread with its own connections."""
    over, chain = threading.Event(), Chain.open(settings.rpc_url, settings.deployment)

    def watch() -> None:
        journal = NodeJournal(settings.home / JOURNAL, node=signer.address, domain=settings.deployment.domain)
        CourtWatch(chain, journal, Sender(chain.w3, signer), operator_id).run(over)
        journal.close()

    thread = threading.Thread(target=watch, name="court", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_JOIN_S)


def build_session(
    settings: NodeSettings,
    signer: Signer,
    facts: LiveFacts,
    api: BackendApi,
    operator_id: int,
    workloads: Mapping[str, Manifest],
    engines: Mapping[str, Engine],
) -> NodeSession:
    """A session over the given parts. Raises JournalError."""
    deployment = settings.deployment
    journal = NodeJournal(settings.home / JOURNAL, node=signer.address, domain=deployment.domain)
    pacer = Pacer({name: engine.speed for name, engine in engines.items()}, settings.slots, unix_time)
    speeds = [f"{manifest.model}: {pacer.in_words(name)}" for name, manifest in workloads.items()]
    for each in speeds:
        log.info("%s", each)
    return NodeSession(
        leases=LeaseClient(
            api=api, facts=facts, signer=signer, deployment=deployment,
            workloads=workloads, floor=settings.floor, pacer=pacer, clock=unix_time, session=session_id(settings.home),
        ),
        committer=Committer(api=api, journal=journal, signer=signer, domain=deployment.domain, clock=unix_time),
        watch=RootWatch(
            api=api, facts=facts, journal=journal, deployment=deployment,
            operator_id=operator_id, max_unrooted=settings.max_unrooted, clock=unix_time,
        ),
        traces=TraceClient(api=api, facts=facts, journal=journal, deployment=deployment, clock=unix_time),
        journal=journal,
        engines=engines,
        pacer=pacer,
        clock=unix_time,
        poll_s=settings.poll_s,
        slots=settings.slots,
        beat=Pulse(settings.home / PULSE, speeds),
    )  # fmt: skip


def meet(api: BackendApi, deployment: Deployment, poll_s: float, stop: threading.Event) -> bool:
    """Waits for the backend. False if told to stop meanwhile. Raises ForeignBackend for other contracts; BadAnswer."""
    while not stop.is_set():
        try:
            network = api.network()
        except NoAnswer as error:
            log.warning("%s", error)
            stop.wait(poll_s)
            continue
        require_same_deployment(network, deployment, api.base_url)
        return True
    return False


def require_same_deployment(network: NetworkInfo, deployment: Deployment, base_url: str) -> None:
    """Raises ForeignBackend unless the backend names the contracts and constants of the deployment.

    The settler is left out: it may have been rotated, and each lease is checked against the escrow's present one.
    """
    names = ("chain_id", "escrow", "stake_manager", "court", "contests", "token", "constants")
    told = {name: str(getattr(network, name)) for name in names if getattr(network, name) != getattr(deployment, name)}
    if told:
        says = f"The backend at {base_url} names {told}, which this node's deployment contradicts."
        way_out = "Use the backend of that deployment, or the deployment of that backend."
        raise ForeignBackend(says, way_out=way_out, differing=sorted(told))


def resolve_workload(name: str, api: BackendApi) -> Manifest:
    """The manifest of a workload id or of a file. Raises BadSetting or BackendError."""
    if name.startswith("0x"):
        return api.manifest(name)
    try:
        return Manifest.model_validate_json(Path(name).read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        says = f"{name} is no workload id and no manifest: {error}."
        way_out = "Give the 0x id of a workload that the backend offers, or the path of its manifest."
        raise BadSetting(says, way_out=way_out, name=name) from error


def unix_time() -> int:
    return int(time.time())
