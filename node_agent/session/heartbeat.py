"""Keeps a lease alive from a thread of its own while the engine works in another."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from contracts.protocol.records import Lease
from node_agent.errors import BackendRefused, CallFailed, LeaseRejected

log = logging.getLogger(__name__)

_BEATS_A_LEASE = 3
_LEAST_PAUSE_S = 0.5
_JOIN_S = 1.0


class LeaseRenewal:
    """Renews a lease three times in its life, from `start` to `end`, or while a context lasts.

    A refusal ends the beating: whether an answer still counts is for the backend to say when it gets it. No answer
    does not: the next beat may come through. `expires` is when the lease ends as last granted, Unix seconds.
    """

    def __init__(self, lease: Lease, renew: Callable[[], Lease], clock: Callable[[], int]) -> None:
        self.order_id, self.expires = lease.order_id, lease.expires
        self._renew, self._clock = renew, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def end(self) -> None:
        """Beats no more."""
        self._over.set()
        self._thread.join(_JOIN_S)  # a call on its way may end later; it changes nothing any more

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _beat(self) -> None:
        while not self._over.wait(max(_LEAST_PAUSE_S, (self.expires - self._clock()) / _BEATS_A_LEASE)):
            try:
                self.expires = self._renew().expires
            except BackendRefused as error:
                if not self._over.is_set():
                    log.warning("lease of %s is not renewed: %s", self.order_id, error)
                return
            except (CallFailed, LeaseRejected) as error:
                log.warning("heartbeat of %s failed: %s", self.order_id, error)
