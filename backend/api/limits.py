"""Bounds on request bodies, counted as they arrive, so that no body fills the memory (A52)."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_LIMIT_BYTES = 64 * 1024
"""Far above the largest record of contracts.protocol.wire."""


class BodyLimit:
    """ASGI middleware: at most `blob_limit` bytes for PUT (blobs), JSON_LIMIT_BYTES for the rest."""

    def __init__(self, app: ASGIApp, *, blob_limit: int) -> None:
        self._app, self._blob_limit = app, blob_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._blob_limit if scope["method"] == "PUT" else JSON_LIMIT_BYTES
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"the body has more than {limit} bytes", headers={"connection": "close"})
            return message

        await self._app(scope, counted, send)
