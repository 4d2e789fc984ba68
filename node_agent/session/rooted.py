"""Sees to it that what was delivered comes under a root, and stops the node before it works for nothing.

Work that no root holds is lost when the settler dies (SPEC section 13): at most one epoch of it, if a node stops in
time. The backend hands out a receipt, the chain says whether it is true; true ones are kept in the journal, so that a
stranded leaf can be settled when the backend is gone.
"""

import logging
from collections.abc import Callable

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


class RootWatch:
    """Watches the epochs posted for one node.

    Args:
        max_unrooted: how many overdue jobs a node bears before it stops asking for more.
    """

    def __init__(
        self,
        *,
        api: BackendApi,
        facts: LiveFacts,
        journal: NodeJournal,
        deployment: Deployment,
        operator_id: int,
        max_unrooted: int,
        clock: Callable[[], int],
    ) -> None:
        self._api, self._facts, self._journal, self._clock = api, facts, journal, clock
        self._domain, self._operator_id, self._max_unrooted = deployment.domain, operator_id, max_unrooted
        epoch_max_s = deployment.constants.epoch_max_s
        self._patience_s, self._look_again_s = 2 * epoch_max_s, epoch_max_s // _LOOKS_AN_EPOCH
        self._seen_epoch, self._looked_at = -1, 0

    def require_rooted(self) -> None:
        """Returns while the settler does its part.

        Raises:
            NotRooted: more than `max_unrooted` delivered jobs have waited for a root too long.
            BackendUnavailable, ChainError: it cannot be told now.
        """
        waiting = self._journal.unrooted()
        if waiting and self._worth_a_look():
            waiting = [answer for answer in waiting if not self._collect_receipt(answer)]
            self._looked_at = self._clock()
        overdue = [a for a in waiting if (a.acknowledged_at or 0) < self._clock() - self._patience_s]
        if len(overdue) > self._max_unrooted:
            raise RootsOverdue(
                f"{len(overdue)} delivered jobs, the oldest {overdue[0].order_id} of {overdue[0].acknowledged_at}, "
                f"have no root after {self._patience_s} s; no more work is taken, it might never be paid.",
                way_out="Serving resumes when they are rooted; ask the backend's operator, work for another backend, "
                "or accept the loss with a larger --max-unrooted.",
                overdue=len(overdue),
                max_unrooted=self._max_unrooted,
            )

    def _worth_a_look(self) -> bool:
        """Receipts come with epochs, or a little later: a backend waits for confirmations."""
        seen, self._seen_epoch = self._seen_epoch, self._facts.last_epoch()
        return self._seen_epoch != seen or self._clock() - self._looked_at >= self._look_again_s

    def _collect_receipt(self, answer: JournaledAnswer) -> bool:
        """Whether there is one now. A bad one is logged and asked for again; it must not hide the others."""
        try:
            receipt = self._api.order(answer.order_id).receipt
            if receipt is None:
                return False
            self._check(answer, receipt)
        except (BackendRefused, BadAnswer) as error:
            log.warning("no receipt for %s: %s", answer.order_id, error)
            return False
        self._journal.root(answer.order_id, receipt)
        log.info("rooted %s: epoch %d, leaf %d", answer.order_id, receipt.epoch_id, receipt.index)
        return True

    def _check(self, answer: JournaledAnswer, receipt: Receipt) -> None:
        expected = row_of(answer, self._domain.commitment_digest(answer.commitment), self._operator_id)
        posted = self._facts.posted(receipt.epoch_id)
        leaf = Leaf.of_receipt(expected, receipt.index, receipt.siblings)
        told = (receipt.operator_id, receipt.amount_units, receipt.commitment_digest)
        mine = (expected.operator_id, expected.amount_units, to_hex(expected.digest))
        if told != mine or not leaf.stands(posted.root, posted.count):
            raise BadAnswer(
                f"The receipt of {answer.order_id} tells {told} at leaf {receipt.index} of epoch {receipt.epoch_id}; "
                f"{mine} is owed, and must stand under the root on chain.",
                way_out="It is asked for again; tell the backend's operator if it lasts.",
                found=told,
                expected=mine,
            )


def row_of(answer: JournaledAnswer, digest: bytes, operator_id: int) -> Row:
    """The leaf that is owed for an answer: the order's price for the units that were committed."""
    grant = answer.grant
    amount = amount_units(grant.order.terms, answer.commitment.units)
    return Row(grant.order.requester, grant.signer, operator_id, amount, digest)
