"""Errors as RFC 9457 problem details: which status an error has, and what of it is told.

What a caller did wrong is told in full. What went wrong here is logged with its traceback and told in general.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from backend.errors import BackendError, Conflict, NotFound, TooLarge, Unacceptable, Unauthenticated
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.errors import BadSignature
from contracts.protocol.wire import Problem

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unauthenticated, 401),
    (BadSignature, 401),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (Unacceptable, 422),
)
_SHOWN_CHARACTERS = 120
_HTTP_CODES = {400: "malformed_body", 404: "no_such_path", 405: "method_not_allowed", 413: "body_too_large"}

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Makes every error that leaves an endpoint a problem."""
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ChainUnavailable, _chain_unavailable)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, code: str, detail: str) -> Response:
    """A problem as a response."""
    title = code.replace("_", " ").capitalize()
    body = Problem(type=f"urn:assay:problem:{code}", title=title, status=status, code=code, detail=detail)
    return Response(body.model_dump_json(), status_code=status, media_type=MEDIA_TYPE)


def _told(status: int) -> Any:
    def handle(request: Request, error: Exception) -> Response:
        code = error.code if isinstance(error, BackendError | BadSignature) else "error"
        log.info("refused path=%s status=%d code=%s", request.url.path, status, code)
        return problem(status, code, str(error))

    return handle


def _invalid(_: Request, error: Exception) -> Response:
    """Every field that is wrong, with its value and what it must be; 400 when the body is not JSON at all."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        why = faults[0].get("ctx", {}).get("error", "")
        return problem(400, "malformed_body", f"the body is not JSON: {why}; send the object that the schema describes")
    return problem(422, "invalid_field", "; ".join(map(_fault, faults)))


def _fault(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    value = "" if fault["type"] == "missing" else f" = {_short(fault['input'])}"
    return f"{place}{value}: {fault['msg']}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "http_error")
    detail = f"{request.method} {request.url.path}: {error.detail}; GET /docs lists what there is"
    response = problem(error.status_code, code, detail)
    response.headers.update(error.headers or {})
    return response


def _chain_unavailable(request: Request, error: Exception) -> Response:
    log.error("chain unavailable path=%s why=%s", request.url.path, error)
    return problem(503, "chain_unavailable", "the chain does not answer this backend; nothing was changed, try again")


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error path=%s", request.url.path, exc_info=error)
    return problem(500, "internal_error", "an error of this backend, logged there; the same request may be sent again")
