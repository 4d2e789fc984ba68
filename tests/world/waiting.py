"""The one poller: what a test waits for comes on a busy machine too, only later."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 120.0
"""An upper bound that says a thing is broken, not how long it takes: two busy loops beside it must not reach it."""


def eventually(
    probe: Callable[[], T], timeout_s: float = PATIENCE_S, *, poll_s: float = 0.05, says: Callable[[], str] = str
) -> T:
    """What `probe` returns once that is true. Fails after `timeout_s`, with what `says` tells of the state then."""
    until = time.monotonic() + timeout_s
    while not (found := probe()):
        assert time.monotonic() < until, f"not reached within {timeout_s:.0f} s\n{says()}"
        time.sleep(poll_s)
    return found
