"""Routes for nodes: leases, heartbeats, returns, commitments. Every call is signed by the node's key."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from backend.api import examples, problems
from backend.api.services import Services
from backend.api.strict_json import StrictJsonRoute
from backend.domain.errors import LeaseExpired, LeaseNotHeld, OperatorSuspended, OperatorWithheld, StakeTooLow
from backend.errors import (
    BlobMissing,
    CanaryBudgetSpent,
    CanaryOff,
    CanaryUnfunded,
    ContradictingCommitment,
    ContradictingTrace,
    NodeBusy,
    NodeElsewhere,
    OutputRefused,
    OutputTooLong,
    StaleRequest,
    TraceMismatch,
    TraceTooEarly,
    TraceTooLong,
    UnitsRefused,
    UnknownCommitment,
    UnknownNode,
    UnknownOrder,
    UnknownWorkload,
    WrongAction,
    WrongSigner,
)
from contracts.protocol.errors import BadSignature
from contracts.protocol.wire import (
    Acknowledgement,
    CanaryRequest,
    Heartbeat,
    LeaseGrant,
    LeaseRequest,
    OrderView,
    ReturnLease,
    SubmitCommitment,
    SubmitTrace,
)

_AUTHENTICATED = (BadSignature, WrongSigner, StaleRequest, WrongAction, UnknownNode)
_NO_JOB: dict[int | str, dict[str, Any]] = {204: {"description": "There is no job of this workload now"}}
_TOLD_LEASES = problems.told(
    *_AUTHENTICATED, UnknownWorkload, OperatorSuspended, OperatorWithheld, StakeTooLow, NodeBusy, NodeElsewhere
)
_TOLD_HEARTBEATS = problems.told(*_AUTHENTICATED, UnknownOrder, LeaseNotHeld, LeaseExpired)
_TOLD_RETURNS = problems.told(*_AUTHENTICATED, UnknownOrder, LeaseNotHeld, LeaseExpired)
_TOLD_COMMITMENTS = problems.told(
    BadSignature,
    WrongSigner,
    UnknownOrder,
    LeaseNotHeld,
    LeaseExpired,
    ContradictingCommitment,
    BlobMissing,
    OutputRefused,
    OutputTooLong,
    UnitsRefused,
)
_TOLD_TRACES = problems.told(
    UnknownCommitment, TraceTooEarly, BlobMissing, TraceTooLong, TraceMismatch, ContradictingTrace
)
_TOLD_CANARY = problems.told(
    *_AUTHENTICATED, UnknownWorkload, OperatorSuspended, CanaryOff, CanaryBudgetSpent, CanaryUnfunded
)


def operators_router(services: Services) -> APIRouter:
    """POST leases, heartbeats, returns, commitments, traces, canary."""
    router = APIRouter(prefix="/v1/operator", tags=["operators"], route_class=StrictJsonRoute)

    @router.post("/leases", response_model=LeaseGrant, responses=_NO_JOB | _TOLD_LEASES)
    def lend(
        asked: Annotated[LeaseRequest, Body(openapi_examples=examples.LEASE_REQUEST)],
    ) -> LeaseGrant | Response:
        """Lends the oldest job that the node may take, or gives again a lease that it holds and does not name."""
        return services.leasing.lend(asked) or Response(status_code=204)

    @router.post("/heartbeats", responses=_TOLD_HEARTBEATS)
    def extend(beat: Annotated[Heartbeat, Body(openapi_examples=examples.HEARTBEAT)]) -> LeaseGrant:
        """Extends a lease while the node works."""
        return services.leasing.extend(beat)

    @router.post("/returns", responses=_TOLD_RETURNS)
    def take_back(back: Annotated[ReturnLease, Body(openapi_examples=examples.RETURN_LEASE)]) -> Acknowledgement:
        """Ends the lease of a job that the node can't do, so that another node is lent it at once."""
        return services.leasing.take_back(back)

    @router.post("/commitments", responses=_TOLD_COMMITMENTS)
    def deliver(
        submitted: Annotated[SubmitCommitment, Body(openapi_examples=examples.SUBMIT_COMMITMENT)],
    ) -> Acknowledgement:
        """Receives what a node computed. Acknowledged once it is durable."""
        return services.delivery.receive(submitted)

    @router.post("/traces", responses=_TOLD_TRACES)
    def show(shown: Annotated[SubmitTrace, Body(openapi_examples=examples.SUBMIT_TRACE)]) -> Acknowledgement:
        """Receives what lies behind a commitment's trace, once nobody can copy it any more."""
        return services.traces.receive(shown)

    @router.post("/canary", responses=_TOLD_CANARY)
    def canary(asked: Annotated[CanaryRequest, Body(openapi_examples=examples.CANARY_REQUEST)]) -> OrderView:
        """Orders a small paid job that is kept for the asking node, or shows the one that its operator had."""
        return services.views.order(services.canary.place(asked))

    return router
