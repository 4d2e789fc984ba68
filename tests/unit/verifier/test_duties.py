"""Who checks when: own rows at once, stand-ins later, nobody after the window."""

from contracts.protocol.constants import DEVELOPMENT
from contracts.record.history import History, PostedEpoch
from contracts.record.sample import DrawnRow
from tests.unit.record.records import job
from verifier.verdicts.duties import Duty, duties_of, order_of_work

W = DEVELOPMENT.check_wait_s
JOBS = {index: job(index) for index in range(4)}


def history(revealed_at: int = 1000) -> History:
    posted = [
        PostedEpoch(n, b"\1" * 32, 4, b"\2" * 32, b"\3" * 32, n, at, b"") for n, at in ((1, 900), (2, revealed_at))
    ]
    return History(epochs={epoch.epoch_id: epoch for epoch in posted})


def drawn(index: int, *duty: int, sampled: bool = True) -> DrawnRow:
    return DrawnRow(job(index).as_row, 1, sampled, duty)


def test_the_kth_drawn_joins_a_quarter_of_the_check_period_later_each() -> None:
    """Rank 0 from the reveal to the end of the case window, the others in quarters while the check period runs."""
    rows = [drawn(0, 7, 8, 9), drawn(1, 8, 9, 7), drawn(2, 9, 7, 8), drawn(3, 8, 9)]
    duties = duties_of(rows, JOBS, 7, history(), DEVELOPMENT)
    assert [(d.rank, d.due_at, d.last_call_at, d.ends_at) for d in duties] == [
        (0, 1000, 1000, 900 + DEVELOPMENT.case_window_s),
        (2, 1000 + W // 2, 1000 + 3 * W // 4, 1000 + W),
        (1, 1000 + W // 4, 1000 + 3 * W // 4, 1000 + W),
    ]


def test_rows_that_the_seed_left_out_are_nobodys_duty() -> None:
    """Only sampled rows are work that is paid."""
    assert duties_of([drawn(0, 7, sampled=False)], JOBS, 7, history(), DEVELOPMENT) == []


def indices(duties: list[Duty], now: int, last_log_at: int) -> list[int]:
    return [duty.job.row.index for duty in order_of_work(duties, now, last_log_at)]


def test_own_rows_come_before_stand_ins_and_ended_duties_never() -> None:
    """A verifier helps out after its own work, and not when it can no longer help."""
    duties = duties_of([drawn(0, 8, 7), drawn(1, 7, 8)], JOBS, 7, history(), DEVELOPMENT)
    assert indices(duties, 1000, 1000) == [1]
    assert indices(duties, 1000 + 3 * W // 4, 1000) == [1, 0]
    assert indices(duties, 1000 + W + 1, 1000) == [1]
    assert indices(duties, 900 + DEVELOPMENT.case_window_s + 1, 1000) == []


def test_a_stand_in_waits_for_a_log_that_could_show_the_verdict() -> None:
    """Work is not done twice while the first drawn's verdict is under way to the next log."""
    duties = duties_of([drawn(0, 8, 7)], JOBS, 7, history(), DEVELOPMENT)
    turn = 1000 + W // 4
    assert indices(duties, turn + 1, 1000) == []
    assert indices(duties, turn + 1, turn - 1) == []
    assert indices(duties, turn + 1, turn) == [0]
