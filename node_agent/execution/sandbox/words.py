"""Words of a confined process on their way into a log: printable, and only so many of them."""

import logging
import time

log = logging.getLogger(__name__)

BYTES_A_SECOND = 16 << 10
"""More than any library prints; bytes beyond it are counted and dropped."""

_MOST_LINE = 1000


def in_print(text: str, most: int = _MOST_LINE) -> str:
    """A text in one line of at most so many characters, all of them printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:most])


class ForwardedWords:
    """Puts what a process writes to stderr into this program's log, line by line. `pid`: the process."""

    def __init__(self, pid: int) -> None:
        self._pid, self._line = pid, b""
        self._second, self._left, self._dropped = 0, BYTES_A_SECOND, 0

    def take(self, piece: bytes) -> None:
        """Takes the next bytes; empty bytes mean that the process has ended."""
        second = int(time.monotonic())
        if second != self._second or not piece:
            self._tell_dropped()
            self._second, self._left = second, BYTES_A_SECOND
        kept = piece[: self._left]
        self._left -= len(kept)
        self._dropped += len(piece) - len(kept)
        *lines, self._line = (self._line + kept).split(b"\n")
        if not piece or len(self._line) > _MOST_LINE:
            lines, self._line = [*lines, self._line], b""
        for line in filter(None, lines):
            log.warning("The process %d that runs jobs says: %s", self._pid, in_print(line.decode(errors="replace")))

    def _tell_dropped(self) -> None:
        if self._dropped:
            log.warning("The process %d that runs jobs said %d bytes more, dropped.", self._pid, self._dropped)
            self._dropped = 0
