"""Routes for verifiers: verdicts."""

from typing import Annotated

from fastapi import APIRouter, Body

from backend.api import examples
from backend.api.services import Services
from contracts.protocol.wire import Acknowledgement, SubmitVerdict


def verifiers_router(services: Services) -> APIRouter:
    """POST verdicts."""
    router = APIRouter(prefix="/v1/verifier", tags=["verifiers"])

    @router.post("/verdicts")
    def receive(
        submitted: Annotated[SubmitVerdict, Body(openapi_examples=examples.SUBMIT_VERDICT)],
    ) -> Acknowledgement:
        """Receives what a verifier computed. Acknowledged once it is durable."""
        return services.verdicts.receive(submitted)

    return router
