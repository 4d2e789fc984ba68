"""The sequential test: a bet against honesty, in integers.

A gambler starts with a stake of one and bets, token after token, that scores are larger than those of honest work. If
the mean of a score, given everything before, is at most m, a bet that multiplies the stake by

    1 + c (score / m - 1)        0 <= c <= 1

gains nothing on average: the stake is a non-negative supermartingale, and by Ville's inequality (1939) the chance that
it *ever* reaches x is at most 1 / x, however long it goes on and whenever one looks (Waudby-Smith and Ramdas 2024,
arXiv:2010.09686). So the reciprocal of a threshold is the false-alarm bound, and it needs no distribution, no
independence of scores, and no number of checks fixed beforehand: only that the bound of the mean holds.

The stake is spread over timid to bold bets (BETS) on each of the three scores, and over the job at which a node starts
to cheat: 1 / (j (j + 1)) of it is placed before the j-th job, so that it has lost nothing to the honest jobs before. A
sum of such stakes is a supermartingale again.

Everything rounds down, which can only help the node.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from contracts.protocol.native.evidence import Evidence
from contracts.protocol.native.thresholds import Score, Thresholds

UNIT = 2**128
"""A stake of one."""

BETS = (2, 8, 32, 128)
"""c in parts of 256, for each score. The best is about the share of tokens that a cheat has wrong."""

MOST = UNIT * 10**12
"""A cap on each bet keeps the integers small. Capped winnings still gain nothing on average."""

_PARTS = 256
_STRATEGIES = 3 * len(BETS)


@dataclass(frozen=True)
class Capital:
    """What the bets against one node are worth.

    Attributes:
        stakes: of each bet on distances, then margins, then outliers, in units of 1 / UNIT.
        jobs: how many jobs were bet on.
        peak: the highest total ever.
    """

    stakes: tuple[int, ...] = (0,) * _STRATEGIES
    jobs: int = 0
    peak: int = 0

    def after(self, evidence: Evidence, thresholds: Thresholds) -> "Capital":
        """The capital after another checked job."""
        job = self.jobs + 1
        put_down = UNIT // (job * (job + 1) * _STRATEGIES)
        now, peak = tuple(stake + put_down for stake in self.stakes), self.peak
        for now in _course(now, evidence, thresholds):  # noqa: B020  # the last of the course, or what it began with
            peak = max(peak, sum(now))
        return Capital(now, job, peak)

    @property
    def worth(self) -> int:
        """The total of all bets, in units of 1 / UNIT."""
        return sum(self.stakes)


def job_course(evidence: Evidence, thresholds: Thresholds) -> Iterator[int]:
    """The worth of a stake of one, placed before this job, after each of its tokens, in units of 1 / UNIT."""
    for stakes in _course((UNIT // _STRATEGIES,) * _STRATEGIES, evidence, thresholds):
        yield sum(stakes)


def _course(stakes: tuple[int, ...], evidence: Evidence, thresholds: Thresholds) -> Iterator[tuple[int, ...]]:
    wholes = [_PARTS * score.mean_ppm for score, _ in scored(evidence, thresholds) for _ in BETS]
    factors = [
        [known[value] for value in values]
        for score, values in scored(evidence, thresholds)
        for known in ({value: numerators(score, value) for value in set(values)},)
    ]
    for of_token in zip(*factors, strict=True):
        bets = zip(stakes, chain.from_iterable(of_token), wholes, strict=True)
        stakes = tuple(min(MOST, stake * numerator // whole) for stake, numerator, whole in bets)
        yield stakes


def scored(evidence: Evidence, thresholds: Thresholds) -> tuple[tuple[Score, tuple[int, ...]], ...]:
    """The three scores with their values, one per token."""
    return (
        (thresholds.distance, evidence.distances),
        (thresholds.margin, evidence.margins_milli),
        (thresholds.outlier, evidence.margins_milli),
    )


def numerators(score: Score, value: int) -> tuple[int, ...]:
    """The factor of each of BETS after a token, in parts of 256 * mean_ppm."""
    return tuple((_PARTS - bet) * score.mean_ppm + bet * score.of(value) for bet in BETS)
