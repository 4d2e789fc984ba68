"""Whether a row was checked: seed and least threshold, recomputed from headers, events and the published log."""

from dataclasses import dataclass

from contracts.onchain.chain import Chain
from contracts.onchain.history import History
from contracts.onchain.rates import check_threshold
from contracts.protocol.exposure import exposure_units
from contracts.protocol.manifest import Manifest
from contracts.protocol.sampling import CERTAIN, is_sampled, seed
from node_agent.explanation.published import PublishedLog


@dataclass(frozen=True)
class Draw:
    """How a row fared. `exposure_units` and `stake_units` are the operator's when its epoch was posted."""

    seed: bytes
    exposure_units: int
    stake_units: int
    threshold: int
    sampled: bool

    @property
    def chance_percent(self) -> float:
        """The least chance of a check, for people."""
        return 100 * self.threshold / CERTAIN


def seed_of(chain: Chain, history: History, epoch_id: int) -> bytes | None:
    """The epoch's seed; None until the next one is posted. Raises ChainError."""
    following = history.epochs.get(epoch_id + 1)
    if following is None:
        return None
    epoch = history.epochs[epoch_id]
    block = chain.block(epoch.block_number + chain.deployment.constants.seed_blocks)
    return seed(block.hash, following.beacon, epoch.root)


def draw(
    chain: Chain,
    history: History,
    log: PublishedLog,
    manifest: Manifest,
    epoch_id: int,
    operator_id: int,
    digest: bytes,
) -> Draw | None:
    """How a row was drawn; None before the seed is known, or where the log does not tell the exposure."""
    seed_ = seed_of(chain, history, epoch_id)
    exposure = _exposure(chain, history, log, epoch_id, operator_id)
    if seed_ is None or exposure is None:
        return None
    block_number = history.epochs[epoch_id].block_number
    stake = history.stake_at(operator_id, block_number)
    threshold = check_threshold(
        history,
        chain.deployment.constants,
        manifest,
        operator_id=operator_id,
        block_number=block_number,
        exposure_units=exposure,
    )
    return Draw(seed_, exposure, stake, threshold, is_sampled(seed_, digest, threshold))


def _exposure(chain: Chain, history: History, log: PublishedLog, epoch_id: int, operator_id: int) -> int | None:
    wait_s = chain.deployment.constants.check_wait_s
    posted_at = {n: epoch.timestamp for n, epoch in history.epochs.items()}
    near = [n for n in posted_at if n == epoch_id or (n < epoch_id and posted_at[n + 1] + wait_s > posted_at[epoch_id])]
    rows = {n: log.job_rows(n) for n in near}
    known = {n: found for n, found in rows.items() if found is not None}
    return exposure_units(operator_id, epoch_id, known, posted_at, wait_s) if len(known) == len(near) else None
