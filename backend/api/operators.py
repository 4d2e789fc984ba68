"""Routes for nodes: leases, heartbeats, returns, commitments, canary jobs, all signed by the node's key; traces."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from backend import errors
from backend.api import examples, problems
from backend.api.services import Services
from backend.api.strict_json import StrictJsonRoute
from backend.domain import errors as domain
from contracts.protocol import wire
from contracts.protocol.errors import BadSignature

_AUTHENTICATED = (
    BadSignature, errors.WrongSigner, errors.StaleRequest, errors.WrongAction, errors.UnknownNode,
)  # fmt: skip
_HELD = (errors.UnknownOrder, domain.LeaseNotHeld, domain.LeaseExpired)
_NO_JOB: dict[int | str, dict[str, Any]] = {204: {"description": "There is no job of this workload now"}}
_TOLD_LEASES = problems.told(
    *_AUTHENTICATED, errors.UnknownWorkload, domain.OperatorSuspended, domain.OperatorWithheld, domain.StakeTooLow,
    errors.NodeBusy, errors.NodeElsewhere,
)  # fmt: skip
_TOLD_HEARTBEATS = _TOLD_RETURNS = problems.told(*_AUTHENTICATED, *_HELD)
_TOLD_COMMITMENTS = problems.told(
    BadSignature, errors.WrongSigner, *_HELD, errors.ContradictingCommitment, errors.BlobMissing, errors.OutputRefused,
    errors.OutputTooLong, errors.UnitsRefused,
)  # fmt: skip
_TOLD_TRACES = problems.told(
    errors.UnknownCommitment, errors.TraceTooEarly, errors.BlobMissing, errors.TraceTooLong, errors.TraceMismatch,
    errors.ContradictingTrace,
)  # fmt: skip
_TOLD_CANARY = problems.told(
    *_AUTHENTICATED, errors.UnknownWorkload, domain.OperatorSuspended, errors.CanaryOff, errors.CanaryBudgetSpent,
    errors.CanaryUnfunded,
)  # fmt: skip


def operators_router(services: Services) -> APIRouter:
    """POST leases, heartbeats, returns, commitments, traces, canary."""
    router = APIRouter(prefix="/v1/operator", tags=["operators"], route_class=StrictJsonRoute)

    @router.post("/leases", response_model=wire.LeaseGrant, responses=_NO_JOB | _TOLD_LEASES)
    def lend(
        asked: Annotated[wire.LeaseRequest, Body(openapi_examples=examples.LEASE_REQUEST)],
    ) -> wire.LeaseGrant | Response:
        """Lends the oldest job that the node may take, or gives again a lease that it holds and does not name."""
        return services.leasing.lend(asked) or Response(status_code=204)

    @router.post("/heartbeats", responses=_TOLD_HEARTBEATS)
    def extend(beat: Annotated[wire.Heartbeat, Body(openapi_examples=examples.HEARTBEAT)]) -> wire.LeaseGrant:
        """Extends a lease while the node works."""
        return services.leasing.extend(beat)

    @router.post("/returns", responses=_TOLD_RETURNS)
    def take_back(
        back: Annotated[wire.ReturnLease, Body(openapi_examples=examples.RETURN_LEASE)],
    ) -> wire.Acknowledgement:
        """Ends the lease of a job that the node can't do, so that another node is lent it at once."""
        return services.leasing.take_back(back)

    @router.post("/commitments", responses=_TOLD_COMMITMENTS)
    def deliver(
        submitted: Annotated[wire.SubmitCommitment, Body(openapi_examples=examples.SUBMIT_COMMITMENT)],
    ) -> wire.Acknowledgement:
        """Receives what a node computed. Acknowledged once it is durable."""
        return services.delivery.receive(submitted)

    @router.post("/traces", responses=_TOLD_TRACES)
    def show(shown: Annotated[wire.SubmitTrace, Body(openapi_examples=examples.SUBMIT_TRACE)]) -> wire.Acknowledgement:
        """Receives what lies behind a commitment's trace, once nobody can copy it any more."""
        return services.traces.receive(shown)

    @router.post("/canary", responses=_TOLD_CANARY)
    def canary(asked: Annotated[wire.CanaryRequest, Body(openapi_examples=examples.CANARY_REQUEST)]) -> wire.OrderView:
        """Orders a small paid job that is kept for the asking node, or shows the one that its operator had."""
        return services.views.order(services.canary.place(asked))

    return router
