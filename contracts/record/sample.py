"""Decides which rows of an epoch are checked, by whom and in which order (SPEC sections 9 and 10).

Pure: the same chain and log give everybody the same sample, bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.protocol.constants import Constants
from contracts.protocol.exposure import exposure_units
from contracts.protocol.native import Standing
from contracts.protocol.sampling import draw_verifiers, is_sampled, least_threshold, raised, seed
from contracts.record.facts import Facts, JobRow
from contracts.record.history import History
from contracts.record.standings import Standings

_CERTAIN_PPM = 1_000_000


@dataclass(frozen=True)
class DrawnRow:
    """A job row with its draw.

    `threshold`: the chance of a check, times 2^256. `duty`: verifier accounts in the order in which they join.
    """

    row: JobRow
    threshold: int
    sampled: bool
    duty: tuple[int, ...]


def seed_of(history: History, constants: Constants, epoch_id: int, block_hash: Callable[[int], bytes]) -> bytes | None:
    """An epoch's seed, 32 bytes; None until the next epoch is posted. `block_hash`: by block number."""
    posted, following = history.epochs[epoch_id], history.epochs.get(epoch_id + 1)
    if following is None:
        return None
    return seed(block_hash(posted.block_number + constants.seed_blocks), following.beacon, posted.root)


class Sample:
    """The sample of every revealed epoch of a history."""

    def __init__(self, history: History, facts: Facts, constants: Constants, standings: Standings) -> None:
        self._history, self._facts, self._constants, self._standings = history, facts, constants, standings
        self._posted_at = {n: posted.timestamp for n, posted in history.epochs.items()}
        self._rows: dict[int, list[tuple[int, int]]] = {}

    def draw(self, epoch_id: int, seed_: bytes) -> list[DrawnRow]:
        """Draws all job rows of an epoch. Leaves out rows without records; the audit names them.

        Raises LogUnavailable, WrongLog, WrongFact if the log lacks what exposures or standings need.
        """
        return [self.row(epoch_id, seed_, row) for row in self._facts.job_rows(epoch_id)]

    def row(self, epoch_id: int, seed_: bytes, row: JobRow) -> DrawnRow:
        """Draws one job row. Raises as `draw` does."""
        threshold = self._threshold(epoch_id, row)
        sampled = is_sampled(seed_, row.digest, threshold)
        block, minimum = self._history.epochs[epoch_id].block_number, self._constants.min_verifier_stake_units
        stakes = self._history.verifiers_for(row.operator_id, block, minimum) if sampled else {}
        return DrawnRow(row, threshold, sampled, tuple(draw_verifiers(seed_, row.digest, stakes)))

    def exposure_units(self, epoch_id: int, operator_id: int) -> int:
        """An operator's exposure when an epoch was posted, in units."""
        wait_s, at = self._constants.check_wait_s, self._posted_at
        near = [n for n in at if n == epoch_id or (n < epoch_id and at[n + 1] + wait_s > at[epoch_id])]
        for n in near:
            if n not in self._rows:
                self._rows[n] = [(row.operator_id, row.max_price) for row in self._facts.job_rows(n)]
        return exposure_units(operator_id, epoch_id, {n: self._rows[n] for n in near}, at, wait_s)

    def standing(self, epoch_id: int, operator_id: int) -> Standing:
        """An operator's standing on native work by the logs before this epoch."""
        return self._standings.at(self._facts, operator_id, epoch_id)

    def _threshold(self, epoch_id: int, row: JobRow) -> int:
        """The published minimum, or more: all rows of a suspected operator, native rows as its standing demands."""
        block = self._history.epochs[epoch_id].block_number
        least = least_threshold(
            row.manifest.deterrence,
            stake_units=self._history.stake_at(row.operator_id, block),
            exposure_units=self.exposure_units(epoch_id, row.operator_id),
            penalty_multiple=self._constants.penalty_multiple,
        )
        if self._history.is_suspected_at(row.operator_id, block):
            return raised(least, _CERTAIN_PPM)
        if row.manifest.comparator != "native":
            return least
        return raised(least, self.standing(epoch_id, row.operator_id).least_rate_ppm)
