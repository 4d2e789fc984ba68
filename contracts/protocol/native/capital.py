"""The sequential test: a bet against honesty, in integers.

Somebody starts with a stake of one and bets, token after token, that scores are larger than honest work's are. Where
the mean of a score, given all that came before, is at most m, a bet that multiplies the stake by

    1 + c (score / m - 1)        0 <= c <= 1

gains nothing on average: the stake is a non-negative supermartingale, and by Ville's inequality (1939) the chance that
it *ever* reaches x is at most 1 / x, however long it goes on and whenever one looks (Waudby-Smith and Ramdas 2024,
arXiv:2010.09686). So the reciprocal of a threshold is the false-alarm bound, and it needs no distribution, no
independence of scores, and no number of checks fixed beforehand: only that the bound of the mean holds.

The stake is spread over four bold- and four timid-to-bold bets (BETS, of distances and of margins alike), and over the
job that a node begins to cheat at: 1 / (j (j + 1)) of it is put down before the j-th job. What is put down later has
lost nothing to the honest jobs before. A sum of such stakes is one again.

Everything rounds down, which only ever helps the node.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.protocol.native.evidence import Evidence
from contracts.protocol.native.thresholds import Score, Thresholds

UNIT = 2**128
"""A stake of one."""

BETS = (1, 2, 4, 8)
"""Sixteenths: c. On each score."""

MOST = UNIT * 10**12
"""No bet is worth more: keeps the integers small, and less than it won is still no gain on average."""

_SIXTEENTHS = 16
_STRATEGIES = 2 * len(BETS)


@dataclass(frozen=True)
class Capital:
    """What the bets against one node are worth.

    Attributes:
        stakes: of each bet on distances, then of each bet on margins, in units of 1 / UNIT.
        jobs: how many jobs were bet on.
        peak: the most that all together were ever worth.
    """

    stakes: tuple[int, ...] = (0,) * _STRATEGIES
    jobs: int = 0
    peak: int = 0

    def after(self, evidence: Evidence, thresholds: Thresholds) -> "Capital":
        """The capital once another job was checked."""
        job = self.jobs + 1
        put_down = UNIT // (job * (job + 1) * _STRATEGIES)
        now, peak = tuple(stake + put_down for stake in self.stakes), self.peak
        for now in _course(now, evidence, thresholds):  # noqa: B020  # the last of the course, or what it began with
            peak = max(peak, sum(now))
        return Capital(now, job, peak)

    @property
    def worth(self) -> int:
        """Of all bets together, in units of 1 / UNIT."""
        return sum(self.stakes)


def job_course(evidence: Evidence, thresholds: Thresholds) -> Iterator[int]:
    """What a stake of one, all put down before this job, is worth after each of its tokens, in units of 1 / UNIT."""
    for stakes in _course((UNIT // _STRATEGIES,) * _STRATEGIES, evidence, thresholds):
        yield sum(stakes)


def _course(stakes: tuple[int, ...], evidence: Evidence, thresholds: Thresholds) -> Iterator[tuple[int, ...]]:
    of_distance = {value: numerators(thresholds.distance, value) for value in set(evidence.distances)}
    of_margin = {value: numerators(thresholds.margin, value) for value in set(evidence.margins_milli)}
    wholes = [_SIXTEENTHS * score.mean_ppm for score in (thresholds.distance, thresholds.margin) for _ in BETS]
    for distance, margin in zip(evidence.distances, evidence.margins_milli, strict=True):
        bets = zip(stakes, (*of_distance[distance], *of_margin[margin]), wholes, strict=True)
        stakes = tuple(min(MOST, stake * numerator // whole) for stake, numerator, whole in bets)
        yield stakes


def numerators(score: Score, value: int) -> tuple[int, ...]:
    """What each of BETS is multiplied by after a token, in parts of 16 * mean_ppm."""
    return tuple((_SIXTEENTHS - bet) * score.mean_ppm + bet * score.of(value) for bet in BETS)
