"""What takes over the confined process reaches nothing: shown by trying, outside first. Covers: A50, A51, A58"""

import pytest

from tests.escape.cage import Attempt, Found, Round, is_contained, is_denied, tried
from tests.escape.probes import PROBES
from tests.escape.rules import Cages

pytestmark = pytest.mark.process


def test_each_succeeds_outside(cages: Cages) -> None:
    """Protects all tests below from probes that could not fail: sixty and more do what they want when nothing is
    confined; the rest need root, are missing on some machines, or are denied by a container already."""
    for probe, said in zip(PROBES, cages.outside.outcomes, strict=True):
        excused = probe.may_lack or (probe.root and cages.user != 0) or is_contained()
        assert said == "open" or excused, (probe.name, said)
    assert len(cages.opened) >= 60


def test_the_floor_denies_all_but_what_is_named(cages: Cages) -> None:
    """Protects a host whose kernel gives no namespaces: the floor stops every probe by itself, but for those that are
    said to need the upper layer."""
    assert cages.floor.namespaces, "this cage should have no namespaces"
    for probe, said in cages.of(cages.floor):
        assert is_denied(said) if probe.floor else said == "open", (probe.name, said)


def test_both_layers_deny_all(cages: Cages) -> None:
    """Protects what README says where the kernel gives namespaces: nothing succeeds."""
    if cages.both.namespaces:
        pytest.skip(f"this user has no namespaces here: {cages.both.namespaces}")
    for probe, said in cages.of(cages.both):
        assert is_denied(said), (probe.name, said)


def test_threads_and_an_older_landlock_are_confined_too(cages: Cages) -> None:
    """Protects from what a job starts later, and hosts with the first Landlock, which knows neither truncation nor TCP
    nor signals: the floor holds there by itself."""
    probes = [probe for probe in cages.opened if probe.floor and "cpu" not in probe.rules]
    rounds = [Round([Attempt(probe.name, thread=True) for probe in probes], upper=False)]
    rounds.append(Round([Attempt(probe.name, abi=1) for probe in probes], upper=False))
    for found in tried(cages.user, rounds):
        _all_denied([probe.name for probe in probes], found)


def _all_denied(names: list[str], found: Found) -> None:
    for name, said in zip(names, found.outcomes, strict=True):
        assert is_denied(said), (name, said)
