"""The fold over the contracts' events: contests."""

from typing import Any

from contracts.onchain.events import Event
from contracts.record.history import History

ALICE = "0x" + "aa" * 20


def event(contract: str, name: str, block: int, **args: Any) -> Event:
    return Event(contract, name, args, block, bytes(32), bytes(32), 0)


def test_a_contest_from_its_opening_to_its_end() -> None:
    """Who contested what, until when it can be answered, and how it ended; a duplicate's refund is no contest."""
    history, place = History(), {"epochId": 3, "index": 1}
    opened = event("Contests", "Contested", 7, **place, contester=ALICE, answerEnds=90, bondUnits=5)
    history.add([opened, event("Contests", "DuplicateRefunded", 8, epochId=3, index=2, refundUnits=4)], {})
    contest = history.contests[3, 1]
    assert (contest.contester, contest.answer_ends, contest.bond_units, contest.closed) == (ALICE, 90, 5, None)
    resolved = event("Contests", "ContestResolved", 9, **place, contester=ALICE, refundUnits=4, bondUnits=5)
    history.add([resolved], {})
    assert contest.closed is resolved
    assert list(history.contests) == [(3, 1)]
