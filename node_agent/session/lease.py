"""Requests a job and checks everything about it before a single token is computed.

The lease must be signed by the deployment's settler for this node, the order by its signer, the prompts must be those
that were signed, the workload must be one that this node serves, and the price must pay for the work and be covered by
the lane on chain.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import BadSignature, BadTexts, NotPacked
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.manifest import Manifest
from contracts.protocol.pace import JobSize, most_work
from contracts.protocol.packed import counts
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import COMPARATORS, U48, Lease, NodeRequest, Order
from contracts.protocol.signing import Signer, recover
from contracts.protocol.wire import (
    ACTION_HEARTBEAT,
    ACTION_LEASE,
    ACTION_RETURN,
    MOST_WORDS,
    REQUEST_TOLERANCE_S,
    LeaseGrant,
    LeaseRequest,
    ReturnLease,
    ReturnReason,
)
from contracts.protocol.wire import Heartbeat as HeartbeatCall
from node_agent.errors import AlteredJob, CallFailed, ForgedLease, ForgedOrder, LeaseOver, TooSlow, UnpayableJob
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts
from node_agent.session.pacing import Pacer

log = logging.getLogger(__name__)

_CLOCK_OFF_S = 3.0
"""The most that two correct clocks differ by, including the network's delay."""


@dataclass(frozen=True)
class PriceFloor:
    """The lowest price that a node works for, units: per job and per unit of work."""

    fixed_units: int = 0
    unit_units: int = 0


@dataclass(frozen=True)
class CheckedJob:
    """A checked job. `prompts`: packed. `size`: the most work that it can be."""

    grant: LeaseGrant
    manifest: Manifest
    prompts: bytes = field(repr=False)
    size: JobSize

    @property
    def params(self) -> dict[str, int]:
        """Its parameters, those that its workload has."""
        return self.grant.order.terms.params.of(self.manifest.params)


