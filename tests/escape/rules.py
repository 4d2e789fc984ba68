"""Tries all probes; takes each rule out in turn, and finds whether probes then succeed that it denied before.

A rule is shown where a probe is denied with all of its rules but this one taken out, and succeeds without it too.
"""

from dataclasses import dataclass
from typing import NamedTuple

from node_agent.execution.sandbox import confinement
from tests.escape.cage import Attempt, Found, Round, is_denied, tried
from tests.escape.probes import PROBES, Probe

FIRST_ABI = {
    "landlock truncate": 3,
    "landlock bind_tcp": 4,
    "landlock connect_tcp": 4,
    "landlock abstract": 6,
    "landlock signals": 6,
}
"""The first ABI of Landlock that has a rule; rules not named here are in every ABI."""


@dataclass(frozen=True)
class Cages:
    """What became of all probes, of one user."""

    user: int
    outside: Found
    floor: Found
    both: Found

    @property
    def opened(self) -> list[Probe]:
        """Those that succeed outside."""
        return [probe for probe, said in zip(PROBES, self.outside.outcomes, strict=True) if said == "open"]

    def of(self, found: Found) -> list[tuple[Probe, str]]:
        """The probes that succeed outside, with what became of them in a cage."""
        outcomes = zip(PROBES, self.outside.outcomes, found.outcomes, strict=True)
        return [(probe, said) for probe, outside, said in outcomes if outside == "open"]


def look(user: int) -> Cages:
    """Tries all. Raises CalledProcessError."""
    attempts = [Attempt(probe.name) for probe in PROBES]
    rounds = (Round(attempts, confined=False, upper=False), Round(attempts, upper=False), Round(attempts))
    return Cages(user, *tried(user, rounds))


@dataclass(frozen=True)
class Shown:
    """What a rule does to a probe: what became of it `within` the rule alone, and `without` it."""

    rule: str
    probe: str
    within: str
    without: str

    @property
    def red(self) -> bool:
        """Whether the rule is what denies it."""
        return is_denied(self.within) and self.without == "open"


def taken_out(cages: Cages) -> list[Shown]:
    """Every rule of probes that succeed outside, but those that this kernel has not got for this user."""
    abi = confinement.landlock_abi()
    pairs = [
        (rule, probe)
        for probe in cages.opened
        for rule in sorted(probe.denied_by)
        if FIRST_ABI.get(rule, 0) <= abi and not (cages.both.namespaces and rule.startswith("namespace"))
    ]
    asked = {pair: (_within(*pair), _without(*pair)) for pair in pairs}
    every: dict[_Cage, dict[Attempt, str]] = {}
    for cage, attempt in (one for both in asked.values() for one in both):
        every.setdefault(cage, {})[attempt] = ""
    rounds = [Round([*attempts], upper=cage.upper, without=cage.without) for cage, attempts in every.items()]
    for attempts, found in zip(every.values(), tried(cages.user, rounds), strict=True):
        attempts.update(zip(attempts, found.outcomes, strict=True))
    return [
        Shown(rule, probe.name, *(every[cage][attempt] for cage, attempt in both))
        for (rule, probe), both in asked.items()
    ]


class _Cage(NamedTuple):
    upper: bool
    without: tuple[str, ...] = ()


def _within(rule: str, probe: Probe) -> tuple[_Cage, Attempt]:
    """This rule alone."""
    return _Cage(rule.startswith("namespace")), Attempt(probe.name, tuple(sorted(probe.floor - {rule})))


def _without(rule: str, probe: Probe) -> tuple[_Cage, Attempt]:
    """None. What is taken out of a start or of the namespaces needs a cage of its own."""
    cage = (rule,) if rule.startswith(("launch", "namespace")) else ()
    return _Cage(rule.startswith("namespace"), cage), Attempt(probe.name, tuple(sorted(probe.floor)))
