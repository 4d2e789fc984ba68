"""The sample and the draw follow from chain and log alone, the same for everybody."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.onchain.events import Event
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.rulings import Ruling
from contracts.protocol.sampling import CERTAIN, is_sampled, least_threshold, raised
from contracts.record.history import History
from contracts.record.log_book import LogBook, LogFacts
from contracts.record.log_source import FolderLog
from contracts.record.sample import DrawnRow, Sample
from contracts.record.standings import Standings
from tests.unit.record.records import MANIFEST, OPERATOR, book, job

SEED = b"\x09" * 32


def event(name: str, block: int, **args: object) -> Event:
    return Event("any", name, args, block, b"", b"", 0)


def history(*, stake: int = 10_000) -> History:
    """An operator, its owner's verifier account, two other verifiers, epochs 1 to 3 posted 30 s apart."""
    found = History()
    events = [event("Registered", 1, id=n, owner=owner) for n, owner in ((OPERATOR, "a"), (7, "a"), (8, "b"), (9, "c"))]
    events += [event("Staked", 1, id=OPERATOR, stakeUnits=stake)]
    for account in (7, 8, 9):
        events += [
            event("Staked", 1, id=account, stakeUnits=10**9),
            event("VerifierAdmitted", 1, id=account, key=account),
        ]
    posts = [event("EpochPosted", 10 * n, id=n, root=b"\1" * 32, count=1, beacon=b"", logRoot=b"") for n in (1, 2, 3)]
    found.add(events + posts, {10: 1000, 20: 1030, 30: 1060})
    return found


def draw(found: History, known: LogBook, epoch_id: int) -> list[DrawnRow]:
    """An epoch's rows under SEED; nothing of the work is native, so no blob is read."""
    facts = LogFacts(known, FolderLog(Path("/nowhere")))
    return Sample(found, facts, DEVELOPMENT, Standings()).draw(epoch_id, SEED)


def test_exposure_counts_what_is_still_in_its_check_period() -> None:
    """The least rate rises with what an operator has open: epoch 1 is still being checked when epoch 2 is posted."""
    known = book(job(0, 1), job(1, 2, max_price=300))
    (drawn,) = draw(history(stake=200), known, 2)
    expected = least_threshold(
        MANIFEST.deterrence, stake_units=200, exposure_units=400, penalty_multiple=DEVELOPMENT.penalty_multiple
    )
    assert drawn.threshold == expected
    assert drawn.sampled == is_sampled(SEED, drawn.row.digest, expected)


def test_without_stake_every_row_is_checked_by_verifiers_of_other_owners() -> None:
    """No stake, p = 1; and nobody checks an own node. Covers: A05"""
    (drawn,) = draw(history(stake=0), book(job(0, 1)), 1)
    assert drawn.threshold == CERTAIN
    assert drawn.sampled
    assert sorted(drawn.duty) == [8, 9]


def test_rows_whose_records_are_missing_are_left_out() -> None:
    """A row without its records cannot be drawn; the audit names it."""
    known = book(job(0, 1), job(1, 1))
    del known.epochs[1].orders[bytes.fromhex(job(0).commitment.commitment.order_id[2:])]
    assert [each.row.index for each in draw(history(), known, 1)] == [1]


def accused(ruling: Ruling | None = None) -> History:
    """The operator, with a case opened in block 15 and, if there is a ruling, executed in block 25."""
    found = history()
    about = {"caseId": b"case", "epochId": 1, "index": 0, "commitmentDigest": b"", "penaltyUnits": 1}
    found.add([event("CaseOpened", 15, operatorId=OPERATOR, **about)], {})
    if ruling is not None:
        found.add([event("CaseExecuted", 25, caseId=b"case", ruling=int(ruling))], {})
    return found


def threshold(found: History, epoch_id: int) -> int:
    (drawn,) = draw(found, book(job(0, epoch_id)), epoch_id)
    return drawn.threshold


@pytest.mark.parametrize("cleared", [Ruling.NODE_UPHELD, Ruling.DISMISSED])
def test_a_case_that_is_open_has_every_job_checked(cleared: Ruling) -> None:
    """Suspicion raises the rate to one from the case's block on, until the case is over in the operator's favour; after
    a ruling against it, for good. Covers: A03"""
    least = threshold(history(), 2)
    assert least < CERTAIN
    assert threshold(accused(), 1) == threshold(history(), 1), "the case came after epoch 1"
    assert threshold(accused(), 2) == CERTAIN
    assert threshold(accused(cleared), 2) == CERTAIN, "it was still open"
    assert threshold(accused(cleared), 3) == threshold(history(), 3)
    assert threshold(accused(Ruling.NODE_GUILTY), 3) == CERTAIN


@given(st.integers(0, CERTAIN), st.integers(0, 10**6))
def test_suspicion_only_ever_raises(least: int, rate_ppm: int) -> None:
    """No rate that suspicion asks for lets an operator be checked less than the published formula says. Covers: A03"""
    assert CERTAIN >= raised(least, rate_ppm) >= least
    assert raised(least, 10**6) == CERTAIN
    assert raised(least, 0) == least
