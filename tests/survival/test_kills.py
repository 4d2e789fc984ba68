"""Every program of the network killed with SIGKILL, again and again, while it works: nothing lost, nothing doubled."""

import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest

from tests.survival.doom import POINTS
from tests.survival.whole_network import NODES, VERIFIERS, Customers, WholeNetwork, whole_network
from tests.world.soak import short_or_long

pytestmark = pytest.mark.chain

KILLS = int(os.environ.get("ASSAY_KILLS", short_or_long("24", "96")))
LEAST_KILLS_A_KIND = short_or_long(3, 12)
LEAST_ORDERS = 15
READY = {
    "api": "Application startup complete",
    "worker": "worker started",
    "node": " serves ",
    "verifier": "watches escrow",
}
DRAIN_S = 300.0
"""An upper bound, not a pause: a case that nobody answers takes its windows, half a minute."""
KINDS = {"api": "api", "worker": "worker"} | dict.fromkeys(NODES, "node") | dict.fromkeys(VERIFIERS, "verifier")


@dataclass
class _Life:
    """Of one program. It is killed `lasts_s` after it was ready, if it did not die at its chosen place before; and
    `starts_at` is when the next life begins, once it is dead. `dies_young`: it is not waited for.
    """

    lasts_s: float
    dies_young: bool = False
    is_doomed: bool = False
    dies_at: float | None = None
    starts_at: float | None = None


class Reaper:
    """Kills programs at moments and places that a seed decides, and starts each again a little later."""

    def __init__(self, place: WholeNetwork, seed: int) -> None:
        self._place, self._dice = place, random.Random(seed)
        self._lives = {name: _Life(self._dice.uniform(0.5, 3.0)) for name in KINDS}
        self.kills: Counter[str] = Counter()
        self.at_points = 0
        self._points = {kind: cycle(self._dice.sample(points, len(points))) for kind, points in POINTS.items()}

    def reap(self) -> None:
        """Lets time pass until enough have died, of every kind, then leaves everybody alive and well."""
        while not self._has_enough():
            for name, life in self._lives.items():
                self._look(name, life, time.monotonic())
            time.sleep(0.02)
        for name, life in self._lives.items():
            if life.is_doomed or life.starts_at is not None:
                self._place.children[name].kill()
                self._place.start(name)

    def _has_enough(self) -> bool:
        deaths = self.kills.total() >= KILLS and min(self.kills[kind] for kind in POINTS) >= LEAST_KILLS_A_KIND
        return deaths and len(self._place.accepted) >= LEAST_ORDERS

    def _look(self, name: str, life: _Life, now: float) -> None:
        child = self._place.children[name]
        if life.starts_at is not None:
            if now >= life.starts_at:
                self._lives[name] = self._begin(name)
        elif not child.alive:
            assert life.is_doomed, f"{name} ended by itself\n{child.log_text()[-3000:]}"
            assert child.says("doom: dies at"), f"{name} ended by itself\n{child.log_text()[-3000:]}"
            self.at_points += 1
            self._bury(name, life, now)
        elif life.dies_at is None:
            if life.dies_young or child.says(READY[KINDS[name]]):
                life.dies_at = now + life.lasts_s
        elif now >= life.dies_at:
            child.kill()
            self._bury(name, life, now)

    def _bury(self, name: str, life: _Life, now: float) -> None:
        self.kills[KINDS[name]] += 1
        life.starts_at = now + self._dice.uniform(0.0, 0.6)

    def _begin(self, name: str) -> _Life:
        """Six of ten lives end at a place, each of them in turn, three at a moment of work, one while it starts."""
        choice = self._dice.random()
        if choice < 0.6:
            self._place.start(name, ASSAY_DOOM=f"{next(self._points[KINDS[name]])}:1")
            return _Life(self._dice.uniform(5.0, 10.0), is_doomed=True)
        self._place.start(name)
        return _Life(self._dice.uniform(0.1, 4.0)) if choice < 0.9 else _Life(self._dice.uniform(0.1, 1.0), True)


@pytest.mark.timeout(900)
def test_killed_again_and_again(tmp_path: Path) -> None:
    """Node, verifier, backend and worker die by SIGKILL at random moments and at the worst places (between journal and
    send, blob and commit, intent and broadcast): each order ends once, books and chain agree to the wei.

    The seed is printed; ASSAY_SEED repeats its plan, ASSAY_KILLS changes the number of deaths.

    Covers: A16, A43, A45, A56
    """
    seed = int(os.environ.get("ASSAY_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"ASSAY_SEED={seed}")  # noqa: T201  (shown when the test fails)
    with whole_network(tmp_path) as place:
        place.start_all()
        customers = Customers(place, 0.1)
        customers.start()
        reaper = Reaper(place, seed)
        reaper.reap()
        customers.enough.set()
        customers.join(60)
        place.wait_for(place.is_up)
        place.wait_for(place.at_rest, DRAIN_S)
        ends = place.check()
    print(  # noqa: T201
        f"{dict(reaper.kills)}, {reaper.at_points} at chosen places; paid {len(ends.paid)}, void {len(ends.void)}, "
        f"expired {len(ends.expired)}; orders that found it dead: {len(customers.failed)}"
    )
    assert reaper.kills.total() >= KILLS
    assert len(ends.paid) >= LEAST_ORDERS // 2
