"""The verdict on one job: accept, inconclusive or suspect. Pure and integer; says nothing about money."""

from enum import StrEnum

from contracts.protocol.native.evidence import Evidence
from contracts.protocol.native.sequential_test import UNIT, job_course, scored
from contracts.protocol.native.thresholds import VERSION, Score, Thresholds
from contracts.protocol.records import Record

SUSPECT_AT = 10_000
"""The worth at which a job is suspect. An honest job reaches it with a chance of at most 1e-4."""

LEAST_TOKENS = 16
"""Fewer tokens are never accepted: nothing could have been noticed."""


class Finding(StrEnum):
    """The verdict on a job."""

    ACCEPT = "accept"
    INCONCLUSIVE = "inconclusive"
    SUSPECT = "suspect"


class Judgement(Record):
    """A verdict on a job, with what it rests on.

    Attributes:
        version: of the arithmetic.
        tokens: how many were compared.
        worth: the highest worth of a stake of one on this job, rounded down.
        caught_at: after how many tokens it reached SUSPECT_AT; None if never.
        distance_ppm, margin_ppm, outlier_ppm: the mean scores.
    """

    version: int
    finding: Finding
    tokens: int
    worth: int
    caught_at: int | None
    distance_ppm: int
    margin_ppm: int
    outlier_ppm: int


def judge(evidence: Evidence, thresholds: Thresholds | None) -> Judgement:
    """The verdict on a job.

    Accepted if all mean scores are within the bounds of honest work; suspect if the bet on this job alone was won, or
    the answer is not well formed; else inconclusive, as with too few tokens or without thresholds.
    """
    if thresholds is None or not evidence.tokens:
        finding = Finding.INCONCLUSIVE if evidence.well_formed else Finding.SUSPECT
        return Judgement(
            version=VERSION, finding=finding, tokens=evidence.tokens, worth=0, caught_at=None,
            distance_ppm=0, margin_ppm=0, outlier_ppm=0,
        )  # fmt: skip
    course = list(job_course(evidence, thresholds))
    caught = next((token for token, worth in enumerate(course, start=1) if worth >= SUSPECT_AT * UNIT), None)
    scores = scored(evidence, thresholds)
    means = [mean_ppm(score, values) for score, values in scores]
    within = all(mean <= score.mean_ppm for mean, (score, _) in zip(means, scores, strict=True))
    if caught is not None or not evidence.well_formed:
        finding = Finding.SUSPECT
    elif within and evidence.tokens >= LEAST_TOKENS:
        finding = Finding.ACCEPT
    else:
        finding = Finding.INCONCLUSIVE
    return Judgement(
        version=VERSION, finding=finding, tokens=evidence.tokens, worth=max(course) // UNIT, caught_at=caught,
        distance_ppm=means[0], margin_ppm=means[1], outlier_ppm=means[2],
    )  # fmt: skip


def mean_ppm(score: Score, values: tuple[int, ...]) -> int:
    """The mean score of some tokens, in parts per million, rounded down."""
    return sum(map(score.of, values)) // len(values)
