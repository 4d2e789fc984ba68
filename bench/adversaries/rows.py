"""A row of the table, and the interval around a rate."""

from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Caught:
    """How often a check shows one way to cheat.

    Attributes:
        name: of the cheat.
        how: what it does.
        tried: jobs that were answered in this way.
        wrong: those of them whose answer is not the right one; what is right is no cheat.
        caught: wrong ones that a check shows.
        tokens: of each one caught, position of the first token that shows it, counted from 1.
        gaps: tokens checked from one that was caught to the next, those of right answers between them included.
    """

    name: str
    how: str
    tried: int
    wrong: int
    caught: int
    tokens: tuple[int, ...] = ()
    gaps: tuple[int, ...] = ()

    def record(self) -> dict[str, Any]:
        """As it stands in the file, with the rate and its interval."""
        low, high = interval(self.caught, self.wrong)
        return asdict(self) | {"rate": self.caught / self.wrong if self.wrong else None, "interval": [low, high]}


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of a rate at CONFIDENCE (J. Am. Stat. Assoc. 22, 1927)."""
    if of == 0:
        return 0.0, 1.0
    z, rate = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), hits / of
    middle, half = rate + z * z / (2 * of), z * sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))
