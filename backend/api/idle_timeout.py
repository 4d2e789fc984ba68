"""A server that does not wait for ever: whoever connects and sends no whole request head gives its place back (A52).

uvicorn's own time-out counts between two requests only. Bodies have theirs in RequestLimits.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, closing a connection on which no request was under way for HEAD_SECONDS to twice as long."""

    head_seconds = HEAD_SECONDS
    _last_seen: object = None
    _next_look: asyncio.TimerHandle

    def connection_made(self, transport: Any) -> None:
        """Starts to look at the connection from time to time."""
        super().connection_made(transport)
        self._next_look = self.loop.call_later(self.head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the looking."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is self._last_seen:
            self.transport.close()
            return
        self._last_seen = self.cycle
        self._next_look = self.loop.call_later(self.head_seconds, self._look)
