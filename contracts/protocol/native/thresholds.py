"""How much honest hosts of two classes differ: measured, bounded, and stored with the digest of the measured data.

A **score** maps a distance or a margin to 0 to 1 (in parts per million): 0 up to `low`, 1 from `high`, linear between.
For honest work its mean is small; `mean_ppm` bounds it. There are three scores: of distances, of margins, and of
*outliers*, which are margins larger than any measured in honest work. The bound is the largest of

- the upper confidence limit of the mean over texts, at 1 - DOUBT, by Chernoff's inequality for bounded variables
  (Hoeffding 1963, theorem 1): the least m with n kl(mean / r, m / r) >= ln(1 / DOUBT). The n texts are taken as
  independent, and no text as more than SPREAD times as noisy as the worst measured one: r is that;
- the mean of the worst measured text, so that no text like it counts against its node;
- LEAST_MEAN_PPM, for outliers LEAST_OUTLIER_PPM, where almost nothing was measured.

Usually the second decides. It is several times the mean, which leaves room for texts unlike the measured ones. For
outliers the third decides: they begin at the largest margin of the same texts, so their measured mean says nothing, and
LEAST_OUTLIER_PPM is an assumption, tested on fresh texts (bench/results/native.json) and not derived from them.

Logarithms are `decimal`'s, which round correctly: the same data give everyone the same thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Annotated

from pydantic import Field

from contracts.protocol.native.evidence import Evidence
from contracts.protocol.records import Record

VERSION = 2
"""Of all verdict arithmetic in this package. Each verdict names its version."""

WHOLE_PPM = 1_000_000
DOUBT = Decimal("0.001")
"""The chance that the limit of a mean is too low, for each score of a pair."""

SPREAD = 4
LEAST_MEAN_PPM = 10_000
LEAST_OUTLIER_PPM = 2_000
"""One token in 500 may be an outlier though none was measured: room for texts unlike the measured ones."""

LEAST_TEXT = 16
"""In tokens. A shorter text does not show how far off a text can be."""

LEAST_TEXTS = 30
"""The worst of fewer texts says too little about the worst possible."""

LEAST_MARGIN_MILLI = 50
"""The lowest margin with a full score: smaller ones are near ties that any rounding can turn."""

LEAST_DISTANCE = 8
"""The same for distances, in steps."""

MOST_MEAN_PPM = 500_000
"""If honest work scores more than this on average, it cannot be told from cheating."""

_CONTEXT = Context(prec=40)
_Natural = Annotated[int, Field(strict=True, ge=0)]


class Score(Record):
    """A ramp, and the bound on its mean over honest work."""

    low: _Natural
    high: Annotated[int, Field(strict=True, gt=0)]
    mean_ppm: Annotated[int, Field(strict=True, gt=0, le=MOST_MEAN_PPM)]

    def of(self, value: int) -> int:
        """The score of a distance or margin, in parts per million, rounded down. Monotonic."""
        return min(WHOLE_PPM, max(0, value - self.low) * WHOLE_PPM // (self.high - self.low))


class Thresholds(Record):
    """For one model and one pair of classes.

    Attributes:
        version: of the arithmetic, `VERSION`.
        node_class, verifier_class: hex digests of calibrations (`node_agent.execution.native.calibration`).
        data_sha256: of the file with the measured data.
        texts, tokens: how much was measured.
    """

    version: Annotated[int, Field(strict=True, ge=1)]
    weights_sha256: str
    node_class: str
    verifier_class: str
    data_sha256: str
    texts: _Natural
    tokens: _Natural
    distance: Score
    margin: Score
    outlier: Score


@dataclass(frozen=True)
class Pair:
    """The classes of node and verifier, the model and the data, as hex digests."""

    weights_sha256: str
    node_class: str
    verifier_class: str
    data_sha256: str


def calibrate(texts: Sequence[Evidence], pair: Pair) -> Thresholds:
    """Thresholds from honest work, one `Evidence` per text. Raises ValueError for too little data."""
    distances = [text.distances for text in texts]
    margins = [text.margins_milli for text in texts]
    low = _quantile(distances, 950_000)
    distance = (low, low + max(LEAST_DISTANCE, low))
    margin = (0, max(LEAST_MARGIN_MILLI, _quantile(margins, 999_000)))
    largest = max(LEAST_MARGIN_MILLI, _quantile(margins, WHOLE_PPM))
    return Thresholds(
        version=VERSION,
        **vars(pair),
        texts=len(texts),
        tokens=sum(text.tokens for text in texts),
        distance=_score(distances, *distance, LEAST_MEAN_PPM),
        margin=_score(margins, *margin, LEAST_MEAN_PPM),
        outlier=_score(margins, largest, 2 * largest, LEAST_OUTLIER_PPM),
    )


def _score(texts: Sequence[Sequence[int]], low: int, high: int, least_ppm: int) -> Score:
    ramp = Score(low=low, high=high, mean_ppm=1)
    means = [sum(map(ramp.of, text)) // len(text) for text in texts if len(text) >= LEAST_TEXT]
    if len(means) < LEAST_TEXTS:
        raise ValueError(f"{len(means)} texts have {LEAST_TEXT} tokens or more, thresholds take {LEAST_TEXTS}")
    reach = min(WHOLE_PPM, SPREAD * max(least_ppm, *means))
    share = -(-sum(means) * WHOLE_PPM // (len(means) * reach))
    limit = -(-upper_limit_ppm(share, len(means)) * reach // WHOLE_PPM)
    return Score(low=low, high=high, mean_ppm=max(limit, least_ppm, *means))


def upper_limit_ppm(mean_ppm: int, count: int) -> int:
    """The least m >= mean with count * kl(mean, m) >= ln(1 / DOUBT), in parts per million; at most a million."""
    enough = -_CONTEXT.ln(DOUBT) / count
    low, high = mean_ppm, WHOLE_PPM
    while low < high:
        middle = (low + high) // 2
        if _kl(mean_ppm, middle) >= enough:
            high = middle
        else:
            low = middle + 1
    return low


def _kl(left_ppm: int, right_ppm: int) -> Decimal:
    """The Kullback-Leibler divergence of two coins, in nats; 0 < right < 1 or equal to left."""
    total = Decimal(0)
    for p, q in ((left_ppm, right_ppm), (WHOLE_PPM - left_ppm, WHOLE_PPM - right_ppm)):
        if p and not q:
            return Decimal("Infinity")
        if p:
            total += _CONTEXT.multiply(Decimal(p), _CONTEXT.ln(_CONTEXT.divide(Decimal(p), Decimal(q))))
    return total / WHOLE_PPM


def _quantile(texts: Sequence[Sequence[int]], ppm: int) -> int:
    """The smallest value that this share of all tokens does not exceed."""
    ordered = sorted(value for text in texts for value in text)
    return ordered[max(0, -(-len(ordered) * ppm // WHOLE_PPM) - 1)]
