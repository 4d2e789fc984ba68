"""A newcomer's first job, followed from the request to the credit.

The backend orders it and pays for it (its canary lane). Otherwise it is an ordinary order. What is shown comes from the
chain and the journal wherever they have it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.records import NodeRequest
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import ACTION_CANARY, CanaryRequest, OrderView
from node_agent.app import EngineFactory, NodeSettings, ready_session, unix_time
from node_agent.errors import CanaryFailed, NoAnswer
from node_agent.explanation import Explainer, Explanation, Sources
from node_agent.home import JOURNAL, NODE_KEY, address_in
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import OnchainFacts
from node_agent.session.earnings import read_account
from node_agent.session.journal import NodeJournal
from node_agent.session.rooted import RootWatch

_BEFORE_ROOT = ("queued", "leased", "delivered")
_QUEUED_LONG_S = 30.0
_MANY = 10**9
_EXPLAIN = "`assay node doctor` and `assay node explain` tell more."

OnStage = Callable[[str, str], None]
"""Receives a stage's name and what is known of it."""


def request_canary(api: BackendApi, signer: Signer, domain: Domain, workload_id: str) -> OrderView:
    """Asks for the canary job of this node's operator. Raises BackendError."""
    request = NodeRequest(node=signer.address, action=ACTION_CANARY, order_id=to_hex(ZERO32), timestamp=unix_time())
    signature = signer.sign(domain.node_request_digest(request))
    return api.canary(CanaryRequest(request=request, signature=signature, workload_id=workload_id))


def serve_until_delivered(
    settings: NodeSettings, order_id: str, engine_factory: EngineFactory | None = None, *, timeout_s: float
) -> None:
    """Runs a node until it has delivered one order; jobs that come before it are served too.

    Raises SetupError, ExecutionError or ChainError if the node cannot start, CanaryFailed without a timely delivery.
    """
    node, domain = address_in(settings.home / NODE_KEY), settings.deployment.domain
    until, pause = time.monotonic() + timeout_s, threading.Event()
    with (
        ready_session(settings, engine_factory, pause) as session,
        closing(NodeJournal(settings.home / JOURNAL, node=node, domain=domain)) as journal,
    ):
        assert session is not None, "nobody stops it"
        while (answer := journal.find(order_id)) is None or answer.acknowledged_at is None:
            if time.monotonic() > until or (answer is not None and answer.refusal is not None):
                lent = journal.lent(order_id)
                why = (answer and answer.refusal) or (lent and lent.abandoned) or f"not within {timeout_s:.0f} s"
                raise CanaryFailed(f"The canary job {order_id} was not delivered: {why}.", way_out=_EXPLAIN)
            if not session.step():
                pause.wait(settings.poll_s)


@dataclass
class CanaryWatch:
    """Follows one order to its credit. `earned_before`: the operator's credit before the order, units."""

    sources: Sources
    order_id: str
    earned_before: int
    on_stage: OnStage
    poll_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _told: set[str] = field(default_factory=set, init=False)

    def follow(self, timeout_s: float) -> Explanation:
        """Returns once the operator's credit has grown by it. Raises CanaryFailed for another end, or a timeout."""
        assert self.sources.api is not None, "a canary job needs a backend"
        start, watch, pause = self.clock(), self._watch(self.sources.api), threading.Event()
        while self.clock() - start < timeout_s:
            try:
                view = self.sources.api.order(self.order_id)
                if view.state == "expired":
                    raise CanaryFailed(f"The canary job {self.order_id} expired undelivered.", way_out=_EXPLAIN)
                self._tell_before_root(view, self.clock() - start)
                if view.state not in _BEFORE_ROOT and (found := self._tell_on_chain()) is not None:
                    watch.require_rooted()
                    return found
                watch.require_rooted()
            except NoAnswer as error:
                self._tell("waiting", str(error))
            pause.wait(self.poll_s)
        raise CanaryFailed(f"The canary job {self.order_id} took over {timeout_s:.0f} s.", way_out=_EXPLAIN)

    def _watch(self, api: BackendApi) -> RootWatch:
        """Puts the receipt into the journal, as a running node does."""
        chain = self.sources.chain
        return RootWatch(
            api=api, facts=OnchainFacts(chain), journal=self.sources.journal, deployment=chain.deployment,
            operator_id=self.sources.operator_id, max_unrooted=_MANY, clock=unix_time,
        )  # fmt: skip

    def _tell_before_root(self, view: OrderView, waited_s: float) -> None:
        self._tell("queued", f"{self.order_id}, pays at most {view.order.terms.max_price} units")
        if view.state == "queued":
            if waited_s > _QUEUED_LONG_S:
                self._tell("waiting", "no node took it yet: is the node busy, or does it not serve this workload?")
            return
        self._tell("leased", f"to {view.node}")
        if view.state == "leased":
            return
        units = view.commitment.units if view.commitment else "?"
        self._tell("delivered", f"{units} units of work, worth {view.amount_units} units")

    def _tell_on_chain(self) -> Explanation | None:
        """Stages that the chain shows; the explanation once the credit is there."""
        found = Explainer(self.sources, self.order_id).explain()
        if found.lies:
            raise CanaryFailed("The backend lies: " + "; ".join(found.lies), way_out=_EXPLAIN)
        if found.epoch_id is None:
            return None
        self._tell("rooted", f"leaf {found.index} of epoch {found.epoch_id}, under the root on chain")
        if found.outcome == "posted":
            return None
        self._tell("revealed", f"epoch {found.epoch_id + 1} was posted, which fixes the seed")
        if found.sampled is not None:
            says = next((step.says for step in found.steps if step.name == "sample"), "")
            self._tell("sampled" if found.sampled else "not sampled", says)
        if found.outcome == "revealed":
            return None
        if found.outcome not in ("paid", "alone"):
            raise CanaryFailed(f"The canary job {self.order_id} ended {found.outcome}: {found.says}.", way_out=_EXPLAIN)
        self._tell("settled", f"{found.outcome} in {found.tx}")
        earned = read_account(self.sources.chain, self.sources.operator_id).earned_units
        if earned <= self.earned_before:
            return None
        grown = f"the operator's credit grew from {self.earned_before} to {earned} units"
        self._tell("credited", f"{found.credited_units} units in {found.tx}; {grown}")
        return found

    def _tell(self, stage: str, says: str) -> None:
        if stage not in self._told:
            self._told.add(stage)
            self.on_stage(stage, says)
