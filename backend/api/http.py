"""The HTTP application over a set of services."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend.api import problems
from backend.api.limits import RequestLimits
from backend.api.open_log import OpenLog
from backend.api.operators import operators_router
from backend.api.pages import pages_router
from backend.api.public import content_router, public_router
from backend.api.requesters import requesters_router
from backend.api.services import Services
from backend.api.verifiers import verifiers_router
from contracts.protocol.wire import Problem

VERSION = "1"
_DESCRIPTION = """Amounts are integers in units of the token, times are Unix seconds, byte strings lower-case 0x hex.
Every error is a problem (RFC 9457) with a machine-readable `code`; `detail` names the value and the way out."""


def create_http(services: Services) -> FastAPI:
    """The application with all its routes."""
    app = FastAPI(title="Assay", version=VERSION, description=_DESCRIPTION)
    for router in (public_router, content_router, requesters_router, operators_router, verifiers_router):
        app.include_router(router(services))
    app.include_router(pages_router())
    problems.install(app)
    app.add_middleware(RequestLimits, blob_limit=services.blobs.max_bytes)
    app.add_middleware(OpenLog)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """FastAPI's OpenAPI document, with our problems in place of its own errors."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema()
        for operation in (op for path in schema["paths"].values() for op in path.values()):
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]
            for status, codes in _common_problems(operation).items():
                answers.setdefault(status, problems.described(codes))
        app.openapi_schema = schema
    return app.openapi_schema


def _common_problems(operation: dict[str, Any]) -> dict[str, list[str]]:
    """The codes, by status, of problems that follow from an operation's parameters and body alone."""
    found = {"503": ["chain_unavailable", "store_unavailable"]}
    if "parameters" in operation or "requestBody" in operation:
        found["422"] = ["invalid_field"]
    if "requestBody" in operation:
        found |= {"400": ["malformed_body"], "408": ["body_too_slow"], "413": ["body_too_large"]}
        if "application/json" in operation["requestBody"]["content"]:
            found["415"] = ["not_json"]
    return found
