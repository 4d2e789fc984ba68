"""One order of a lane is signed at a time, over all processes that use a home.

An order's cap covers what the lane was charged and all that is open, so two that are signed at once carry caps that are
too low for each other. Whoever signs in another home is told so by the backend, and signs anew.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

_FOLDER = "lanes"

LaneLock = Callable[[], AbstractContextManager[None]]
"""Held from the look at a lane until its order is accepted."""


def lane_lock(home: Path, requester: str, signer: str) -> LaneLock:
    """A lock for one lane. It waits; it goes with the process, however that ends."""
    path = home / _FOLDER / f"{requester.lower()}-{signer.lower()}.lock"

    @contextmanager
    def held() -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    return held
