"""A node's standing after all checks of it: clear, on watch, or withheld. Pure and integer.

A worse standing withholds leases, lowers reputation and raises the rate of checks. It never slashes: floats are no
evidence for the court.

**Bound.** An honest node is ever withheld with a chance of at most 1 / WITHHELD_AT = 1e-6, as long as the thresholds'
bounds of the means hold for its work (`sequential_test.py`).

**No single verifier.** A verifier that lies about its fingerprint or margins can make anyone look bad. So the capital
is computed once without each verifier, and the smallest counts: one verifier alone withholds nobody. Abstentions change
nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from contracts.protocol.native.check import Check
from contracts.protocol.native.sequential_test import UNIT, Capital
from contracts.protocol.native.thresholds import WHOLE_PPM
from contracts.protocol.native.verdict import Finding, judge

WITHHELD_AT = 1_000_000
WATCHED_AT = 100
WATCH_CHECKS = 64
"""How many checks a node stays on watch after a suspect job."""

WATCH_RATE_PPM = 500_000


class State(StrEnum):
    """See the module."""

    CLEAR = "clear"
    WATCH = "watch"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Standing:
    """Attributes:
    least_rate_ppm: the lowest rate at which this node's jobs are checked; the deterrence bound may be higher.
    reputation_ppm: its weight in assignment: a sixth less for each factor of ten that the bets have won.
    checks: how many were not abstentions.
    suspect: how many of the last WATCH_CHECKS of these were suspect.
    watch_left: how many more without a suspect one until none of the last WATCH_CHECKS is suspect.
    """

    state: State
    least_rate_ppm: int
    reputation_ppm: int
    checks: int = 0
    suspect: int = 0
    watch_left: int = 0

    @property
    def leases(self) -> bool:
        """Whether it gets new jobs on native workloads."""
        return self.state is not State.WITHHELD


CLEAR = Standing(State.CLEAR, 0, WHOLE_PPM)
"""The standing before the first check."""


def standing(checks: Iterable[Check]) -> Standing:
    """The standing after a node's checks, oldest first."""
    history = list(checks)
    verifiers = {check.verifier for check in history}
    without = [[check for check in history if check.verifier != name] for name in verifiers] or [[]]
    states = [_capital(some) for some in without]
    peak, worth = min(each.peak for each in states), min(each.worth for each in states)
    broken = sum(not check.evidence.well_formed for check in history)
    malformed = broken and len({check.verifier for check in history if not check.evidence.well_formed}) > 1
    ages, compared = _suspect_ages(history), sum(map(_says_something, history))
    counted = compared, len(ages), WATCH_CHECKS - min(ages, default=WATCH_CHECKS)
    if peak >= WITHHELD_AT * UNIT or malformed:
        return Standing(State.WITHHELD, WHOLE_PPM, 0, *counted)
    watched = worth >= WATCHED_AT * UNIT or ages
    state, rate = (State.WATCH, WATCH_RATE_PPM) if watched else (State.CLEAR, 0)
    return Standing(state, rate, _reputation_ppm(worth), *counted)


def _says_something(check: Check) -> bool:
    return check.evidence.tokens > 0 or not check.evidence.well_formed


def _suspect_ages(history: list[Check]) -> list[int]:
    """For each suspect one among the last WATCH_CHECKS, how many checks came after it."""
    recent = (judge(check.evidence, check.thresholds).finding for check in reversed(history[-WATCH_CHECKS:]))
    return [age for age, finding in enumerate(recent) if finding is Finding.SUSPECT]


def _capital(checks: Iterable[Check]) -> Capital:
    capital = Capital()
    for check in checks:
        if check.thresholds is not None:
            capital = capital.after(check.evidence, check.thresholds)
    return capital


def _reputation_ppm(worth: int) -> int:
    """A million while the bets are worth less than ten times their stake; a sixth less per factor of ten above."""
    tens = len(str(max(1, worth // UNIT))) - 1
    return max(0, WHOLE_PPM - tens * WHOLE_PPM // 6)
