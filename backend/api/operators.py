"""Routes for nodes: leases, heartbeats, commitments. Every call is signed by the node's key."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from backend.api import examples
from backend.api.services import Services
from contracts.protocol.wire import Acknowledgement, Heartbeat, LeaseGrant, LeaseRequest, SubmitCommitment


def operators_router(services: Services) -> APIRouter:
    """POST leases, heartbeats, commitments."""
    router = APIRouter(prefix="/v1/operator", tags=["operators"])

    @router.post(
        "/leases", response_model=LeaseGrant, responses={204: {"description": "There is no job of this workload now"}}
    )
    def lend(
        asked: Annotated[LeaseRequest, Body(openapi_examples=examples.LEASE_REQUEST)],
    ) -> LeaseGrant | Response:
        """Lends the oldest job that the node may take, or gives again the lease that it holds."""
        return services.leasing.lend(asked) or Response(status_code=204)

    @router.post("/heartbeats")
    def extend(beat: Annotated[Heartbeat, Body(openapi_examples=examples.HEARTBEAT)]) -> LeaseGrant:
        """Extends a lease while the node works."""
        return services.leasing.extend(beat)

    @router.post("/commitments")
    def deliver(
        submitted: Annotated[SubmitCommitment, Body(openapi_examples=examples.SUBMIT_COMMITMENT)],
    ) -> Acknowledgement:
        """Receives what a node computed. Acknowledged once it is durable."""
        return services.delivery.receive(submitted)

    return router
