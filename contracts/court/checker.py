"""One step, its openings, and what the court says: consistent, or convicted. Who hands in no proof gets Unproven."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.court.encoding import Malformed
from contracts.court.layout import Layout
from contracts.court.numbers import Beyond
from contracts.court.operations import decoder, encoder
from contracts.court.operations.base import Operation, Spot
from contracts.court.reading import Claims, Handed, Reader, Source, Unproven
from contracts.court.trees import Key, Opening


@dataclass(frozen=True)
class Step:
    """Which element is looked at, by which kind of operation."""

    operation: str
    spot: Spot


@dataclass(frozen=True)
class Ruling:
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


def judge(claims: Claims, step: Step, openings: Mapping[Key, Opening]) -> Ruling:
    """Recompute one element from a proof's openings. Raises Unproven if they prove nothing, or more was handed in."""
    handed = Handed(openings)
    ruling = examine(claims, operations(claims.layout), step, handed)
    if len(handed.used) != len(openings):
        raise Unproven(f"{len(openings) - len(handed.used)} openings are not of this step")
    return ruling


def examine(claims: Claims, known: Mapping[str, Operation], step: Step, source: Source) -> Ruling:
    """The ruling on a step, whose openings are taken from any source; `known` are the operations of its layout.

    Raises Unproven.
    """
    if step.operation not in known:
        raise Unproven(f"there is no operation {step.operation!r}")
    if not known[step.operation].has(claims.layout, step.spot):
        raise Unproven(f"{step.operation} has no step at {step.spot}")
    try:
        holds = known[step.operation].holds(Reader(claims, source), step.spot)
    except (Beyond, Malformed) as error:
        return Ruling(True, f"{step.operation}: {error}")
    return Ruling(not holds, "" if holds else f"{step.operation} at {step.spot} does not follow from what it reads")
