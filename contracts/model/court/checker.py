"""One step, its openings, and what the court says: consistent, or convicted. Who hands in no proof gets Unproven."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.court.encoding import Malformed
from contracts.court.layout import Layout
from contracts.court.numbers import Beyond
from contracts.model.court.operations import decoder, encoder
from contracts.model.court.operations.base import Operation, Spot
from contracts.model.court.reading import Claims, Handed, Reader, TraceReader, Unproven
from contracts.model.court.trees import Key, TreeOpening


@dataclass(frozen=True)
class Step:
    """Which element is looked at, by which kind of operation."""

    operation: str
    spot: Spot


@dataclass(frozen=True)
class CourtRuling:
    """What the chain computed. There is no acquittal: a consistent step says nothing of the others.

    Attributes:
        why: for people.
    """

    convicted: bool
    why: str = ""


def operations(layout: Layout) -> dict[str, Operation]:
    """The kinds of step of a text, by name."""
    found = (encoder if layout.text.config.encoder else decoder).operations(layout)
    return {operation.name: operation for operation in found}


class CourtCheck:
    """Rules on steps of one text, from any source of openings.

    Args:
        claims: what the case knows.
        source: where openings come from; each is proven once.
    """

    def __init__(self, claims: Claims, source: TraceReader) -> None:
        self.operations = operations(claims.layout)
        self._claims, self._reader = claims, Reader(claims, source)

    def ruling(self, step: Step) -> CourtRuling:
        """Recompute one element. Raises Unproven where there is no such step, or the openings prove nothing."""
        operation = self.operations.get(step.operation)
        if operation is None or not operation.has(self._claims.layout, step.spot):
            raise Unproven(f"this text has no step {step}")
        try:
            holds = operation.holds(self._reader, step.spot)
        except (Beyond, Malformed) as error:
            return CourtRuling(True, f"{step.operation}: {error}")
        return CourtRuling(
            not holds, "" if holds else f"{step.operation} at {step.spot} does not follow from what it reads"
        )


def judge(claims: Claims, step: Step, openings: Mapping[Key, TreeOpening]) -> CourtRuling:
    """Rule on a proof: one step and exactly the openings that it reads. Raises Unproven otherwise."""
    handed = Handed(openings)
    ruling = CourtCheck(claims, handed).ruling(step)
    if len(handed.used) != len(openings):
        raise Unproven(f"{len(openings) - len(handed.used)} openings are not of this step")
    return ruling
