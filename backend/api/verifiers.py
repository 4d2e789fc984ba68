"""Routes for verifiers: verdicts."""

from typing import Annotated

from fastapi import APIRouter, Body

from backend import errors
from backend.api import examples, problems
from backend.api.services import Services
from backend.api.strict_json import StrictJsonRoute
from contracts.protocol.errors import BadSignature
from contracts.protocol.wire import Acknowledgement, SubmitVerdict

_TOLD = problems.told(
    BadSignature, errors.WrongSigner, errors.InactiveVerifier, errors.UnknownRow, errors.NotSampled,
    errors.OpeningMismatch, errors.OpeningDisagrees, errors.BlobMissing, errors.ObservationRefused,
    errors.ContradictingVerdict,
)  # fmt: skip


def verifiers_router(services: Services) -> APIRouter:
    """POST verdicts."""
    router = APIRouter(prefix="/v1/verifier", tags=["verifiers"], route_class=StrictJsonRoute)

    @router.post("/verdicts", responses=_TOLD)
    def receive(submitted: Annotated[SubmitVerdict, Body(openapi_examples=examples.SUBMIT_VERDICT)]) -> Acknowledgement:
        """Receives what a verifier computed. Acknowledged once it is durable."""
        return services.verdicts.receive(submitted)

    return router
