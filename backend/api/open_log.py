"""Lets the pages of any host read the published log, so that an auditor's own copy of `web/rerun` can."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = "/v1/log/"


class OpenLog:
    """ASGI middleware. Where the log ends, browsers must see that too, so refusals are open as well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"access-control-allow-origin", b"*")]
            await send(message)

        is_log = scope["type"] == "http" and scope["path"].startswith(_LOG)
        await self._app(scope, receive, send_opened if is_log else send)
