"""Renews a lease from a thread of its own while the engine works in another."""

import logging
import threading
from collections.abc import Callable

from contracts.protocol.records import Lease
from node_agent.errors import BackendRefused, CallFailed, LeaseRejected

log = logging.getLogger(__name__)

_BEATS_A_LEASE = 3
_LEAST_PAUSE_S = 0.5
_JOIN_S = 1.0


class LeaseRenewal:
    """Renews a lease three times per lease length, from `start` to `end`.

    A refusal ends the renewals: the backend decides whether a late answer counts. Without an answer the next renewal is
    tried. `expires`: when the lease as last granted ends, Unix seconds.
    """

    def __init__(self, lease: Lease, renew: Callable[[], Lease], clock: Callable[[], int]) -> None:
        self.order_id, self.expires = lease.order_id, lease.expires
        self._renew, self._clock = renew, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(_JOIN_S)  # a call under way may end later, without effect

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
