"""Routes for verifiers: verdicts."""

from typing import Annotated

from fastapi import APIRouter, Body

from backend.api import examples, problems
from backend.api.services import Services
from backend.api.strict_json import StrictJsonRoute
from backend.errors import (
    BlobMissing,
    ContradictingVerdict,
    InactiveVerifier,
    NotSampled,
    ObservationRefused,
    OpeningDisagrees,
    OpeningMismatch,
    UnknownRow,
    WrongSigner,
)
from contracts.protocol.errors import BadSignature
from contracts.protocol.wire import Acknowledgement, SubmitVerdict

_TOLD = problems.told(
    BadSignature,
    WrongSigner,
    InactiveVerifier,
    UnknownRow,
    NotSampled,
    OpeningMismatch,
    OpeningDisagrees,
    BlobMissing,
    ObservationRefused,
    ContradictingVerdict,
)


def verifiers_router(services: Services) -> APIRouter:
    """POST verdicts."""
    router = APIRouter(prefix="/v1/verifier", tags=["verifiers"], route_class=StrictJsonRoute)

    @router.post("/verdicts", responses=_TOLD)
    def receive(
        submitted: Annotated[SubmitVerdict, Body(openapi_examples=examples.SUBMIT_VERDICT)],
    ) -> Acknowledgement:
        """Receives what a verifier computed. Acknowledged once it is durable."""
        return services.verdicts.receive(submitted)

    return router
