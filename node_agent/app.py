"""The node agent's composition root: puts key, chain, backend, journal and engines together, and runs them.

Which engines compute is passed in; torch is only imported by the default ones, so that commands that compute nothing
start at once.
"""

import json
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
from node_agent.errors import BadSetting, ForeignBackend, NoAnswer, NothingToServe, NotRegistered
from node_agent.execution.engine import Engine
from node_agent.execution.errors import ModelUnavailable, UnknownKind, UnsupportedModel, WorkloadMismatch
from node_agent.home import JOURNAL, NODE_KEY, PULSE, running, session_id
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts, OnchainFacts
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
    """What a node is told.

    Attributes:
        home: folder of the node's key file and journal.
        password: of the key file.
        workloads: each a workload id, whose manifest the backend is asked for, or the path of a manifest. None: all
            that the backend offers and this host can serve.
        models: the model store; its default place if not given.
        device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.
        floor: the least the node works for.
        max_unrooted: overdue delivered jobs that it bears before it takes no more.
        poll_s: pause between questions for a job.
        slots: jobs held at once, at most; engines that batch answer them together.
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
    """The real engines of this host, in a confined process that knows no key and reaches no network.

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
    """Serves until told to stop.

    Args:
        engine_factory: builds the engine of a workload; `default_engines(settings)` if not given.
        stop: ends the loop after the jobs under way. If not given, SIGTERM and SIGINT do, and a second one abandons
            the jobs; nothing half-done is ever signed.

    Raises:
        SetupError, KeystoreError, ChainError, ExecutionError: the node cannot start.
        JournalError: it cannot write down what it would sign.
    """
    if stop is None:
        run_until_told(lambda told: _serve(settings, engine_factory, told))
    else:
        _serve(settings, engine_factory, stop)


def run_until_told(serve: Callable[[threading.Event], None]) -> None:
    """Runs `serve` with an event that SIGTERM and SIGINT set; a second signal ends it at once, wherever it is.

    The journal makes that harmless: what is not written down was not signed.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log.info("%s: finishing the jobs under way; once more abandons them", signal.Signals(number).name)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)
    try:
        serve(stop)
    except KeyboardInterrupt:
        log.warning("stopped at once; what was not journaled was not signed")


def _serve(settings: NodeSettings, engine_factory: EngineFactory | None, stop: threading.Event) -> None:
    signer = load_key(settings.home / NODE_KEY, settings.password)
    with running(settings.home), closing(BackendApi(settings.backend_url, pause=stop.wait)) as api:
        _serve_as(signer, api, settings, engine_factory, stop)


def _serve_as(
    signer: Signer,
    api: BackendApi,
    settings: NodeSettings,
    engine_factory: EngineFactory | None,
    stop: threading.Event,
) -> None:
    facts = OnchainFacts(Chain.open(settings.rpc_url, settings.deployment))
    operator_id = require_registered(facts, signer.address)
    if not meet(api, settings.deployment, settings.poll_s, stop):
        return
    workloads, engines = load_workloads(settings, api, engine_factory or default_engines(settings))
    session = build_session(settings, signer, facts, api, operator_id, workloads, engines)
    log.info("node %s of operator %d serves %s", signer.address, operator_id, ", ".join(workloads))
    with court_watched(settings, signer, operator_id):
        session.run(stop)
    log.info("stopped")


def load_workloads(
    settings: NodeSettings, api: BackendApi, build: EngineFactory
) -> tuple[dict[str, Manifest], dict[str, Engine]]:
    """Manifests and engines by workload id: of those that were named, or of all offered ones that work here.

    Raises:
        NothingToServe: none was named, and none of the offered ones works here.
        BadSetting, BackendError, ExecutionError: one that was named cannot be served.
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
        raise NothingToServe(
            f"This host can serve none of the {len(names)} workloads of {api.base_url}. {why}.",
            way_out="Run `assay node doctor`, which names what is missing.",
            offered=names,
        )
    return manifests, engines


@contextmanager
def court_watched(settings: NodeSettings, signer: Signer, operator_id: int) -> Iterator[None]:
    """Watches the court for cases against the operator while the block lasts, from a thread with its own connections.

    Raises ChainError when it cannot begin.
    """
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
    """A session over given parts. Raises JournalError."""
    deployment = settings.deployment
    journal = NodeJournal(settings.home / JOURNAL, node=signer.address, domain=deployment.domain)
    pacer = Pacer({name: engine.speed for name, engine in engines.items()}, settings.slots, unix_time)
    speeds = [f"{manifest.model}: {pacer.in_words(name)}" for name, manifest in workloads.items()]
    for each in speeds:
        log.info("%s", each)
    return NodeSession(
        desk=LeaseClient(
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
    """Waits for the backend and sees that it works on the same contracts. False if told to stop meanwhile.

    Raises:
        ForeignBackend: it does not.
        BackendError: it is there and says something else than a backend does.
    """
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

    Its settler may have been rotated since; each lease is held against the escrow's present one.
    """
    names = ("chain_id", "escrow", "stake_manager", "court", "contests", "token", "constants")
    told = {name: str(getattr(network, name)) for name in names if getattr(network, name) != getattr(deployment, name)}
    if told:
        raise ForeignBackend(
            f"The backend at {base_url} tells {told}, the deployment that this node is set up with says otherwise.",
            way_out="Use the backend of that deployment, or the deployment of that backend.",
            differing=sorted(told),
        )


def resolve_workload(name: str, api: BackendApi) -> Manifest:
    """The manifest of a workload id or of a file. Raises BadSetting or BackendError."""
    if name.startswith("0x"):
        return api.manifest(name)
    try:
        return Manifest.model_validate(json.loads(Path(name).read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise BadSetting(
            f"{name} is no workload id and no manifest: {error}.",
            way_out="Give the 0x id of a workload that the backend offers, or the path of its manifest.",
            name=name,
        ) from error


def require_registered(facts: LiveFacts, node: str) -> int:
    """The operator that a node key signs for. Raises NotRegistered."""
    return require_known(facts.operator_of(node), node)


def require_known(operator_id: int, node: str) -> int:
    """The operator of a node key, 0 standing for none. Raises NotRegistered."""
    if operator_id == 0:
        raise NotRegistered(
            f"{node} is no operator's node key on this deployment, or was revoked.",
            way_out="Run `assay node init` first; in place of a key that was revoked, with another --home.",
            node=node,
        )
    return operator_id


def unix_time() -> int:
    """This host's clock, whole Unix seconds."""
    return int(time.time())
