"""The probes, tried outside, in the floor alone, and in both layers: once for each user, for all tests."""

import os
from dataclasses import dataclass

import pytest

from tests.escape.cage import NOBODY, Attempt, Found, Round, other_user, tried
from tests.escape.probes import PROBES, Probe


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
        """Those that succeed outside, with what became of them in a cage."""
        outcomes = zip(PROBES, self.outside.outcomes, found.outcomes, strict=True)
        return [(probe, said) for probe, outside, said in outcomes if outside == "open"]


@pytest.fixture(scope="package", params=["root", "ordinary user"])
def cages(request: pytest.FixtureRequest) -> Cages:
    """Of root, and of a user that is not; skipped in words where these tests can be only one of them."""
    if request.param == "root" and os.getuid() != 0:
        pytest.skip("these tests do not run as root")
    user = 0 if request.param == "root" else os.getuid() or NOBODY
    if user == NOBODY and (why := other_user()):
        pytest.skip(why)
    attempts = [Attempt(probe.name) for probe in PROBES]
    rounds = (Round(attempts, confined=False, upper=False), Round(attempts, upper=False), Round(attempts))
    return Cages(user, *tried(user, rounds))
