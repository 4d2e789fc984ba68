"""Errors as RFC 9457 problem details: their status and what they disclose.

A caller's mistake is described in full. An error of the backend is logged with its traceback and described in general.
"""

import logging
import reprlib
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from backend import errors
from backend.log_filter import OncePerMinute
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.errors import BadSignature, ProtocolError
from contracts.protocol.wire import Problem

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.Unauthenticated, 401),
    (BadSignature, 401),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.NotYet, 425),
    (errors.TooLarge, 413),
    (errors.Unacceptable, 422),
    (ProtocolError, 422),
)
_SHOWN_CHARACTERS = 120
_SHOWN_FAULTS = 4
_HTTP_CODES = {
    400: "malformed_body",
    404: "no_such_path",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
}

log = logging.getLogger(__name__)
chain_log = logging.getLogger(f"{__name__}.chain")
chain_log.addFilter(OncePerMinute())
"""While the chain is unreachable every request fails with the same message."""
_shown = reprlib.Repr()
"""Reads no more of a value than is shown."""
_shown.maxstring = _shown.maxother = _shown.maxlong = _SHOWN_CHARACTERS


def install(app: FastAPI) -> None:
    """Turns every error of an endpoint into a problem."""
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ChainUnavailable, _chain_unavailable)
    app.add_exception_handler(OperationalError, _store_unavailable)
    app.add_exception_handler(errors.StorageFull, _storage_full)
    app.add_exception_handler(Exception, _unexpected)


def told(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of an operation that may raise these errors: their codes by status."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        status = next(status for branch, status in _STATUS if issubclass(kind, branch))
        codes.setdefault(status, []).append(getattr(kind, "code", "error"))
    return {status: described(found) for status, found in codes.items()}


def described(codes: Iterable[str]) -> dict[str, Any]:
    """The OpenAPI response of a problem with one of these codes."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": "A problem: " + ", ".join(sorted(codes)), "content": content}


def problem(status: int, code: str, detail: str) -> Response:
    """A problem as a response. Its detail is one line: control characters are escaped."""
    detail = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in detail)
    title = code.replace("_", " ").capitalize()
    body = Problem(type=f"urn:assay:problem:{code}", title=title, status=status, code=code, detail=detail)
    return Response(body.model_dump_json(), status_code=status, media_type=MEDIA_TYPE)


def _told(status: int) -> Any:
    def handle(request: Request, error: Exception) -> Response:
        code = error.code if isinstance(error, errors.BackendError | ProtocolError) else "error"
        log.info("refused path=%s status=%d code=%s", _path(request), status, code)
        return problem(status, code, str(error))

    return handle


def _invalid(request: Request, error: Exception) -> Response:
    """422 with each wrong field, its value and what it must be; 400 or 415 if the body is not JSON or not called so."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    for fault in faults:
        if fault["type"] == "json_invalid":
            return problem(400, "malformed_body", _malformed(fault, error.body))
        if fault["loc"] == ("body",) and isinstance(fault["input"], bytes):
            given = request.headers.get("content-type", "not given")
            return problem(415, "not_json", f"the content-type is {_short(given)}; send the body as application/json")
    shown = [_fault(fault) for fault in faults[:_SHOWN_FAULTS]]
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    return problem(422, "invalid_field", "; ".join(shown) + "; GET /openapi.json describes every field")


def _malformed(fault: dict[str, Any], body: Any) -> str:
    at, why = int(fault["loc"][-1]), fault.get("ctx", {}).get("error", "")
    near = str(body)[max(at - 20, 0) : at + 20]
    return f"the body is not JSON: {why} at position {at}, near {near!r}; send the object that the schema describes"


def _fault(fault: dict[str, Any]) -> str:
    place = _cut(".".join(str(part) for part in fault["loc"]))
    value = "" if fault["type"] == "missing" else f" = {_short(fault['input'])}"
    return f"{place}{value}: {fault['msg']}"


def _short(value: object) -> str:
    return _cut(_shown.repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _path(request: Request) -> str:
    """The path as it was sent, percent-encoded, so always on one line."""
    return _cut((request.scope.get("raw_path") or b"").decode("ascii", "backslashreplace"))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "http_error")
    detail = f"{request.method} {_path(request)}: {error.detail}"
    if error.status_code in (404, 405):
        detail += "; GET /docs lists what there is"
    response = problem(error.status_code, code, detail)
    response.headers.update(error.headers or {})
    return response


def _chain_unavailable(request: Request, error: Exception) -> Response:
    chain_log.error("chain unavailable why=%s", error)
    return problem(503, "chain_unavailable", "the chain does not answer this backend; nothing was changed, try again")


def _store_unavailable(request: Request, error: Exception) -> Response:
    log.error("database unavailable path=%s", _path(request), exc_info=error)
    return problem(503, "store_unavailable", "the database does not answer; nothing was changed, try again")


def _storage_full(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.StorageFull)
    log.error("storage full path=%s why=%s", _path(request), error)
    return problem(507, error.code, str(error))


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error path=%s", _path(request), exc_info=error)
    return problem(500, "internal_error", "this backend failed and logged why; the same request may be sent again")
