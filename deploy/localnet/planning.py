"""Plans the demo for its time on this machine: how many jobs, how long, in which windows. Pure: no clock.

The measured speeds are for one job alone. While the demo runs, four nodes and two verifiers share the cores with the
chain, the backend and other programs of the machine; so

    share     = cores * ENGINES / (ENGINES + others) - SERVICES     `others` is at least 1: a busy loop
    job_s     = read / read_per_s + write / write_per_s             a node's work, one core
    check_s   = (read + write) / read_per_s                         a verifier's, of an honest answer
    dispute_s = check_s + job_s                                     a different answer is generated again
    work_s    = (jobs * job_s + 2/3 (checked * check_s + cheated * 2 * dispute_s)) / share
                the last epoch is checked after the last job; a convicted cheat gets no more jobs, so few jobs are
                cheated; both verifiers check each of them
    total_s   = measuring + set-up + work_s + 3 epochs + check period + court + claims + audit

It chooses the richest plan whose total fits. Windows are production's, shortened to the work's needs. The steps without
engines (set-up, claims, audit) were timed beside busy loops on two cores, where they took about half as long again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, exp, log, sqrt

from contracts.protocol.constants import DEVELOPMENT, PRODUCTION, Constants
from contracts.protocol.errors import AssayError
from node_agent.execution.engine import Speed

BUDGET_S = 300.0
"""The whole demo, from its start to its report."""

_PLANNED_S = 0.95 * BUDGET_S
"""The most that a plan may take: one of 288 s took 295 beside more than a busy loop."""

LEAST_JOBS, EPOCHS, NODES, VERIFIERS = 24, 3, 4, 2
MOST_MISSED = 0.001
"""A run may miss a cheat once in so many times."""

SIZES = ((48, 32), (48, 24), (40, 24), (32, 24), (24, 24), (32, 16), (24, 16), (24, 8))
"""Most jobs and tokens of an answer, the richest first: an answer of a few words shows little."""
PROMPT_TOKENS = 45
"""Tokens of the demo's prompts, with the template around them."""
EMBEDDING_TOKENS = 3 * 12
EMBEDDING_EVERY = 7

_ENGINES = 4
_SERVICES_CORES = 0.4

_MEASURING_S, _FOUNDING_S, _LOADS_S = 10.0, 65.0, 15.0
_EPOCH_S, _ROUND_S = 12, 5
_LEAST_CHECK_WAIT_S, _LEAST_COURT_S = 30, 12
_CLAIMS_S = 20.0
_AUDIT_S, _RERUN_JOBS = 20.0, 4
_MARGIN = 1.15
"""Applied to all estimates that are not measured."""
_MOST_DELAY = 4
"""An order may wait this many times its estimate."""

_MOST_FACTOR = 1e4
_WINDOWS = [name for name in Constants.model_fields if name.endswith(("_s", "_blocks"))]


class MachineTooSlow(AssayError):
    """Thrown when even the smallest demo would not end in time."""


@dataclass(frozen=True)
class MachineSpeeds:
    """This machine's measured speed, for one job alone."""

    generation: Speed
    embedding: Speed

    def times(self, factor: float) -> "MachineSpeeds":
        """A machine so many times as fast."""
        generation, embedding = (
            Speed(each.way, each.read_per_s * factor, each.write_per_s * factor)
            for each in (self.generation, self.embedding)
        )
        return MachineSpeeds(generation, embedding)


@dataclass(frozen=True)
class Machine:
    """`cores` that may be used; `others`: how many of them other programs keep busy."""

    cores: int
    others: float = 0.0

    @property
    def share(self) -> float:
        """Cores of all engines together. Counts at least one busy program of others, since one may start later."""
        others = max(1.0, self.others)
        return max(0.1, self.cores * _ENGINES / (_ENGINES + others) - _SERVICES_CORES)

    @property
    def founding_s(self) -> float:
        """Chain, contracts, keys and every program's start: at most two things at a time."""
        others = max(1.0, self.others)
        return _FOUNDING_S / min(1.0, self.cores * 2 / (2 + others) / 1.33)


