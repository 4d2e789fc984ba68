"""Closes idle connections, also those that never send a whole request head (A52).

uvicorn's own timeout applies between requests only. RequestLimits has the one for bodies.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0


class IdleTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP/1.1. Closes a connection without a request for HEAD_SECONDS to twice as long."""

    head_seconds = HEAD_SECONDS
    _last_cycle: object = None
    _next_check: asyncio.TimerHandle

    def connection_made(self, transport: Any) -> None:
        """Starts the regular checks of the connection."""
        super().connection_made(transport)
        self._next_check = self.loop.call_later(self.head_seconds, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the checks."""
        self._next_check.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is self._last_cycle:
            self.transport.close()
            return
        self._last_cycle = self.cycle
        self._next_check = self.loop.call_later(self.head_seconds, self._check)
