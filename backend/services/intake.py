"""Step one: stores texts and accepts orders. Both are durable before they are acknowledged."""

from dataclasses import dataclass
from functools import partial

from backend.chain.views import ChainView
from backend.domain.lanes import check_lane
from backend.domain.orders import check_signature, check_terms
from backend.errors import BlobMissing, UnknownBlob
from backend.services.clock import Clock
from backend.services.offering import find_offer
from backend.services.words import Words
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.facts import open_in_lane
from backend.store.tables import OrderRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.pace import most_work
from contracts.protocol.packed import counts
from contracts.protocol.wire import SubmitOrder


@dataclass(frozen=True)
class Intake:
    """Accepts what requesters send."""

    database: Database
    blobs: BlobStore
    words: Words
    chain: ChainView
    deployment: Deployment
    clock: Clock

    def put_blob(self, name: str, data: bytes) -> bool:
        """Holds bytes under their name until an order or a commitment names them. Returns whether they are new.

        Raises BadBlobName, BlobHashMismatch or BlobTooLarge.
        """
        known = self.blobs.has(name)
        self.blobs.hold(data, name)
        return not known

    def accept(self, submitted: SubmitOrder) -> tuple[str, bool]:
        """The order's id and whether it is new. Sending an accepted order again succeeds, even after its deadline.

        Raises an Unauthenticated, NotFound, Unacceptable or Conflict for an order that is not accepted.
        """
        order, signer = submitted.order, submitted.signer
        order_id = check_signature(order, signer, submitted.signature, self.deployment.domain)
        now_s = self.clock()
        with self.database.read() as session:
            if session.get(OrderRow, order_id) is not None:
                return order_id, False
            offer = find_offer(session, order.terms.workload_id)
            open_before = open_in_lane(session, order.requester, signer, now_s)
        constants, pack = self.deployment.constants, partial(self.words.pack, offer.manifest)
        texts = self._texts(order.terms.texts_hash)
        prompts = check_terms(order.terms, texts, offer, pack_prompts=pack, now_s=now_s, constants=constants)
        self.blobs.hold(prompts, order.terms.prompt_root)
        # Read after `open_before`: whatever settles in between is counted twice, never not at all.
        lane = self.chain.lane(order.requester, signer)
        with self.database.begin() as session:
            if session.get(OrderRow, order_id) is not None:
                return order_id, False
            still_open = open_before | open_in_lane(session, order.requester, signer, now_s)
            reserved = {"open_orders": len(still_open), "open_max": sum(still_open.values())}
            check_lane(order, signer, lane, **reserved, now_s=now_s, constants=constants)
            size = most_work(offer.manifest, counts(prompts), order.terms.params.max_new_tokens)
            session.add(OrderRow.of(order_id, order, signer, submitted.signature, now_s, size))
            self.blobs.keep_named("terms.texts_hash", order.terms.texts_hash)
            self.blobs.keep_named("terms.prompt_root", order.terms.prompt_root)
        return order_id, True

    def _texts(self, name: str) -> bytes:
        try:
            return self.blobs.get(name)
        except UnknownBlob as error:
            raise BlobMissing(field="terms.texts_hash", name=name) from error
