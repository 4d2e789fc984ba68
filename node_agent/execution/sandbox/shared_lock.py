"""A readers-writer lock: many hold it together, or one holds it alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedLock:
    """A thread that wants it alone waits for its holders, and goes before all that ask later to share it.

    A thread that holds it must not ask for it again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0
        self._claims = 0  # of those who want it alone, or have it

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Holds it together with others."""
        with self._held_once(lambda: self._claims == 0):
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds it alone."""
        self._count(claims=1)
        try:
            with self._held_once(lambda: self._holders == 0):
                yield
        finally:
            self._count(claims=-1)

    @contextmanager
    def _held_once(self, is_free: Callable[[], bool]) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(is_free)
            self._holders += 1
        try:
            yield
        finally:
            self._count(holders=-1)

    def _count(self, holders: int = 0, claims: int = 0) -> None:
        with self._changed:
            self._holders += holders
            self._claims += claims
            self._changed.notify_all()
