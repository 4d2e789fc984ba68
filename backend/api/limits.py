"""Limits on requests, applied while they arrive, so that none fills the memory or occupies a worker for long (A52).

The event loop reads bodies, not a worker thread, so a slow client does not delay others.
"""

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem

JSON_LIMIT_BYTES = 64 * 1024
"""Far above the largest record of contracts.protocol.wire."""
TARGET_LIMIT_BYTES = 2048
"""Path and query together; the API's longest has 100."""
HEADERS_LIMIT_BYTES = 16 * 1024
BODY_SECONDS = 30.0
"""A body must arrive in this time: 35 KB/s for the largest blob."""


class RequestLimits:
    """ASGI middleware: at most `blob_limit` bytes in a PUT (blobs), JSON_LIMIT_BYTES in others."""

    def __init__(self, app: ASGIApp, *, blob_limit: int) -> None:
        self._app, self._blob_limit = app, blob_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _too_long(scope)
        if refusal is not None:
            response = problem(*refusal)
            response.headers["connection"] = "close"
            await response(scope, receive, send)
            return
        limit = self._blob_limit if scope["method"] == "PUT" else JSON_LIMIT_BYTES
        await self._app(scope, _counted(receive, limit, time.monotonic() + BODY_SECONDS, _announced(scope)), send)


def _counted(receive: Receive, limit: int, until: float, announced: int) -> Receive:
    """`receive` that raises if more than `limit` bytes are announced or arrive, or if the body takes too long."""
    received, complete = 0, False

    async def counted() -> Message:
        nonlocal received, complete
        if complete:
            return await receive()
        if announced > limit:
            raise _refused(413, f"the body has {announced} bytes, at most {limit} are accepted; send less")
        try:
            message = await asyncio.wait_for(receive(), until - time.monotonic())
        except TimeoutError as error:
            why = f"only {received} bytes of the body arrived within {BODY_SECONDS:.0f} s; send it again, faster"
            raise _refused(408, why) from error
        received += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if received > limit:
            raise _refused(413, f"the body has {received} bytes or more, at most {limit} are accepted; send less")
        return message

    return counted


def _refused(status: int, why: str) -> HTTPException:
    return HTTPException(status, why, headers={"connection": "close"})


def _announced(scope: Scope) -> int:
    """The body's content-length, or 0. The server has refused one that is no number, and ends the body there."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _too_long(scope: Scope) -> tuple[int, str, str] | None:
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if target > TARGET_LIMIT_BYTES:
        why = f"path and query have {target} bytes, at most {TARGET_LIMIT_BYTES} are accepted; GET /docs lists them"
        return 414, "uri_too_long", why
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if headers > HEADERS_LIMIT_BYTES:
        why = f"headers of {headers} bytes, at most {HEADERS_LIMIT_BYTES} are accepted; send fewer: none is needed"
        return 431, "headers_too_long", why
    return None
