"""A newcomer's first job: the network orders a small one, reserves it for the node that asks, and pays for it.

It is an ordinary order in the lane of a key of its own, so it is leased, rooted, sampled and settled like any other.
One per operator. Registering many operators drains at most the daily budget: a day's canary orders together cost at
most `daily_units`, and the lane holds no more than it was funded with.
"""

import logging
import secrets
from dataclasses import dataclass

from sqlmodel import Session, col

from backend.chain.views import ChainView
from backend.domain.assignment import Cover, lendable
from backend.domain.errors import BalanceTooLow, CapTooLow, LaneUnderNotice, OperatorSuspended, StakeTooLow
from backend.domain.orders import Offer
from backend.domain.outcomes import state_of
from backend.errors import CanaryBudgetSpent, CanaryOff, CanaryUnfunded
from backend.services.clock import Clock
from backend.services.intake import Intake
from backend.services.node_requests import authenticate
from backend.services.offering import find_offer
from backend.services.views import Views
from backend.store import facts
from backend.store.database import Database
from backend.store.tables import CanaryRow, OrderRow
from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.pricing import spend_cap_units
from contracts.protocol.records import COMPARATORS, Order, Params, Terms
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.wire import ACTION_CANARY, CanaryRequest, SubmitOrder, Tokenize

DAY_S = 86_400
TEXT = "A canary sings: is anybody there?"
_TTL_PART = (9, 10)
_CAP_TRIES = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Canary:
    """Places canary orders; none without a `signer`. `daily_units`: the most that a day's orders may cost."""

    database: Database
    chain: ChainView
    deployment: Deployment
    intake: Intake
    views: Views
    signer: Signer | None
    daily_units: int
    cover: Cover
    clock: Clock

    def place(self, asked: CanaryRequest) -> str:
        """The id of the operator's canary order: the present one, or a new one if that expired undelivered.

        Raises an Unauthenticated, UnknownWorkload, OperatorSuspended, CanaryOff, CanaryBudgetSpent, CanaryUnfunded, or
        StakeTooLow if even this job is too expensive to lend without stake.
        """
        domain, now_s, node = self.deployment.domain, self.clock(), asked.request.node
        operator_id = authenticate(asked.request, asked.signature, ACTION_CANARY, self.chain, domain, now_s)
        if self.signer is None:
            raise CanaryOff
        with self.database.read() as session:
            offer = find_offer(session, asked.workload_id)
            case = facts.guilty_case(session, operator_id, self.chain.is_guilty)
            placed = _placed(session, operator_id, now_s)
            spent = _spent(session, self.signer.address, now_s)
        if case is not None:
            raise OperatorSuspended(operator_id=operator_id, case_id=case)
        if placed is not None:
            return placed
        params = Params(**{name: allowed.minimum for name, allowed in offer.manifest.params.items()})
        prompts = self.intake.words.tokenize(Tokenize(workload_id=asked.workload_id, texts=[TEXT]))
        most = offer.manifest.most_units([len(ids) for ids in prompts.prompts], params.max_new_tokens)
        price = offer.fixed_price + most * offer.unit_price
        if not lendable(self.chain.operator(operator_id).stake, price, self.cover):
            raise StakeTooLow(
                stake=0, open_max=0, max_price=price, multiple=self.cover.penalty_multiple,
                newcomer_price=self.cover.newcomer_price,
            )  # fmt: skip
        if spent + price > self.daily_units:
            raise CanaryBudgetSpent(spent=spent, price=price, budget=self.daily_units)
        kept = CanaryRow(operator_id=operator_id, order_id="", node=node)
        return self._order(self.signer, offer, params, prompts.prompt_root, price, kept)

    def _order(self, signer: Signer, offer: Offer, params: Params, root: str, price: int, kept: CanaryRow) -> str:
        """Reserves the order for the node before it is accepted, so that no other node is lent it in between."""
        data = encode_texts([TEXT])
        self.intake.put_blob(to_hex(keccak(data)), data)
        for left in reversed(range(_CAP_TRIES)):
            submitted = self._signed(signer, offer, params, root, price, data)
            kept.order_id = to_hex(self.deployment.domain.order_id(submitted.order))
            with self.database.begin() as session:
                session.merge(kept)
            try:
                self.intake.accept(submitted)
            except CapTooLow:
                if left == 0:
                    raise
            except (BalanceTooLow, LaneUnderNotice) as error:
                raise CanaryUnfunded(lane=signer.address, why=str(error)) from error
            else:
                log.info("canary order=%s operator=%d node=%s", kept.order_id, kept.operator_id, kept.node)
                return kept.order_id
        raise AssertionError("the loop returns or raises")

    def _signed(self, signer: Signer, offer: Offer, params: Params, root: str, price: int, data: bytes) -> SubmitOrder:
        ttl_s = self.deployment.constants.order_ttl_s * _TTL_PART[0] // _TTL_PART[1]
        terms = Terms(
            workload_id=offer.workload_id, prompt_root=root, texts_hash=to_hex(keccak(data)), params=params,
            comparator=COMPARATORS[offer.manifest.comparator], fixed_price=offer.fixed_price,
            unit_price=offer.unit_price, max_price=price, deadline=self.clock() + ttl_s, salt=secrets.randbits(64),
        )  # fmt: skip
        lane = self.views.lane(signer.address, signer.address)
        cap = spend_cap_units(lane.charged, lane.open_max, price)
        order = Order(requester=signer.address, spend_cap=cap, terms=terms)
        signature = signer.sign(self.deployment.domain.order_id(order))
        return SubmitOrder(order=order, signer=signer.address, signature=signature)


def _placed(session: Session, operator_id: int, now_s: int) -> str | None:
    """The operator's canary order, unless it expired undelivered or a crash prevented its acceptance."""
    row = session.get(CanaryRow, operator_id)
    job = None if row is None else facts.job(session, row.order_id)
    return None if job is None or state_of(job.facts, now_s) == "expired" else job.order.order_id


def _spent(session: Session, requester: str, now_s: int) -> int:
    """The maxima of the last day's orders, units. Expired ones cost nothing and do not count."""
    recent = facts.jobs(session, col(OrderRow.requester) == requester, col(OrderRow.accepted_at) > now_s - DAY_S)
    return sum(job.facts.max_price for job in recent if state_of(job.facts, now_s) != "expired")
