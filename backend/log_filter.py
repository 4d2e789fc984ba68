"""Drops repeated log lines."""

import logging
import time

_QUIET_S = 60.0


class OncePerMinute(logging.Filter):
    """Passes a line unless the same line passed within the last minute."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, key = time.monotonic(), (record.name, record.getMessage())
        self._passed = {known: at for known, at in self._passed.items() if now - at < _QUIET_S}
        if key in self._passed:
            return False
        self._passed[key] = now
        return True
