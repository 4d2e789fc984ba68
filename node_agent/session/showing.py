"""Shows the traces of answers once nobody can profit from copying them (`contracts.protocol.trace`).

A shown trace tells anyone who runs the job again where a difference begins. Native work is judged by it. It does not
affect pay: a trace that the backend does not accept is offered again, or its refusal is noted.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import COMPARATORS
from contracts.protocol.trace import opens_at
from contracts.protocol.wire import Receipt, SubmitTrace
from node_agent.errors import BackendRefused
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts
from node_agent.session.journal import JournaledAnswer, NodeJournal

log = logging.getLogger(__name__)

_MOST_A_STEP = 16
"""Keeps a backlog from holding up work."""


@dataclass(kw_only=True)
class TraceClient:
    """Shows the traces of one node."""

    api: BackendApi
    facts: LiveFacts
    journal: NodeJournal
    deployment: Deployment
    clock: Callable[[], int]
    _posted_at: dict[int, int] = field(default_factory=dict, init=False)

    def step(self) -> None:
        """Shows what is due. Journals and logs a refusal. Raises NoAnswer or ChainError."""
        for comparator in COMPARATORS.values():
            for answer, trace in self.journal.unshown(comparator, _MOST_A_STEP):
                assert answer.receipt is not None, "only answers with a receipt are unshown"
                due_at = self._due_at(answer, answer.receipt)
                if due_at is None or due_at > self.clock():
                    break  # the younger ones are not due either
                self._show(answer, trace)

    def _due_at(self, answer: JournaledAnswer, receipt: Receipt) -> int | None:
        posted = [self._posted(epoch_id) for epoch_id in (receipt.epoch_id, receipt.epoch_id + 1)]
        comparator = answer.grant.order.terms.comparator
        return opens_at(comparator, posted[0], posted[1], self.deployment.constants) if all(posted) else None

    def _posted(self, epoch_id: int) -> int:
        """When an epoch was posted, Unix seconds; 0: it is not. Kept once known."""
        if epoch_id not in self._posted_at:
            found = self.facts.posted(epoch_id).posted_at_s
            if not found:
                return 0
            self._posted_at[epoch_id] = found
        return self._posted_at[epoch_id]

    def _show(self, answer: JournaledAnswer, trace: bytes) -> None:
        digest = to_hex(self.deployment.domain.commitment_digest(answer.commitment))
        name = to_hex(keccak(trace))
        try:
            self.api.put_blob(name, trace)
            self.api.show(SubmitTrace(commitment_digest=digest, trace=name))
        except BackendRefused as error:
            if not error.final:  # e.g. the backend waits for more confirmations than this node
                return
            self.journal.refuse_trace(answer.order_id, str(error))
            log.warning("the trace of %s is not published: %s", answer.order_id, error)
        else:
            self.journal.show(answer.order_id, self.clock())
            log.info("showed the trace of %s", answer.order_id)
