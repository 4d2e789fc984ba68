"""What follows for a node from all checks of it: clear, on watch, or withheld. Pure and integer.

It withholds leases, lowers reputation and raises the rate of checks. It never slashes: nothing here is evidence for a
court, and floats convict nobody.

**Bound.** An honest node is withheld, ever in its life, with a chance of at most 1 / WITHHELD_AT = 1e-6, as long as the
thresholds' bounds of the means hold for the work it is given (`capital.py`).

**No verifier alone.** A verifier that lies about its fingerprint or margins can make anyone look bad. So the capital is
computed once for each verifier without what that one said, and the smallest counts: nobody is withheld on the word of
one. A verifier that abstains says nothing and changes nothing.
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
"""After a suspect job a node stays on watch for so many checks."""

WATCH_RATE_PPM = 500_000


class State(StrEnum):
    """What a node may expect."""

    CLEAR = "clear"
    WATCH = "watch"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Standing:
    """What follows.

    Attributes:
        state: see the module.
        least_rate_ppm: the rate at which this node's jobs are checked at least; the deterrence bound may ask for more.
        reputation_ppm: what assignment weighs it by: a sixth less for every factor of ten that the bets have won.
        checks: how many said anything; who abstained is not counted.
        suspect: how many of the last WATCH_CHECKS of them were suspect.
        watch_left: how many more, none of them suspect, until none of the last WATCH_CHECKS is.
    """

    state: State
    least_rate_ppm: int
    reputation_ppm: int
    checks: int = 0
    suspect: int = 0
    watch_left: int = 0

    @property
    def leases(self) -> bool:
        """Whether new jobs are given to it."""
        return self.state is not State.WITHHELD


CLEAR = Standing(State.CLEAR, 0, WHOLE_PPM)
"""Of whoever was not checked yet."""


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
    """Of the last WATCH_CHECKS, how many checks came after each suspect one."""
    recent = (judge(check.evidence, check.thresholds).finding for check in reversed(history[-WATCH_CHECKS:]))
    return [age for age, finding in enumerate(recent) if finding is Finding.SUSPECT]


def _capital(checks: Iterable[Check]) -> Capital:
    capital = Capital()
    for check in checks:
        if check.thresholds is not None:
            capital = capital.after(check.evidence, check.thresholds)
    return capital


def _reputation_ppm(worth: int) -> int:
    """A million while the bets are worth less than ten times their stake, a sixth less for each further factor."""
    tens = len(str(max(1, worth // UNIT))) - 1
    return max(0, WHOLE_PPM - tens * WHOLE_PPM // 6)