@dataclass(frozen=True)
class DemoPlan:
    """A demo that ends in time.

    Attributes:
        jobs: how many are ordered at first; `most_tokens`: of an answer, at most.
        cheat_jobs: in how many each cheat must have cheated; a few jobs are added while one had fewer.
        check_rate: p, the least rate at which a job is checked.
        total_s: the estimate for all of it.
    """

    jobs: int
    most_tokens: int
    cheat_jobs: int
    check_rate: float
    epoch_s: int
    constants: Constants
    total_s: float

    @property
    def least_tokens(self) -> int:
        """Tokens of an answer, unless the model stops before."""
        return max(1, self.most_tokens * 5 // 8)

    @property
    def miss_chance(self) -> float:
        """The chance that a run misses a cheat that cheats in `cheat_jobs` jobs."""
        return (1 - self.check_rate) ** self.cheat_jobs

    @property
    def extra_jobs(self) -> int:
        """The most that are added while a cheat had too few."""
        return self.jobs // 3


def shortened(constants: Constants) -> list[str]:
    """Every window that is shorter than production's: its name, here, there."""
    pairs = ((name, getattr(constants, name), getattr(PRODUCTION, name)) for name in _WINDOWS)
    return [f"{name} {here} ({there})" for name, here, there in pairs if here < there]


def plan(speeds: MachineSpeeds, machine: Machine, jobs: int | None = None) -> DemoPlan:
    """The richest demo that ends in time; with `jobs`, of exactly so many. Raises TooSlow, with the necessary speed."""
    found = _first_fit(speeds, machine, jobs)
    if found is not None:
        return found
    here, factor = speeds.generation, _least_factor(speeds, machine, jobs)
    least = f"from about {here.read_per_s * factor:.3g} and {here.write_per_s * factor:.3g} tokens/s" if factor else (
        "at no speed of the engine"
    )  # fmt: skip
    raise MachineTooSlow(
        f"This machine reads {here.read_per_s:.3g} and writes {here.write_per_s:.3g} tokens/s ({here.way})",
        way_out=(
            f"{jobs or LEAST_JOBS} jobs over {EPOCHS} epochs end within {BUDGET_S / 60:.0f} minutes {least} on "
            f"{machine.cores} cores, of which others keep {machine.others:.1f} busy. Free the cores, or run it on a "
            "faster machine."
        ),
    )


def _least_factor(speeds: MachineSpeeds, machine: Machine, jobs: int | None) -> float | None:
    """How many times as fast a machine must be, to a hundredth; None if the rest alone takes too long."""
    if _first_fit(speeds.times(_MOST_FACTOR), machine, jobs) is None:
        return None
    low, high = 1.0, _MOST_FACTOR
    while high / low > 1.01:
        middle = sqrt(low * high)
        low, high = (middle, high) if _first_fit(speeds.times(middle), machine, jobs) is None else (low, middle)
    return high


def _first_fit(speeds: MachineSpeeds, machine: Machine, jobs: int | None) -> DemoPlan | None:
    return next((found for found in _plans(speeds, machine, jobs) if found.total_s <= _PLANNED_S), None)


def _plans(speeds: MachineSpeeds, machine: Machine, jobs: int | None) -> Iterator[DemoPlan]:
    for count, tokens in SIZES if jobs is None else [(jobs, tokens) for tokens in sorted({t for _, t in SIZES})[::-1]]:
        yield _planned(_DemoLoad(speeds, machine.share, count, tokens), machine)


@dataclass(frozen=True)
class _DemoLoad:
    """The cost of a number of jobs. Seconds of one core unless noted."""

    speeds: MachineSpeeds
    share: float
    jobs: int
    tokens: int

    @property
    def cheat_jobs(self) -> int:
        return max(1, self.jobs * 5 // 24)

    @property
    def check_rate(self) -> float:
        """So that a run misses a cheat at most once in a thousand, and never below one half."""
        return min(0.769, max(0.5, 1 - exp(log(MOST_MISSED) / self.cheat_jobs)))

    @property
    def job_s(self) -> float:
        return self.speeds.generation.seconds(PROMPT_TOKENS, self.tokens)

    @property
    def check_s(self) -> float:
        return self.speeds.generation.seconds(PROMPT_TOKENS + self.tokens, 0)

    @property
    def dispute_s(self) -> float:
        return self.check_s + self.job_s

    @property
    def embedding_s(self) -> float:
        return self.speeds.embedding.seconds(EMBEDDING_TOKENS, 0)

    @property
    def work_s(self) -> float:
        """Everything, in seconds of this machine, with some jobs added for a cheat that had too few."""
        jobs = self.jobs + self.jobs // 6
        cheated = min(jobs / 2, 2.4 * self.cheat_jobs)
        checked = (jobs - cheated) * self.check_rate
        looked_at = (checked * self.check_s + cheated * VERIFIERS * self.dispute_s) * (EPOCHS - 1) / EPOCHS
        generated = jobs * self.job_s + looked_at
        return (generated + 2 * jobs / EMBEDDING_EVERY * self.embedding_s) / self.share


def _planned(load: _DemoLoad, machine: Machine) -> DemoPlan:
    rows = ceil(load.jobs / EPOCHS) + NODES
    burden = Burden(PROMPT_TOKENS, load.tokens, ahead=3 * NODES, rows=rows, disputed=ceil(rows / 2))
    constants = windows(load.speeds.generation, machine.share, burden)
    tail_s = constants.check_wait_s + 2 * constants.commit_window_s + _CLAIMS_S
    audit_s = _AUDIT_S + _LOADS_S / 3 + _RERUN_JOBS * load.dispute_s
    fixed_s = _MEASURING_S + machine.founding_s + _LOADS_S + EPOCHS * (_EPOCH_S + _ROUND_S) + tail_s + audit_s
    total_s = fixed_s + _MARGIN * load.work_s
    return DemoPlan(load.jobs, load.tokens, load.cheat_jobs, load.check_rate, _EPOCH_S, constants, total_s)


@dataclass(frozen=True)
class Burden:
    """The work that a network's windows must allow.

    Attributes:
        read, written: tokens of a long order.
        ahead: how many such orders may be done before a waiting one, or at the same time.
        rows: the most checked ones of an epoch; `disputed`: how many of them all verifiers check and generate again.
    """

    read: int
    written: int
    ahead: int
    rows: int
    disputed: int


def windows(speed: Speed, share: float, burden: Burden) -> Constants:
    """Development's windows, made as long as the work that falls into them takes on this share of the cores.

    `share`: cores that the engines get together.
    """
    job_s, check_s = (speed.seconds(*work) / share for work in ((burden.read, burden.written), _checked(burden)))
    again_s = check_s + job_s
    checks_s = (burden.rows - burden.disputed) * check_s + burden.disputed * VERIFIERS * again_s
    court_s = ceil(max(_LEAST_COURT_S, 6 + _MARGIN * burden.disputed * again_s))
    needed = {
        "order_ttl_s": ceil(max(DEVELOPMENT.order_ttl_s, 30 + _MOST_DELAY * burden.ahead * job_s)),
        "check_wait_s": ceil(max(_LEAST_CHECK_WAIT_S, 15 + _MARGIN * checks_s)),
        "commit_window_s": court_s,
    }
    return fitted(DEVELOPMENT.model_copy(update=needed))


def _checked(burden: Burden) -> tuple[int, int]:
    return burden.read + burden.written, 0


def fitted(base: Constants) -> Constants:
    """The same constants with every window that depends on others lengthened as needed. Never shortens one."""
    court_s = 2 * base.commit_window_s + base.reveal_window_s
    settle_s = max(base.settle_wait_s, base.epoch_max_s + base.check_wait_s + court_s + 60)
    contest_s = max(base.contest_window_s, settle_s + 60)
    longest = {
        "settle_wait_s": settle_s,
        "notice_s": max(base.notice_s, base.order_ttl_s + base.epoch_max_s + settle_s + 60),
        "contest_window_s": contest_s,
        "case_window_s": max(base.case_window_s, settle_s + 60),
        "charge_window_s": max(base.charge_window_s, contest_s + base.answer_window_s + base.resolve_window_s),
    }
    grown = base.model_copy(update=longest)
    return grown.model_copy(update={"unbond_s": max(base.unbond_s, grown.case_window_s + settle_s + court_s + 60)})
