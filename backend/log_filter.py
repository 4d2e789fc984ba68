"""Keeps a loop from saying the same thing twice a second."""

import logging
import time

_QUIET_S = 60.0


class OncePerMinute(logging.Filter):
    """Lets a line through unless the very same one was let through within the last minute."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the line."""
        now, key = time.monotonic(), (record.name, record.getMessage())
        self._said = {known: at for known, at in self._said.items() if now - at < _QUIET_S}
        if key in self._said:
            return False
        self._said[key] = now
        return True
