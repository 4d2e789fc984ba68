"""What the raw data of pairs shows: who is caught after how many tokens, and how honest work fares on fresh texts,
that no threshold has seen.

Verdict arithmetic is the verifier's own, in integers. Lives of a node are its texts, one a job, drawn with
replacement by a generator of fixed seed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from statistics import median
from typing import Any

from bench.native.raw import PairData
from bench.native.texts import KINDS, kind_of
from contracts.protocol.native import (
    UNIT,
    WITHHELD_AT,
    Capital,
    Evidence,
    Finding,
    Thresholds,
    judge,
)

SEED = 5
LIVES, MOST_TOKENS = 50, 10_000
HONEST_JOBS_BEFORE = 200


@dataclass(frozen=True)
class Caught:
    """Attributes: `share`: of lives that end withheld within MOST_TOKENS; `tokens`: checked until then, in order."""

    share: float
    tokens: list[int]

    def record(self) -> dict[str, Any]:
        """As it stands in the results: the median, the 95th of a hundred, the worst of those that were caught."""
        if not self.tokens:
            return {"withheld_share": self.share}
        at95 = self.tokens[min(len(self.tokens) - 1, 95 * len(self.tokens) // 100)]
        spread = {"median": median(self.tokens), "p95": at95, "worst": self.tokens[-1]}
        return {"withheld_share": self.share, "tokens_until_withheld": spread}


def cheat(texts: Sequence[Evidence], thresholds: Thresholds, honest: Sequence[Evidence]) -> dict[str, Any]:
    """How a cheat fares: job by job, over a life of cheating, and when it cheats after a life of honest work."""
    judged = [judge(text, thresholds) for text in texts]
    caught = sorted(judgement.caught_at for judgement in judged if judgement.caught_at is not None)
    return {
        "texts": len(texts),
        "tokens": sum(text.tokens for text in texts),
        "distance_ppm": sum(j.distance_ppm for j in judged) // len(judged),
        "margin_ppm": sum(j.margin_ppm for j in judged) // len(judged),
        "findings": _findings(texts, thresholds),
        "suspect_within_tokens": {"median": median(caught), "worst": caught[-1]} if caught else None,
        "from_the_start": withheld(texts, thresholds, Capital()).record(),
        "after_honest_jobs": withheld(texts, thresholds, _past(honest, thresholds)).record(),
    }


def withheld(texts: Sequence[Evidence], thresholds: Thresholds, before: Capital) -> Caught:
    """Lives of one cheat until it is withheld."""
    found = []
    for life in range(LIVES):
        tokens = _until_withheld(_drawn(texts, life), thresholds, before)
        if tokens is not None:
            found.append(tokens)
    return Caught(len(found) / LIVES, sorted(found))


def _until_withheld(jobs: Iterator[Evidence], thresholds: Thresholds, capital: Capital) -> int | None:
    tokens = 0
    while tokens < MOST_TOKENS:
        job = next(jobs)
        tokens += job.tokens
        capital = capital.after(job, thresholds)
        if capital.peak >= WITHHELD_AT * UNIT:
            return tokens
    return None


def _past(honest: Sequence[Evidence], thresholds: Thresholds) -> Capital:
    capital, jobs = Capital(), _drawn(honest, -1)
    for _ in range(HONEST_JOBS_BEFORE):
        capital = capital.after(next(jobs), thresholds)
    return capital


def _drawn(texts: Sequence[Evidence], life: int) -> Iterator[Evidence]:
    drawing = random.Random(f"{SEED}/{life}")
    while True:
        yield drawing.choice(texts)


def honest(data: PairData, thresholds: Thresholds, jobs: int, lives: int) -> dict[str, Any]:
    """Honest lives on fresh texts: of all kinds mixed, and of each kind alone, as if a requester sent nothing else.

    Args:
        data: of an honest pair.
        thresholds: of that pair.
        jobs: of a life.
        lives: of each diet.
    """
    diets = {"mixed": data.fresh} | {kind: list(_of_kind(data, kind)) for kind in KINDS}
    findings = {kind: _findings(diets[kind], thresholds) for kind in KINDS}
    fared = [_life(texts, thresholds, jobs, life) for texts in diets.values() for life in range(lives)]
    peak = max(each.peak for each in fared)
    return {
        "checks": len(fared) * jobs,
        "lives": len(fared),
        "withheld": sum(each.peak >= WITHHELD_AT * UNIT for each in fared),
        "highest_peak": round(peak / UNIT, 4),
        "peak_log10": round(log10(max(peak, 1) / UNIT), 2),
        "fresh_texts": findings,
        "most_that_a_job_was_worth": max(judge(text, thresholds).worth for text in data.fresh),
    }


def _of_kind(data: PairData, kind: str) -> Iterator[Evidence]:
    before = len(data.calibrating)
    return (text for index, text in enumerate(data.fresh, start=before) if kind_of(index) == kind)


def _findings(texts: Sequence[Evidence], thresholds: Thresholds) -> dict[str, int]:
    judged = [judge(text, thresholds).finding for text in texts]
    return {finding.value: judged.count(finding) for finding in Finding}


def _life(texts: Sequence[Evidence], thresholds: Thresholds, jobs: int, life: int) -> Capital:
    capital, drawn = Capital(), _drawn(texts, life)
    for _ in range(jobs):
        capital = capital.after(next(drawn), thresholds)
    return capital
