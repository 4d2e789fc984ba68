"""Requests a job and checks it before a single token is computed.

The settler must have signed the lease for this node, and the signer the order; the prompts must be the signed ones;
this node must serve the workload; the price must pay for the work, and the lane on chain must cover it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.onchain.deployment import Deployment
from contracts.protocol import wire
from contracts.protocol.errors import BadSignature, BadTexts, NotPacked
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.manifest import Manifest
from contracts.protocol.pace import JobSize, most_work
from contracts.protocol.packed import counts
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import COMPARATORS, U48, Lease, NodeRequest, Order
from contracts.protocol.signing import Signer, recover
from node_agent.errors import AlteredJob, CallFailed, ForgedLease, ForgedOrder, LeaseOver, TooSlow, UnpayableJob
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import LiveFacts
from node_agent.session.pacing import Pacer

log = logging.getLogger(__name__)

_TELL = "Nothing was computed; tell the backend's operator."
_UNACCEPTABLE = "Nothing was computed; the backend should not have accepted the order."
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

    grant: wire.LeaseGrant
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

    `workloads`: manifests that this node serves, by workload id. `floor`: the lowest price that it works for. `clock`:
    Unix seconds. `session`: names the place where the key is used, so that the backend serves one place at a time.
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

    def ask(self, workload_id: str, held: Sequence[str] = ()) -> wire.LeaseGrant | None:
        """A lease of a job whose signatures check out, or None when there is no job.

        `held`: orders whose leases this node holds; the backend first grants again any other that it has on record.
        Raises ForgedLease, LeaseOver, ForgedOrder for another job than the settler leased or the signer ordered;
        CallFailed.
        """
        request, signature = self._request(wire.ACTION_LEASE, to_hex(ZERO32))
        asked = wire.LeaseRequest(
            request=request, signature=signature, workload_id=workload_id, held=list(held),
            session=self.session, pace=self.pacer.pace(workload_id),
        )  # fmt: skip
        grant = self.api.lease(asked)
        if grant is not None:
            self._check_lease(grant, grant.order)
            self._check_order(grant)
        return grant

    def accept(self, grant: wire.LeaseGrant) -> CheckedJob:
        """The job behind a lease, once its terms, parameters, lane and input are checked.

        Raises AlteredJob or UnpayableJob for a job that this node cannot do and be paid for, TooSlow for one that it
        cannot do in time; CallFailed without the input, ChainUnavailable without the lane.
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

    def renew(self, grant: wire.LeaseGrant) -> Lease:
        """Extends a lease. Raises ForgedLease, LeaseOver or CallFailed."""
        request, signature = self._request(wire.ACTION_HEARTBEAT, grant.lease.order_id)
        renewed = self.api.heartbeat(wire.Heartbeat(request=request, signature=signature))
        self._check_lease(renewed, grant.order)
        return renewed.lease

    def give_back(self, order_id: str, reason: wire.ReturnReason, words: str) -> bool:
        """Gives a job back, so that another node gets it at once. False when that failed; its lease then runs out."""
        request, signature = self._request(wire.ACTION_RETURN, order_id)
        returned = wire.ReturnLease(request=request, signature=signature, reason=reason, words=words[: wire.MOST_WORDS])
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

    def _check_lease(self, grant: wire.LeaseGrant, order: Order) -> None:
        lease, settler = grant.lease, self.facts.settler()
        found = _signer_of(self.deployment.domain.lease_digest(lease), grant.lease_signature, "lease")
        if found != settler:
            says = f"The lease is signed by {found}, the escrow's settler is {settler}."
            way_out = "Work for this deployment's backend; if its settler was just rotated, ask again."
            raise ForgedLease(says, way_out=way_out, found=found, expected=settler)
        expected = (self.signer.address, to_hex(self.deployment.domain.order_id(order)))
        if (lease.node, lease.order_id) != expected:
            says = (
                f"The lease gives {lease.order_id} to {lease.node}; this is {expected[0]} and the order {expected[1]}."
            )
            raise ForgedLease(says, way_out=_TELL, found=(lease.node, lease.order_id), expected=expected)
        now = self.clock()
        if lease.expires <= now:
            says = f"The lease ended at {lease.expires}, this host's clock says {now}."
            way_out = self._clock_off() or "The job had no time left when it came; the clock is right."
            raise LeaseOver(says, way_out=way_out, expires=lease.expires, now=now)

    def _check_order(self, grant: wire.LeaseGrant) -> None:
        found = _signer_of(self.deployment.domain.order_id(grant.order), grant.order_signature, "order")
        if found != grant.signer:
            says = f"The order {grant.lease.order_id} is signed by {found}, not by its lane's signer {grant.signer}."
            raise ForgedOrder(says, way_out=_TELL, found=found, expected=grant.signer)

    def _check_workload(self, grant: wire.LeaseGrant) -> Manifest:
        terms = grant.order.terms
        manifest = self.workloads.get(terms.workload_id)
        if manifest is None or terms.comparator != COMPARATORS[manifest.comparator]:
            raise AlteredJob(
                f"The job wants workload {terms.workload_id} with comparator {terms.comparator}; this node serves "
                f"{', '.join(self.workloads)}, each with its manifest's comparator.",
                way_out=_TELL, workload_id=terms.workload_id, comparator=terms.comparator,
            )  # fmt: skip
        return manifest

    def _check_price(self, grant: wire.LeaseGrant, most: int) -> None:
        """Checks both ends: the amount is concave in units and the floor linear, so it holds in between too."""
        terms = grant.order.terms
        for units in (0, most):
            pays, asks = amount_units(terms, units), self.floor.fixed_units + units * self.floor.unit_units
            if pays < asks:
                says = f"The order pays {pays} units for {units} units of work, this node asks {asks}."
                way_out = "Lower --min-fixed-price or --min-unit-price, or leave the job to others."
                raise UnpayableJob(says, way_out=way_out, pays=pays, asks=asks)
        if terms.max_price > min(U48, grant.order.spend_cap):
            cap = grant.order.spend_cap
            says = f"maxPrice {terms.max_price} exceeds the order's cap {cap} or what a row carries."
            way_out = "Nothing was computed; such an order cannot be settled."
            raise UnpayableJob(says, way_out=way_out, max_price=terms.max_price, spend_cap=cap)

    def _check_deadline(self, order: Order) -> None:
        now, deadline = self.clock(), order.terms.deadline
        latest = now + self.deployment.constants.order_ttl_s + wire.REQUEST_TOLERANCE_S
        if now >= deadline:
            says, way_out = f"was {now - deadline} s ago", "It had no time left when it came."
        elif deadline > latest:
            says, way_out = f"is later than {latest}, the latest allowed", "It could not be settled."
        else:
            return
        values = {"deadline": deadline, "now": now, "latest": latest}
        raise UnpayableJob(f"The order's deadline {deadline} {says}.", way_out=self._clock_off() or way_out, **values)

    def _check_time(self, order: Order, size: JobSize) -> None:
        terms = order.terms
        why = self.pacer.too_late(terms.workload_id, size, terms.deadline)
        if why is not None:
            way_out = "It is given back at once, for a faster host."
            raise TooSlow(f"{why[0].upper()}{why[1:]}.", way_out=way_out, size=size, deadline=terms.deadline)

    def _clock_off(self) -> str | None:
        """Advice if this host's clock differs from the backend's; else None."""
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
        says = f"The {what}'s signature cannot be read: {error}."
        raise kind(says, way_out=_TELL, signature=signature) from error


def _check_params(grant: wire.LeaseGrant, manifest: Manifest) -> None:
    params, allowed = grant.order.terms.params, manifest.params
    given = params.of(allowed)
    fits = all(allowed[name].minimum <= value <= allowed[name].maximum for name, value in given.items())
    if not fits or params.beside(allowed):
        says = f"The parameters {params} do not fit the workload's {allowed}."
        raise AlteredJob(says, way_out=_UNACCEPTABLE, params=params)


def _count_tokens(prompts: bytes, manifest: Manifest) -> list[int]:
    try:
        found = counts(prompts)
        manifest.input.require_tokens(found)
    except (BadTexts, NotPacked) as error:
        says = f"The prompts are not what the workload accepts: {error}."
        raise AlteredJob(says, way_out=_UNACCEPTABLE, limits=manifest.input) from error
    return found


def _check_lane(grant: wire.LeaseGrant, lane: Lane, deployment: Deployment, now: int) -> None:
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
        says = f"The lane of {grant.order.requester} with signer {grant.signer} {why}."
        raise UnpayableJob(says, way_out=_UNACCEPTABLE, lane=lane, max_price=terms.max_price)
