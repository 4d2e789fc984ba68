"""A verifier's duties and their order. Pure.

The first drawn verifier is on duty from the reveal until the case window closes. The k-th after it joins CHECK_WAIT *
k / 4 later, unless an earlier one's verdict is published. Verdicts are published with a later epoch's log, so it waits
for a log posted since its turn came, at most until the last quarter of the check period. Its duty ends with that
period: a missing check then no longer helps the payment. Of two who join at once, the first is paid.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.protocol.constants import Constants
from contracts.record.history import History
from contracts.record.log_book import PaidJob
from contracts.record.sample import DrawnRow


@dataclass(frozen=True)
class Duty:
    """A row to check. Times are Unix seconds; `rank` 0 was drawn first.

    It is this verifier's turn from `due_at` on, once a log posted since then shows no verdict; from `last_call_at` on
    in any case; until `ends_at`.
    """

    job: PaidJob
    rank: int
    due_at: int
    last_call_at: int
    ends_at: int

    def is_due(self, now: int, last_log_at: int) -> bool:
        """Whether to check the row now. `last_log_at`: when the newest epoch with a log read here was posted."""
        return (self.due_at <= last_log_at or self.last_call_at <= now) and now <= self.ends_at


def duties_of(
    drawn: Iterable[DrawnRow], jobs: Mapping[int, PaidJob], account: int, history: History, constants: Constants
) -> list[Duty]:
    """The duties of one verifier account among an epoch's drawn rows. `jobs`: of that epoch, by row."""
    return [
        _duty(jobs[each.row.index], each.duty.index(account), history, constants)
        for each in drawn
        if each.sampled and account in each.duty
    ]


def _duty(job: PaidJob, rank: int, history: History, constants: Constants) -> Duty:
    revealed_at, wait_s = history.epochs[job.epoch_id + 1].timestamp, constants.check_wait_s
    if rank == 0:
        case_ends = history.epochs[job.epoch_id].timestamp + constants.case_window_s
        return Duty(job, rank, revealed_at, revealed_at, case_ends)
    due_at = revealed_at + rank * wait_s // 4
    return Duty(job, rank, due_at, max(due_at, revealed_at + 3 * wait_s // 4), revealed_at + wait_s)


def order_of_work(duties: list[Duty], now: int, last_log_at: int) -> list[Duty]:
    """The duties due now: own rows before others', older before younger."""
    due = [duty for duty in duties if duty.is_due(now, last_log_at)]
    return sorted(due, key=lambda duty: (duty.rank, duty.due_at, duty.job.row.index))
