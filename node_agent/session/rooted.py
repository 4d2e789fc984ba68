"""Checks that delivered work comes under a root, and stops the node before it works for nothing.

Work without a root is lost when the settler dies (SPEC section 13): at most one epoch of it, if a node stops in time.
Receipts from the backend are checked against the chain and kept in the journal, so that a stranded leaf can be settled
without the backend.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import to_hex
from contracts.protocol.merkle import Row
from contracts.protocol.pricing import amount_units
from contracts.protocol.wire import Receipt
from contracts.record.leaf import Leaf
from node_agent.errors import BackendRefused, BadAnswer, RootsOverdue
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts
from node_agent.session.journal import JournaledAnswer, NodeJournal

log = logging.getLogger(__name__)

_LOOKS_AN_EPOCH = 4


@dataclass(kw_only=True)
class RootWatch:
    """Watches the epochs posted for one node. `max_unrooted`: how many overdue jobs it accepts."""

    api: BackendApi
    facts: LiveFacts
    journal: NodeJournal
    deployment: Deployment
    operator_id: int
    max_unrooted: int
    clock: Callable[[], int]
    _seen_epoch: int = field(default=-1, init=False)
    _looked_at: int = field(default=0, init=False)

    def require_rooted(self) -> None:
        """Raises RootsOverdue if more than `max_unrooted` delivered jobs have waited for a root too long; NoAnswer or
        ChainError if that is not known now."""
        patience_s, waiting = 2 * self.deployment.constants.epoch_max_s, self.journal.unrooted()
        if waiting and self._worth_a_look():
            waiting = [answer for answer in waiting if not self._collect_receipt(answer)]
            self._looked_at = self.clock()
        overdue = [a for a in waiting if (a.acknowledged_at or 0) < self.clock() - patience_s]
        if len(overdue) > self.max_unrooted:
            raise RootsOverdue(
                f"{len(overdue)} delivered jobs, the oldest {overdue[0].order_id} of {overdue[0].acknowledged_at}, "
                f"have no root after {patience_s} s; no more work is taken, it might never be paid.",
                way_out="Serving resumes when they are rooted. Ask the backend's operator, work for another backend, "
                "or accept the loss with a larger --max-unrooted.",
                overdue=len(overdue),
                max_unrooted=self.max_unrooted,
            )

    def _worth_a_look(self) -> bool:
        """Receipts come with epochs, or a little later, since a backend waits for confirmations."""
        seen, self._seen_epoch = self._seen_epoch, self.facts.last_epoch()
        look_again_s = self.deployment.constants.epoch_max_s // _LOOKS_AN_EPOCH
        return self._seen_epoch != seen or self.clock() - self._looked_at >= look_again_s

    def _collect_receipt(self, answer: JournaledAnswer) -> bool:
        """Whether there is one now. A bad one is logged and requested again, so that it does not hide the others."""
        try:
            receipt = self.api.order(answer.order_id).receipt
            if receipt is None:
                return False
            self._check(answer, receipt)
        except (BackendRefused, BadAnswer) as error:
            log.warning("no receipt for %s: %s", answer.order_id, error)
            return False
        self.journal.root(answer.order_id, receipt)
        log.info("rooted %s: epoch %d, leaf %d", answer.order_id, receipt.epoch_id, receipt.index)
        return True

    def _check(self, answer: JournaledAnswer, receipt: Receipt) -> None:
        expected = row_of(answer, self.deployment.domain.commitment_digest(answer.commitment), self.operator_id)
        posted = self.facts.posted(receipt.epoch_id)
        leaf = Leaf.of_receipt(expected, receipt.index, receipt.siblings)
        told = (receipt.operator_id, receipt.amount_units, receipt.commitment_digest)
        mine = (expected.operator_id, expected.amount_units, to_hex(expected.digest))
        if told != mine or not leaf.stands(posted.root, posted.count):
            raise BadAnswer(
                f"The receipt of {answer.order_id} shows {told} at leaf {receipt.index} of epoch {receipt.epoch_id}; "
                f"{mine} is owed, and must be under the root on chain.",
                way_out="It is requested again; tell the backend's operator if this lasts.",
                found=told,
                expected=mine,
            )


def row_of(answer: JournaledAnswer, digest: bytes, operator_id: int) -> Row:
    """The leaf that is owed for an answer: the order's price for the committed units."""
    grant = answer.grant
    amount = amount_units(grant.order.terms, answer.commitment.units)
    return Row(grant.order.requester, grant.signer, operator_id, amount, digest)
