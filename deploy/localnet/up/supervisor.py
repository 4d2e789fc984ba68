"""Keeps the programs of a network running: starts and stops them in order, and restarts any that ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.onchain.errors import ChainError
from deploy.localnet.processes import Processes, ProcessFailed

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_STEADY_S = 60.0
"""After running this long a program's waits start from the first again."""


@dataclass
class Service:
    """A program. `start` starts it, also repeatedly; it may take a few seconds."""

    name: str
    start: Callable[[], None]
    end_wait_s: float = 10.0
    failures: int = 0
    started_at: float = 0.0
    again_at: float | None = None


class Supervisor:
    """The programs of a network, each after those that it needs."""

    def __init__(self, processes: Processes, services: Sequence[Service], say: Callable[[str], None]) -> None:
        self._processes, self._services, self._say = processes, list(services), say

    def start_all(self) -> None:
        """Starts all stopped ones. Raises ProcessFailed."""
        for service in self._services:
            if service.name not in self._processes.running:
                service.start()
            service.started_at = time.monotonic()

    def tick(self, now: float) -> None:
        """Reports programs that ended, and restarts them, each time after a longer wait. `now`: monotonic seconds."""
        ended = self._processes.ended()
        for service in self._services:
            if service.name in ended and service.again_at is None:
                self._note_end(service, ended[service.name], now)
            if service.again_at is not None and now >= service.again_at:
                self._start_again(service, now)

    def failures(self, name: str) -> int:
        """How often a program ended by itself, without a steady minute in between."""
        return next(service.failures for service in self._services if service.name == name)

    def stop_all(self) -> None:
        """Stops all, the last started first, each with its own deadline."""
        for service in reversed(self._services):
            self.stop(service)

    def stop(self, service: Service) -> None:
        """Stops one, gently at first."""
        if service.name not in self._processes.running:
            return
        if not self._processes.stop(service.name, wait_s=service.end_wait_s):
            self._say(f"{service.name} did not stop within {service.end_wait_s:.0f} s and was killed")

    def _note_end(self, service: Service, code: int, now: float) -> None:
        if now - service.started_at > _STEADY_S:
            service.failures = 0
        wait = min(_FIRST_WAIT_S * 2**service.failures, _LONGEST_WAIT_S)
        service.failures, service.again_at = service.failures + 1, now + wait
        log = self._processes.logs / f"{service.name}.log"
        self._say(f"{service.name} ended ({_how(code)}) and is started again in {wait:.0f} s; why is in {log}")

    def _start_again(self, service: Service, now: float) -> None:
        try:
            service.start()
        except (ProcessFailed, ChainError) as error:
            self._say(f"{service.name} did not start: {str(error).splitlines()[0]}")
            self._note_end(service, 1, now)
            return
        service.again_at, service.started_at = None, now
        self._say(f"{service.name} runs again")


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
