"""A node session over the shipped fakes: no socket, no chain, a clock that a test sets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import keccak
from contracts.protocol.manifest import Manifest
from contracts.protocol.signing import Signer
from node_agent.session.backend_api import BackendApi
from node_agent.session.commit import Committer
from node_agent.session.journal import NodeJournal
from node_agent.session.lease import LeaseClient, PriceFloor
from node_agent.session.loop import NodeSession
from node_agent.session.pacing import Pacer
from node_agent.session.rooted import RootWatch
from node_agent.session.showing import TraceClient
from tests.world.node_fakes import EchoEngine, FakeBackend, FakeFacts, fake_deployment, fake_manifest

NOW_S = 1_800_000_000


@dataclass
class Clock:
    """Unix seconds that a test sets."""

    now: int = NOW_S

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """A node and everything around it."""

    home: Path
    clock: Clock = field(default_factory=Clock)
    settler: Signer = field(default_factory=lambda: Signer(keccak(b"settler")))
    signer: Signer = field(default_factory=lambda: Signer(keccak(b"node")))
    manifest: Manifest = field(default_factory=fake_manifest)
    facts: FakeFacts = field(default_factory=FakeFacts)
    engine: EchoEngine = field(default_factory=EchoEngine)
    floor: PriceFloor = field(default_factory=PriceFloor)
    max_unrooted: int = 0
    slots: int = 1

    def __post_init__(self) -> None:
        self.deployment: Deployment = fake_deployment(self.settler.address)
        self.facts.settler_address = self.settler.address
        self.backend = FakeBackend(self.deployment, self.settler, self.manifest, self.clock)

    @property
    def api(self) -> BackendApi:
        """A client without sockets and without pauses."""
        return BackendApi("http://backend", attempts=2, pause=lambda seconds: None, transport=self.backend.transport())

    def journal(self) -> NodeJournal:
        """The journal, opened anew as after a restart."""
        return NodeJournal(self.home / "journal.sqlite", node=self.signer.address, domain=self.deployment.domain)

    def pacer(self) -> Pacer:
        """What the engine's speed makes of the slots."""
        return Pacer({self.manifest.workload_id(): self.engine.speed}, self.slots, self.clock)

    def leases(self, pacer: Pacer | None = None) -> LeaseClient:
        """A leases that serves the one workload."""
        return LeaseClient(
            api=self.api, facts=self.facts, signer=self.signer, deployment=self.deployment,
            workloads={self.manifest.workload_id(): self.manifest}, floor=self.floor,
            pacer=pacer or self.pacer(), clock=self.clock,
        )  # fmt: skip

    def committer(self, journal: NodeJournal) -> Committer:
        """A committer on a journal."""
        return Committer(
            api=self.api, journal=journal, signer=self.signer, domain=self.deployment.domain, clock=self.clock
        )

    def watch(self, journal: NodeJournal) -> RootWatch:
        """A root watch on a journal."""
        return RootWatch(
            api=self.api, facts=self.facts, journal=journal, deployment=self.deployment,
            operator_id=self.facts.operator_id, max_unrooted=self.max_unrooted, clock=self.clock,
        )  # fmt: skip

    def traces(self, journal: NodeJournal) -> TraceClient:
        """What shows traces out of a journal."""
        return TraceClient(
            api=self.api, facts=self.facts, journal=journal, deployment=self.deployment, clock=self.clock
        )

    def session(self) -> NodeSession:
        """A whole session, as after a start."""
        journal, pacer = self.journal(), self.pacer()
        return NodeSession(
            leases=self.leases(pacer), pacer=pacer, committer=self.committer(journal), watch=self.watch(journal),
            journal=journal,
            traces=self.traces(journal), engines={self.manifest.workload_id(): self.engine},
            clock=self.clock, poll_s=0.01,
            slots=self.slots,
        )  # fmt: skip


MakeWorld = Callable[[], World]
