"""Which rows of an epoch are checked, and by whom in which order (SPEC sections 9 and 10).

`draw_epoch` is pure: a verifier and an auditor that read the same chain and log get the same sample, bit for bit.
"""

from dataclasses import dataclass

from contracts.onchain.chain import Chain
from contracts.onchain.history import History
from contracts.onchain.rates import check_threshold
from contracts.protocol.constants import Constants
from contracts.protocol.exposure import exposure_units
from contracts.protocol.sampling import draw_verifiers, is_sampled, seed
from verifier.sampling.epoch_log import Job, LogBook
from verifier.sampling.standings import StandingAt, unwatched


@dataclass(frozen=True)
class DrawnRow:
    """A job row of an epoch under its seed. `duty`: verifier accounts in the order in which they join."""

    job: Job
    threshold: int
    sampled: bool
    duty: tuple[int, ...]


def seed_block(history: History, constants: Constants, epoch_id: int) -> int:
    """Number of the block whose hash goes into an epoch's seed."""
    return history.epochs[epoch_id].block_number + constants.seed_blocks


def read_seed(chain: Chain, history: History, epoch_id: int) -> bytes | None:
    """An epoch's seed, 32 bytes; None until the next epoch is posted."""
    following = history.epochs.get(epoch_id + 1)
    if following is None:
        return None
    block = chain.block(seed_block(history, chain.deployment.constants, epoch_id))
    return seed(block.hash, following.beacon, history.epochs[epoch_id].root)


def draw_epoch(
    history: History,
    book: LogBook,
    constants: Constants,
    epoch_id: int,
    seed_: bytes,
    standings: StandingAt = unwatched,
) -> list[DrawnRow]:
    """All job rows of an epoch with the rate at which they are checked and, where it selects them, who is on duty.

    Needs the book to hold every epoch up to this one. Rows without their records are left out; the audit names them.
    """
    block = history.epochs[epoch_id].block_number
    exposures = _Exposures(history, book, constants, epoch_id)
    drawn = []
    for job in book.jobs(epoch_id):
        operator = job.row.operator_id
        threshold = check_threshold(
            history,
            constants,
            job.manifest,
            operator_id=operator,
            block_number=block,
            exposure_units=exposures.of(operator),
            watched_ppm=standings(operator, epoch_id).least_rate_ppm if job.is_native else 0,
        )
        sampled = is_sampled(seed_, job.digest, threshold)
        stakes = history.verifiers_for(operator, block, constants.min_verifier_stake_units) if sampled else {}
        drawn.append(DrawnRow(job, threshold, sampled, tuple(draw_verifiers(seed_, job.digest, stakes))))
    return drawn


class _Exposures:
    """What each operator had open when an epoch was posted, units."""

    def __init__(self, history: History, book: LogBook, constants: Constants, epoch_id: int) -> None:
        self._epoch_id, self._check_wait_s = epoch_id, constants.check_wait_s
        self._posted_at = {n: posted.timestamp for n, posted in history.epochs.items()}
        self._rows = {
            n: [(job.row.operator_id, job.order.order.terms.max_price) for job in book.jobs(n)]
            for n in book.epochs
            if n == epoch_id or (n < epoch_id and self._was_open(n))
        }
        self._known: dict[int, int] = {}

    def _was_open(self, n: int) -> bool:
        following = self._posted_at.get(n + 1)
        return following is None or following + self._check_wait_s > self._posted_at[self._epoch_id]

    def of(self, operator_id: int) -> int:
        if operator_id not in self._known:
            self._known[operator_id] = exposure_units(
                operator_id, self._epoch_id, self._rows, self._posted_at, self._check_wait_s
            )
        return self._known[operator_id]