@dataclass(kw_only=True)
class LeaseClient:
    """Asks a backend for jobs in a node's name.

    Attributes:
        workloads: manifests that this node serves, by workload id.
        floor: the lowest price it works for.
        pacer: how fast it is.
        clock: Unix seconds.
        session: names where the key is used, so that the backend serves one place at a time.
    """

    api: BackendApi
    facts: LiveFacts
    signer: Signer
    deployment: Deployment
    workloads: Mapping[str, Manifest]
    floor: PriceFloor
    pacer: Pacer
    clock: Callable[[], int]
    session: str | None = None

    def ask(self, workload_id: str, held: Sequence[str] = ()) -> LeaseGrant | None:
        """A lease of a job whose signatures check out, or None when there is no job.

        `held`: orders whose leases this node holds; the backend first grants again any other that it has on record.

        Raises:
            ForgedLease, LeaseOver, ForgedOrder: it is not what the settler leased or the signer ordered.
            BackendError: nothing usable came.
        """
        request, signature = self._request(ACTION_LEASE, to_hex(ZERO32))
        asked = LeaseRequest(
            request=request, signature=signature, workload_id=workload_id, held=list(held),
            session=self.session, pace=self.pacer.pace(workload_id),
        )  # fmt: skip
        grant = self.api.lease(asked)
        if grant is not None:
            self._check_lease(grant, grant.order)
            self._check_order(grant)
        return grant

    def accept(self, grant: LeaseGrant) -> CheckedJob:
        """The job behind a lease, once its terms, parameters, lane and input check out.

        Raises:
            AlteredJob, UnpayableJob: this node cannot do it and be paid for it.
            TooSlow: this node cannot do it in time.
            BackendError: the input did not arrive.
            ChainUnavailable: the lane could not be read.
        """
        manifest = self._check_workload(grant)
        _check_params(grant, manifest)
        self._check_deadline(grant.order)
        lane = self.facts.lane(grant.order.requester, grant.signer)
        _check_lane(grant, lane, self.deployment, self.clock())
        terms = grant.order.terms
        prompts = self.api.blob(terms.prompt_root, manifest.input.most_prompt_bytes)
        tokens = _count_tokens(prompts, manifest)
        self._check_price(grant, manifest.most_units(tokens, terms.params.max_new_tokens))
        size = most_work(manifest, tokens, terms.params.max_new_tokens)
        self._check_time(grant.order, size)
        return CheckedJob(grant, manifest, prompts, size)

    def renew(self, grant: LeaseGrant) -> Lease:
        """Extends a lease. Raises ForgedLease, LeaseOver or BackendError."""
        request, signature = self._request(ACTION_HEARTBEAT, grant.lease.order_id)
        renewed = self.api.heartbeat(HeartbeatCall(request=request, signature=signature))
        self._check_lease(renewed, grant.order)
        return renewed.lease

    def give_back(self, order_id: str, reason: ReturnReason, words: str) -> bool:
        """Gives a job back, so that another node gets it at once. False when that failed; its lease then runs out."""
        request, signature = self._request(ACTION_RETURN, order_id)
        returned = ReturnLease(request=request, signature=signature, reason=reason, words=words[:MOST_WORDS])
        try:
            self.api.give_back(returned)
        except CallFailed as error:
            log.warning("%s is not given back, its lease runs out by itself: %s", order_id, error)
            return False
        log.info("gave %s back (%s)", order_id, reason)
        return True

    def _request(self, action: str, order_id: str) -> tuple[NodeRequest, str]:
        node = self.signer.address
        request = NodeRequest(node=node, action=action, order_id=order_id, timestamp=self.clock())
        return request, self.signer.sign(self.deployment.domain.node_request_digest(request))

    def _check_lease(self, grant: LeaseGrant, order: Order) -> None:
        lease, settler = grant.lease, self.facts.settler()
        found = _signer_of(self.deployment.domain.lease_digest(lease), grant.lease_signature, "lease")
        if found != settler:
            raise ForgedLease(
                f"The lease is signed by {found}, the escrow's settler is {settler}.",
                way_out="Work for this deployment's backend; if its settler was just rotated, ask again.",
                found=found,
                expected=settler,
            )
        expected = (self.signer.address, to_hex(self.deployment.domain.order_id(order)))
        if (lease.node, lease.order_id) != expected:
            raise ForgedLease(
                f"The lease gives {lease.order_id} to {lease.node}; this is {expected[0]} and the order {expected[1]}.",
                way_out="Nothing was computed; tell the backend's operator.",
                found=(lease.node, lease.order_id),
                expected=expected,
            )
        now = self.clock()
        if lease.expires <= now:
            raise LeaseOver(
                f"The lease ended at {lease.expires}, this host's clock says {now}.",
                way_out=self._clock_off() or "The job had no time left when it came; the clock is right.",
                expires=lease.expires,
                now=now,
            )

    def _check_order(self, grant: LeaseGrant) -> None:
        found = _signer_of(self.deployment.domain.order_id(grant.order), grant.order_signature, "order")
        if found != grant.signer:
            raise ForgedOrder(
                f"The order {grant.lease.order_id} is signed by {found}, not by its lane's signer {grant.signer}.",
                way_out="Nothing was computed; tell the backend's operator.",
                found=found,
                expected=grant.signer,
            )

    def _check_workload(self, grant: LeaseGrant) -> Manifest:
        terms = grant.order.terms
        manifest = self.workloads.get(terms.workload_id)
        if manifest is None or terms.comparator != COMPARATORS[manifest.comparator]:
            raise AlteredJob(
                f"The job wants workload {terms.workload_id} with comparator {terms.comparator}; this node serves "
                f"{', '.join(self.workloads)}, each with its manifest's comparator.",
                way_out="Nothing was computed; tell the backend's operator.",
                workload_id=terms.workload_id,
                comparator=terms.comparator,
            )
        return manifest

    def _check_price(self, grant: LeaseGrant, most: int) -> None:
        """Checks both ends: an amount is concave in units and the floor is linear, so it holds in between too."""
        terms = grant.order.terms
        for units in (0, most):
            pays, asks = amount_units(terms, units), self.floor.fixed_units + units * self.floor.unit_units
            if pays < asks:
                raise UnpayableJob(
                    f"The order pays {pays} units for {units} units of work, this node asks {asks}.",
                    way_out="Lower --min-fixed-price or --min-unit-price, or leave the job to others.",
                    pays=pays,
                    asks=asks,
                )
        if terms.max_price > min(U48, grant.order.spend_cap):
            raise UnpayableJob(
                f"maxPrice {terms.max_price} exceeds the order's cap {grant.order.spend_cap} or what a row carries.",
                way_out="Nothing was computed; such an order cannot be settled.",
                max_price=terms.max_price,
                spend_cap=grant.order.spend_cap,
            )

    def _check_deadline(self, order: Order) -> None:
        now, deadline = self.clock(), order.terms.deadline
        latest = now + self.deployment.constants.order_ttl_s + REQUEST_TOLERANCE_S
        if now >= deadline:
            says, way_out = f"was {now - deadline} s ago", "It had no time left when it came."
        elif deadline > latest:
            says, way_out = f"is later than {latest}, the latest allowed", "It could not be settled."
        else:
            return
        raise UnpayableJob(
            f"The order's deadline {deadline} {says}.",
            way_out=self._clock_off() or way_out,
            deadline=deadline,
            now=now,
            latest=latest,
        )

    def _check_time(self, order: Order, size: JobSize) -> None:
        terms = order.terms
        why = self.pacer.too_late(terms.workload_id, size, terms.deadline)
        if why is not None:
            raise TooSlow(
                f"{why[0].upper()}{why[1:]}.",
                way_out="It is given back at once, for a faster host.",
                size=size,
                deadline=terms.deadline,
            )

    def _clock_off(self) -> str | None:
        """What to do about this host's clock if it differs from the backend's; None if it does not."""
        try:
            ahead_s = self.api.clock_ahead_s()
        except CallFailed as error:
            return f"The backend does not tell the time ({error}); check this host's clock."
        if ahead_s is None or abs(ahead_s) < _CLOCK_OFF_S:
            return None
        how = "behind" if ahead_s > 0 else "ahead of"
        return f"Set this host's clock: it is {abs(ahead_s):.0f} s {how} the backend's."


