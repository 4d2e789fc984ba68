"""A network is up once a job was answered: ordered like any other, lent to the node, computed, delivered.

Each start orders one word, paid from the lane for newcomers' first jobs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from backend.client.errors import BackendUnavailable, Refused
from backend.client.jobs import AssayClient
from contracts.onchain.keystore import load_key
from deploy.localnet import workload
from deploy.localnet.network import Network
from deploy.localnet.up.errors import NotAnswered

QUIET_S = 8.0
"""A progress line follows after so long without one."""

MOST_FAILURES = 3
"""A node that ended so often within the wait will not recover by itself."""

_PAUSE_S = 0.5
_ORDERED_WITHIN_S = 60.0
"""The backend learns of the lane a few blocks after it was founded."""
_ANSWERED = ("delivered", "rooted", "paid", "void", "skipped")
_LAST_LINES = 3
_CLUES = (" ERROR ", " WARNING ", "Error:", "Error ")

TEXT = "Is anybody there?"


class CanaryOrder:
    """An order of one word, from a network's own canary lane. Call it for its state until it is answered."""

    def __init__(self, network: Network) -> None:
        backend = network.party("backend")
        signer = load_key(backend.key("canary"), backend.password)
        self._client = AssayClient(network.backend_url, signer)
        self._order_id: str | None = None

    def __call__(self) -> str:
        """The backend's state of it; "not taken by the backend yet (why)" before it is ordered."""
        try:
            if self._order_id is None:
                self._order_id = self._client.submit(TEXT, workload.GENERATION, max_new_tokens=1).order_id
            return self._client.order(self._order_id).state
        except (Refused, BackendUnavailable) as error:
            return f"not taken by the backend yet ({error})"

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()


@dataclass
class FirstAnswer:
    """Waits for a job to be answered.

    Args:
        state: of the order, see CanaryOrder.
        failures: how often the node ended since it was started.
        tick: keeps the network running meanwhile; is given the clock's time.
        say: tells people.
        node_log: the node's log of failures; earlier lines are ignored.
    """

    state: Callable[[], str]
    failures: Callable[[], int]
    tick: Callable[[float], None]
    say: Callable[[str], None]
    node_log: Path
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _from: int = field(init=False)

    def __post_init__(self) -> None:
        self._from = self.node_log.stat().st_size if self.node_log.exists() else 0

    def wait(self) -> float:
        """Waits for the answer and returns its duration, seconds. Raises NotAnswered if there will be none."""
        start = said_at = self.clock()
        while (state := self.state()) not in _ANSWERED:
            now = self.clock()
            self.tick(now)
            failures, never_taken = self.failures(), state.startswith("not ") and now - start > _ORDERED_WITHIN_S
            if state == "expired" or failures >= MOST_FAILURES or never_taken:
                raise NotAnswered(state, now - start, failures, self.last_words(), self.node_log)
            if now - said_at >= QUIET_S:
                said_at = now
                self.say(f"waiting for the node's first answer: the order is {state} ({now - start:.0f} s)")
            self.pause(_PAUSE_S)
        return self.clock() - start

    def last_words(self) -> str:
        """The node's last report of a failure since this object was made; any last line if there is none."""
        if not self.node_log.exists():
            return "none"
        with self.node_log.open("rb") as file:
            file.seek(self._from)
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        clues = [line for line in lines if any(clue in line for clue in _CLUES)]
        newest = dict.fromkeys(reversed(clues or lines))  # a node that is started again repeats itself
        return " | ".join(list(newest)[:_LAST_LINES][::-1]) or "none"
