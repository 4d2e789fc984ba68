"""What cheating earns at the published rate, by the functions that verifiers and auditors call.

Rewards are 1; a cheat is assumed to cost its node nothing, which is the worst case for us. A job that no honest
verifier is drawn for is paid; one that is checked by an honest verifier costs the reward and the penalty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import NormalDist
from typing import Any

from bench.adversaries.rows import CONFIDENCE
from contracts.protocol.constants import PRODUCTION
from contracts.protocol.hashing import keccak
from contracts.protocol.sampling import CERTAIN, Deterrence, draw_verifiers, is_sampled, least_threshold

REWARD_UNITS = 1_000_000
VERIFIERS = 20
EPOCH_JOBS = 1_000


@dataclass(frozen=True)
class Terms:
    """An operator under the published formula.

    Attributes:
        constants: of the manifest.
        stake_units, exposure_units: of the operator; their quotient, at most `multiple`, is k.
        multiple: PENALTY_MULTIPLE.
    """

    constants: Deterrence
    stake_units: int
    exposure_units: int
    multiple: int = PRODUCTION.penalty_multiple

    @property
    def threshold(self) -> int:
        """The least check rate times 2^256."""
        return least_threshold(
            self.constants,
            stake_units=self.stake_units,
            exposure_units=self.exposure_units,
            penalty_multiple=self.multiple,
        )

    @property
    def rate(self) -> float:
        """The least check rate."""
        return self.threshold / CERTAIN

    @property
    def penalty(self) -> float:
        """What a wrong job costs, in rewards."""
        return min(float(self.multiple), self.stake_units / self.exposure_units)


def staked(constants: Deterrence, open_jobs: int = 1, multiple: int = PRODUCTION.penalty_multiple) -> Terms:
    """An operator whose stake just covers `open_jobs` at k."""
    exposure = open_jobs * REWARD_UNITS
    return Terms(constants, multiple * exposure, exposure, multiple)


@dataclass(frozen=True)
class Outcome:
    """What cheating on every job came to.

    Attributes:
        jobs: simulated.
        caught: of them.
        profit: mean per job, in rewards, penalties paid.
        half_width: of its interval at CONFIDENCE.
        until_caught: mean number of jobs until the first is caught.
    """

    jobs: int
    caught: int
    profit: float
    half_width: float

    @property
    def until_caught(self) -> float:
        return self.jobs / self.caught if self.caught else float("inf")

    def record(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "jobs": self.jobs,
            "caught": self.caught,
            "ev_pct_of_reward": 100 * self.profit,
            "ev_half_width_pct": 100 * self.half_width,
            "jobs_until_caught": round(self.until_caught, 1),
        }


def cheat(terms: Terms, jobs: int, *, detection: float, colluding: float, seed: int) -> Outcome:
    """Cheat on every job.

    Args:
        terms: of the operator.
        jobs: how many.
        detection: chance that an honest check shows it, as measured.
        colluding: part of the verifiers' stake that says what the node wants to hear.
        seed: of the chain's randomness and of `detection`.
    """
    luck, caught = Random(seed), 0
    stakes = {account: PRODUCTION.min_verifier_stake_units for account in range(1, VERIFIERS + 1)}
    friends = round(colluding * VERIFIERS)
    for epoch_seed, digest in _digests(jobs, seed):
        if not is_sampled(epoch_seed, digest, terms.threshold):
            continue
        honest = draw_verifiers(epoch_seed, digest, stakes)[0] > friends
        caught += honest and luck.random() < detection
    lost = caught / jobs
    profit = 1 - lost * (1 + terms.penalty)
    deviation = (1 + terms.penalty) * sqrt(lost * (1 - lost) / jobs)
    return Outcome(jobs, caught, profit, NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * deviation)


def expected(terms: Terms, *, detection: float, colluding: float) -> float:
    """The same in closed form: profit per job in rewards."""
    return 1 - terms.rate * detection * (1 - colluding) * (1 + terms.penalty)


def _digests(jobs: int, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Seeds of epochs and digests of jobs, as unpredictable as a hash."""
    for number in range(jobs):
        epoch_seed = keccak(b"epoch" + seed.to_bytes(8, "big") + (number // EPOCH_JOBS).to_bytes(8, "big"))
        yield epoch_seed, keccak(b"job" + seed.to_bytes(8, "big") + number.to_bytes(8, "big"))


def executions_per_job(terms: Terms, check_cost: float) -> float:
    """Work of the network per paid job: its execution, and the checks of the part that is sampled.

    `check_cost`: of one check, as part of one execution.
    """
    return 1 + terms.rate * check_cost


def first_jobs(
    constants: Deterrence, check_cost: float, jobs: int, multiple: int = PRODUCTION.penalty_multiple
) -> float:
    """Executions per job over an operator's first `jobs`, that starts without stake and fills it from its earnings."""
    work, stake = 0.0, 0
    for _ in range(jobs):
        terms = Terms(constants, stake, REWARD_UNITS, multiple)
        work += executions_per_job(terms, check_cost)
        stake = min(stake + REWARD_UNITS, multiple * REWARD_UNITS)
    return work / jobs


def table(constants: Deterrence, check_costs: Sequence[float]) -> list[dict[str, float]]:
    """Check rate and work over cost ratio of a check, k and the share of colluders that the rate allows for."""
    rows = []
    for multiple in (9, 49, 99, 149):
        for collusion in (0.0, 0.3, 0.35, 0.45):
            priced = constants.model_copy(update={"collusion_ppm": round(collusion * 1_000_000)})
            terms = staked(priced, multiple=multiple)
            row = {"k": multiple, "collusion_allowed_for": collusion, "check_rate": terms.rate}
            row["ev_pct_at_30_pct_collusion"] = 100 * expected(terms, detection=1, colluding=0.3)
            for cost in check_costs:
                row[f"executions_per_job_at_check_cost_{cost:.3f}"] = executions_per_job(terms, cost)
            rows.append(row)
    return rows


def once_and_away(constants: Deterrence, open_jobs: int, runs: int, *, colluding: float, seed: int) -> Outcome:
    """Stakes, works until nobody looks, then cheats on every open job of one epoch and leaves.

    What it holds at stake covers all of them at k (the backend leases no more), and unbonding outlasts every case.
    """
    terms = staked(constants, open_jobs)
    return cheat(terms, open_jobs * runs, detection=1, colluding=colluding, seed=seed)


def split(constants: Deterrence, parts: int, tries: int, seed: int) -> float:
    """The best that an operator gets by cutting its stake into parts: profit per job in rewards at 30 % collusion,
    over random cuts. Each part has as much open as it is leased, its stake over k."""
    luck, whole = Random(seed), staked(constants, open_jobs=parts)
    best = expected(whole, detection=1, colluding=0.3)
    for _ in range(tries):
        stakes = _cut(whole.stake_units, parts, luck)
        terms = [Terms(constants, stake, max(1, stake // whole.multiple), whole.multiple) for stake in stakes]
        total = sum(each.exposure_units * expected(each, detection=1, colluding=0.3) for each in terms)
        best = max(best, total / sum(each.exposure_units for each in terms))
    return best


def _cut(units: int, parts: int, luck: Random) -> list[int]:
    """Positive parts of a whole."""
    places = sorted(luck.sample(range(1, units), parts - 1))
    return [end - start for start, end in zip([0, *places], [*places, units], strict=True)]


def newcomer(constants: Deterrence, *, colluding: float) -> dict[str, float]:
    """Who has no stake, cheats until caught, and comes back under another name.

    It gets one job at a time, each is checked, and there is nothing to slash: what it earns are the checks that are
    drawn to its friends. A name costs the gas of registering an operator and a node key, and is lost with each check
    that is not: 1 - q a job. The dearest job that it is lent costs as much as a name (`backend.domain.assignment`).
    """
    terms = Terms(constants, 0, REWARD_UNITS)
    before_gas = expected(terms, detection=1, colluding=colluding)
    return {
        "check_rate": terms.rate,
        "ev_pct_of_reward_before_gas": 100 * before_gas,
        "ev_pct_of_the_dearest_job": 100 * (before_gas - (1 - colluding)),
        "rewards_per_name": colluding / (1 - colluding),
    }