def _signer_of(digest: bytes, signature: str, what: str) -> str:
    try:
        return recover(digest, signature)
    except BadSignature as error:
        kind = ForgedLease if what == "lease" else ForgedOrder
        raise kind(
            f"The {what}'s signature cannot be read: {error}.",
            way_out="Nothing was computed; tell the backend's operator.",
            signature=signature,
        ) from error


def _check_params(grant: LeaseGrant, manifest: Manifest) -> None:
    params, allowed = grant.order.terms.params, manifest.params
    given = params.of(allowed)
    fits = all(allowed[name].minimum <= value <= allowed[name].maximum for name, value in given.items())
    if not fits or params.beside(allowed):
        raise AlteredJob(
            f"The parameters {params} do not fit the workload's {allowed}.",
            way_out="Nothing was computed; such an order should not have been accepted.",
            params=params,
        )


def _count_tokens(prompts: bytes, manifest: Manifest) -> list[int]:
    try:
        found = counts(prompts)
        manifest.input.require_tokens(found)
    except (BadTexts, NotPacked) as error:
        raise AlteredJob(
            f"The prompts are not what the workload takes: {error}.",
            way_out="Nothing was computed; such an order should not have been accepted.",
            limits=manifest.input,
        ) from error
    return found


def _check_lane(grant: LeaseGrant, lane: Lane, deployment: Deployment, now: int) -> None:
    """Raises UnpayableJob unless the lane, as the chain has it now, can be charged when the job's epoch is settled.

    A cap that is already proven covers an older order too (SPEC section 3). A notice counts if it lets the requester
    withdraw before the job's epoch must be settled.
    """
    terms, constants = grant.order.terms, deployment.constants
    must_hold_until = terms.deadline + constants.epoch_max_s + constants.settle_wait_s
    window = lane.withdrawable(constants)
    why = None
    if lane.balance < terms.max_price:
        why = f"holds {lane.balance} units, the job may cost {terms.max_price}"
    elif max(grant.order.spend_cap, lane.cap_proven) < lane.charged + terms.max_price:
        why = f"was charged {lane.charged} units, the order's cap is {grant.order.spend_cap}"
    elif grant.signer != grant.order.requester and lane.expiry < terms.deadline:
        why = f"expires at {lane.expiry}, before the deadline {terms.deadline}"
    elif window is not None and now < window[1] and window[0] <= must_hold_until:
        why = f"can be withdrawn from {window[0]} on; the job is settled by {must_hold_until}"
    if why is not None:
        raise UnpayableJob(
            f"The lane of {grant.order.requester} with signer {grant.signer} {why}.",
            way_out="Nothing was computed; the backend should not have accepted the order.",
            lane=lane,
            max_price=terms.max_price,
        )
