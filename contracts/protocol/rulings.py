"""The ruling of a case by the stake behind each opened answer (SPEC section 8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Ruling(IntEnum):
    """SlashingCourt's rulings."""

    OPEN = 0
    DISMISSED = 1
    NODE_UPHELD = 2
    NODE_GUILTY = 3


@dataclass(frozen=True)
class OpenedAnswer:
    """One of a case's different answers.

    Attributes:
        stake_units: of its openers, in the case's snapshot.
        openers: how many verifiers opened it.
        agrees: whether the node committed to it.
    """

    stake_units: int
    openers: int
    agrees: bool


def rule(answers: Sequence[OpenedAnswer], active_units: int, *, appealed: bool) -> tuple[Ruling, int | None]:
    """The ruling after the reveal window, and the index of the answer that it upholds.

    Args:
        answers: opened answers, each different from the others.
        active_units: all active verifiers' stake in the snapshot.
        appealed: whether the accused asked for a majority.
    """
    leading = max(range(len(answers)), key=lambda index: answers[index].stake_units, default=None)
    if leading is None:
        return Ruling.DISMISSED, None
    best = answers[leading]
    if 2 * best.stake_units > active_units:
        return (Ruling.NODE_UPHELD if best.agrees else Ruling.NODE_GUILTY), leading
    if not appealed and len(answers) == 1 and best.openers >= 2 and not best.agrees:
        return Ruling.NODE_GUILTY, leading
    return Ruling.DISMISSED, None
