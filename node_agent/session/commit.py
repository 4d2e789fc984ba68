"""From a finished execution to an acknowledged commitment: write down, sign, upload, submit, in this order.

A crash may follow any step, and every step can be repeated: the journal's first answer stands, only that answer is
signed, and blobs and commitments are named by their hashes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.packed import packed_root
from contracts.protocol.records import Commitment
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import Domain, trace_commit
from contracts.protocol.wire import LeaseGrant, SubmitCommitment
from node_agent.errors import BackendRefused, BadAnswer
from node_agent.execution.engine import Execution
from node_agent.session.backend_api import BackendApi
from node_agent.session.journal import JournaledAnswer, NodeJournal

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Committer:
    """Commits the answers of one node."""

    api: BackendApi
    journal: NodeJournal
    signer: Signer
    domain: Domain
    clock: Callable[[], int]

    def commit(self, grant: LeaseGrant, execution: Execution) -> None:
        """Commits to a lease's result, or to its order's first answer if the journal has one.

        Raises CallFailed if it could not be delivered: `resume` delivers it from the journal. Raises JournalError if it
        could not be written down; then it was not signed.
        """
        order_id = grant.lease.order_id
        commitment = Commitment(
            order_id=order_id,
            node=self.signer.address,
            output_root=to_hex(packed_root(execution.output)),
            trace_commit=to_hex(trace_commit(execution.trace_hash, from_hex(order_id), self.signer.address)),
            units=execution.units,
        )
        answer = JournaledAnswer(commitment, execution.trace_hash, execution.output, grant)
        self.deliver(self.journal.record(answer, execution.trace))

    def resume(self) -> None:
        """Delivers the answers that an earlier run or a failed call left. Raises CallFailed."""
        for answer in self.journal.pending():
            log.info("delivering the answer of %s again", answer.order_id)
            self.deliver(answer)

    def deliver(self, answer: JournaledAnswer) -> None:
        """Signs, uploads and submits a journaled answer. A final refusal is journaled and logged, not raised."""
        digest = self.domain.commitment_digest(answer.commitment)
        if answer.signature is None:
            answer = self.journal.sign(answer.order_id, self.signer.sign(digest))
        try:
            self._submit(answer, to_hex(digest))
        except BackendRefused as error:
            if not error.final:
                raise
            self.journal.refuse(answer.order_id, str(error))
            log.error("the answer of %s will not be paid: %s", answer.order_id, error)

    def _submit(self, answer: JournaledAnswer, digest: str) -> None:
        assert answer.signature is not None, "signed just before"
        self.api.put_blob(answer.commitment.output_root, answer.output)
        done = self.api.submit(SubmitCommitment(commitment=answer.commitment, signature=answer.signature))
        if done.digest != digest:
            says = f"The backend acknowledged {done.digest}, the commitment is {digest}."
            way_out = "It is sent again; agent and backend may be of different releases."
            raise BadAnswer(says, way_out=way_out, found=done.digest, expected=digest)
        self.journal.acknowledge(answer.order_id, self.clock())
        log.info("delivered %s: %d units of work", answer.order_id, answer.commitment.units)
