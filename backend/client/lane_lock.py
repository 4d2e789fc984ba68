"""Serializes the signing of a lane's orders over all processes that use one home.

An order's cap covers the lane's charges and all its open orders, so two orders signed at the same time would both have
too low a cap. The backend then refuses a client with another home, which signs again.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

_FOLDER = "lanes"

LaneLock = Callable[[], AbstractContextManager[None]]
"""Held from reading a lane until its order is accepted."""


def lane_lock(home: Path, requester: str, signer: str) -> LaneLock:
    """A blocking lock for one lane, released when the process ends."""
    path = home / _FOLDER / f"{requester.lower()}-{signer.lower()}.lock"

    @contextmanager
    def held() -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    return held
