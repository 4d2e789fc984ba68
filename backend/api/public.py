"""Routes for anyone: the network, workloads, blobs, operators, epochs, the published log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from backend.api import problems
from backend.api.services import Services
from backend.errors import BlobHashMismatch, BlobTooLarge, UnknownBlob, UnknownEpoch, UnknownWorkload
from contracts.protocol.records import Bytes32
from contracts.protocol.wire import BooksView, EpochView, NetworkInfo, NodeView

_OCTETS = "application/octet-stream"
_LINES = "application/jsonl"
_EPOCH = Annotated[int, Path(ge=1, lt=2**63)]
_RAW_BODY = {
    "requestBody": {"required": True, "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
}
_RAW_ANSWER = {"content": {_OCTETS: {}}, "description": "The bytes: their keccak256, or of packed words the root"}
_OBJECT = {"application/json": {"schema": {"type": "object"}}}
_TOLD_WORKLOAD = problems.told(UnknownWorkload)
_MANIFEST_ANSWERS = {200: {"content": _OBJECT, "description": "The canonical bytes"}} | _TOLD_WORKLOAD
_TOKENIZER_ANSWERS = {200: {"content": _OBJECT, "description": "tokenizer.json"}} | _TOLD_WORKLOAD
_BLOB_ANSWERS = {200: _RAW_ANSWER} | problems.told(UnknownBlob)
_PUT_ANSWERS = {200: {"description": "Known before"}} | problems.told(BlobHashMismatch, BlobTooLarge)
_LOG = {"content": {_LINES: {}}, "description": "Lines of canonical JSON (SPEC section 11)"}
_LOG_ANSWERS = {200: _LOG} | problems.told(UnknownEpoch)
_IMMUTABLE = {"cache-control": "public, max-age=31536000, immutable"}


async def raw_body(request: Request) -> bytes:
    """The raw body, within RequestLimits."""
    return await request.body()


def public_router(services: Services) -> APIRouter:
    """GET network, workloads, nodes, epochs."""
    router = APIRouter(prefix="/v1", tags=["public"])

    @router.get("/network")
    def network() -> NetworkInfo:
        """This backend's contracts, terms and price sheet."""
        return services.views.network()

    @router.get("/workloads/{workload_id}", responses=_MANIFEST_ANSWERS, response_class=Response)
    def workload(workload_id: Bytes32) -> Response:
        """The canonical manifest, from whose fields the id is hashed (SPEC section 3)."""
        return Response(services.views.manifest(workload_id), media_type="application/json", headers=_IMMUTABLE)

    @router.get("/workloads/{workload_id}/tokenizer", responses=_TOKENIZER_ANSWERS, response_class=Response)
    def tokenizer(workload_id: Bytes32) -> Response:
        """The tokenizer.json of a workload: its sha256 stands in the manifest."""
        return Response(services.words.tokenizer(workload_id), media_type="application/json", headers=_IMMUTABLE)

    @router.get("/nodes")
    def nodes() -> list[NodeView]:
        """The operators, by id."""
        return services.views.nodes()

    @router.get("/epochs")
    def epochs() -> list[EpochView]:
        """The newest epochs, newest first."""
        return services.views.epochs()

    @router.get("/books")
    def books() -> BooksView:
        """All tokens that the contracts hold, as of a block: owed, donated, and unexplained, which is 0."""
        return services.books.view()

    return router


def content_router(services: Services) -> APIRouter:
    """PUT and GET blobs, GET the published log."""
    router = APIRouter(prefix="/v1", tags=["public"])

    @router.put(
        "/blobs/{name}", status_code=201, responses=_PUT_ANSWERS, openapi_extra=_RAW_BODY, response_class=Response
    )
    def put_blob(name: Bytes32, body: Annotated[bytes, Depends(raw_body)]) -> Response:
        """Keeps texts, an output or a trace under its name: 201, or 200 when it was there."""
        return Response(status_code=201 if services.intake.put_blob(name, body) else 200)

    @router.get("/blobs/{name}", responses=_BLOB_ANSWERS, response_class=Response)
    def blob(name: Bytes32) -> Response:
        """Texts, prompts, an output, a trace or an observation."""
        return _octets(services.blobs.get(name))

    @router.get("/log/blobs/{name}", responses=_BLOB_ANSWERS, response_class=Response)
    def log_blob(name: Bytes32) -> Response:
        """A blob that the published log names, of open orders."""
        return _octets(services.blobs.get(name))

    @router.get("/log/epochs/{epoch_id}.jsonl", responses=_LOG_ANSWERS, response_class=Response)
    def log_file(epoch_id: _EPOCH) -> Response:
        """The published log of an epoch. It never changes."""
        return Response(services.views.log_file(epoch_id), media_type=_LINES, headers=_IMMUTABLE)

    return router


def _octets(data: bytes) -> Response:
    return Response(data, media_type=_OCTETS, headers={**_IMMUTABLE, "x-content-type-options": "nosniff"})
