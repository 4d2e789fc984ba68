"""The node agent's composition root: puts key, chain, backend, journal and engines together, and runs them.

Which engines compute is passed in; torch is only imported by the default ones, so that commands that compute nothing
start at once.
"""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.protocol.manifest import Manifest
from contracts.protocol.signing import Signer
from node_agent.errors import BackendUnavailable, BadSetting, ForeignBackend, NotRegistered
from node_agent.execution.engine import Engine
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import ChainFacts, OnchainFacts
from node_agent.session.commit import Committer
from node_agent.session.journal import Journal
from node_agent.session.lease import LeaseDesk, PriceFloor
from node_agent.session.loop import NodeSession
from node_agent.session.rooted import RootWatch

log = logging.getLogger(__name__)

NODE_KEY, OWNER_KEY, JOURNAL = "node.json", "owner.json", "journal.sqlite"
"""Files of a node's home."""

EngineFactory = Callable[[Manifest], Engine]


@dataclass(frozen=True)
class NodeSettings:
    """What a node is told.

    Attributes:
        home: folder of the node's key file and journal.
        password: of the key file.
        workloads: each a workload id, whose manifest the backend is asked for, or the path of a manifest.
        models: the model store; its default place if not given.
        device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.
        floor: the least the node works for.
        max_unrooted: overdue delivered jobs that it bears before it takes no more.
        poll_s: pause between questions for a job.
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


def default_engines(settings: NodeSettings) -> EngineFactory:
    """The real engines of this host, once it has passed its self-test.

    Raises:
        SelfTestFailed: this host must not sign anything. The factory raises what `FloatEngine.load` and the store do.
    """
    from node_agent.devices import self_test
    from node_agent.execution.float_engine import FloatEngine
    from node_agent.models import ModelStore

    report = self_test.passed(settings.device)
    log.info("self-test passed on %s, numeric class %s", report.device, report.numeric_class)
    store = ModelStore(settings.models)

    def load(manifest: Manifest) -> Engine:
        return FloatEngine.load(store.load(manifest.weights_sha256), manifest, settings.device)

    return load


def run_node(
    settings: NodeSettings, engine_factory: EngineFactory | None = None, stop: threading.Event | None = None
) -> None:
    """Serves until told to stop.

    Args:
        engine_factory: builds the engine of a workload; `default_engines(settings)` if not given.
        stop: ends the loop after the job under way. If not given, SIGTERM and SIGINT do, and a second one abandons
            the job; nothing half-done is ever signed.

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
        log.info("%s: finishing the job under way; once more abandons it", signal.Signals(number).name)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_signal)
    try:
        serve(stop)
    except KeyboardInterrupt:
        log.warning("stopped at once; what was not journaled was not signed")


def _serve(settings: NodeSettings, engine_factory: EngineFactory | None, stop: threading.Event) -> None:
    signer = load_key(settings.home / NODE_KEY, settings.password)
    facts = OnchainFacts(Chain.open(settings.rpc_url, settings.deployment))
    api = BackendApi(settings.backend_url, pause=stop.wait)
    operator_id = require_registered(facts, signer.address)
    if not meet(api, settings.deployment, settings.poll_s, stop):
        return
    manifests = [resolve_workload(name, api) for name in settings.workloads]
    build = engine_factory or default_engines(settings)
    engines = {manifest.workload_id(): build(manifest) for manifest in manifests}
    workloads = {manifest.workload_id(): manifest for manifest in manifests}
    session = build_session(settings, signer, facts, api, operator_id, workloads, engines)
    log.info("node %s of operator %d serves %s", signer.address, operator_id, ", ".join(workloads))
    session.run(stop)
    log.info("stopped")


def build_session(
    settings: NodeSettings,
    signer: Signer,
    facts: ChainFacts,
    api: BackendApi,
    operator_id: int,
    workloads: Mapping[str, Manifest],
    engines: Mapping[str, Engine],
) -> NodeSession:
    """A session over given parts. Raises JournalError."""
    deployment = settings.deployment
    journal = Journal(settings.home / JOURNAL, node=signer.address, domain=deployment.domain)
    return NodeSession(
        desk=LeaseDesk(
            api=api, facts=facts, signer=signer, deployment=deployment,
            workloads=workloads, floor=settings.floor, clock=unix_time,
        ),
        committer=Committer(api=api, journal=journal, signer=signer, domain=deployment.domain, clock=unix_time),
        watch=RootWatch(
            api=api, facts=facts, journal=journal, deployment=deployment,
            operator_id=operator_id, max_unrooted=settings.max_unrooted, clock=unix_time,
        ),
        journal=journal,
        engines=engines,
        clock=unix_time,
        poll_s=settings.poll_s,
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
        except BackendUnavailable as error:
            log.warning("%s", error)
            stop.wait(poll_s)
            continue
        names = ("chain_id", "escrow", "stake_manager", "court", "settler", "constants")
        differing = [name for name in names if getattr(network, name) != getattr(deployment, name)]
        if differing:
            told = {name: str(getattr(network, name)) for name in differing}
            raise ForeignBackend(
                f"The backend at {api.base_url} tells {told}, the deployment file says otherwise.",
                way_out="Use the backend of that deployment, or the deployment file of that backend.",
                differing=differing,
            )
        return True
    return False


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


def require_registered(facts: ChainFacts, node: str) -> int:
    """The operator of a node key. Raises NotRegistered."""
    operator_id = facts.operator_of(node)
    if operator_id == 0:
        raise NotRegistered(
            f"{node} is no operator's node key on this deployment.", way_out="Run `assay node init` first.", node=node
        )
    return operator_id


def unix_time() -> int:
    """This host's clock, whole Unix seconds."""
    return int(time.time())
