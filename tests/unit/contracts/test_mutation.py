"""The mutation runner's own parts: lists that cannot rot, and mutants that are what they say. No compiler is run."""

import pytest

from contracts.tools.mutation import campaign, sources, switches
from contracts.tools.mutation.defences import Defence, DefencesError, defences, solidity_tests
from contracts.tools.mutation.mutant_tests import Outcome
from contracts.tools.mutation.operators import Mutant, sample
from contracts.tools.mutation.switches import Place

# Attacks whose defence lies in the contracts, at least in part.
ON_CHAIN = {10, 11, 12, *range(14, 26), *range(27, 41), 54, 56, *range(61, 67)}


@pytest.mark.parametrize("defence", defences(), ids=lambda defence: f"{defence.id}: {defence.what}")
def test_a_defence_is_found_once_and_its_tests_are_there_and_name_it(defence: Defence) -> None:
    removed = defence.removed()
    text = sources.text_of(defence.file)
    assert removed.apply(text) == text.replace(defence.before, defence.after) != text
    tests = solidity_tests()
    assert defence.red
    for test in defence.red:
        assert defence.id in tests[test], f"{test} does not say that it covers {defence.id}"


def test_every_attack_that_the_contracts_hold_off_has_a_defence_in_the_list() -> None:
    listed = {int(defence.id.removeprefix("A")) for defence in defences()}
    assert listed >= ON_CHAIN


def test_a_defence_that_is_no_longer_there_is_an_error() -> None:
    gone = Defence("A10", "gone", "src/StakeManager.sol", "no such text", "", ("T.test",))
    with pytest.raises(DefencesError, match="found 0 times"):
        gone.removed()


def test_each_explanation_is_of_a_text_that_is_there() -> None:
    for entry in campaign.explanations():
        assert entry.before in sources.text_of(entry.file), f"{entry.file}: {entry.before}"
        assert entry.why


def _mutant(start: int, end: int, after: str, *, function: str = "f", operator: str = "relational") -> Mutant:
    return Mutant("src/X.sol", 1, function, operator, start, end, SOURCE[start:end], after)


SOURCE = "function f() { uint x = a + b; x = 1; }"
DECLARED, ASSIGNED = Place(24, 29, False), Place(31, 37, True)


def test_a_switch_holds_the_original_and_each_mutant() -> None:
    first, second = _mutant(26, 27, "-"), _mutant(31, 37, "{}")
    switched = switches.switch(SOURCE.encode(), [(1, first), (2, second)], [DECLARED, ASSIGNED])
    assert switched.text.startswith(
        "function f() { uint x = (mutant() == 1 ? a - b : a + b); { if (mutant() == 2) { {} } else { x = 1; } } }"
    )
    assert switched.at(switched.text.index("a - b")) == first
    assert switched.at(switched.text.index("a + b")) is None


def test_a_mutants_code_is_the_common_code_with_its_number() -> None:
    magic = "6d757461" * 8
    assert switches.select(f"60{magic}61{magic}", 17) == "60" + f"{17:064x}" + "61" + f"{17:064x}"


def test_a_change_that_no_place_holds_is_compiled_alone() -> None:
    assert switches.place_of(_mutant(0, 12, ""), [DECLARED, ASSIGNED]) is None


def test_a_sample_reaches_every_function_and_is_the_same_for_the_same_seed() -> None:
    everything = [_mutant(i, i + 1, str(i), function=f"f{i % 7}", operator=f"o{i % 3}") for i in range(39)]
    chosen = sample(everything, 20, seed=5)
    assert chosen == sample(everything, 20, seed=5) != sample(everything, 20, seed=6)
    assert len(chosen) <= 20
    assert {mutant.function for mutant in chosen} == {f"f{i}" for i in range(7)}
    with pytest.raises(ValueError, match="cannot reach all 7 functions"):
        sample(everything, 6, seed=5)


def test_a_copy_imports_copies_of_what_carries_the_change_and_shares_the_rest() -> None:
    copies = sources.copy_under("m1", "src/Lanes.sol", sources.text_of("src/Lanes.sol"))
    assert set(copies) == {"m1/src/Lanes.sol", "m1/src/Epochs.sol", "m1/src/JobEscrow.sol"}
    assert 'from "m1/src/Lanes.sol"' in copies["m1/src/Epochs.sol"]
    assert 'from "m1/src/Epochs.sol"' in copies["m1/src/JobEscrow.sol"]
    assert 'from "src/libraries/Merkle.sol"' in copies["m1/src/Lanes.sol"]


def test_every_mutated_file_is_carried_by_what_tests_deploy() -> None:
    without_code = {"src/Governor.sol"}
    assert {file for file in sources.mutated_files() if not sources.hosts_of(file)} == without_code


def _tests_are(monkeypatch: pytest.MonkeyPatch, **fingerprints: str) -> None:
    monkeypatch.setattr(sources, "test_fingerprints", lambda: fingerprints)


def test_a_kill_is_known_as_long_as_one_test_that_killed_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _tests_are(monkeypatch, LanesTest="l", ViewsTest="v")
    outcome = Outcome(["LanesTest.test_a", "ViewsTest.test_b"])
    recorded = campaign.record(outcome)
    assert campaign.recall(recorded) == outcome
    _tests_are(monkeypatch, LanesTest="l", ViewsTest="changed")
    assert campaign.recall(recorded) == Outcome(["LanesTest.test_a"])
    _tests_are(monkeypatch, LanesTest="changed")
    assert campaign.recall(recorded) is None
    assert campaign.added(recorded) is None


def test_who_survived_meets_the_tests_that_were_added_and_all_once_one_was_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _tests_are(monkeypatch, LanesTest="l")
    survived, cut_off = campaign.record(Outcome()), campaign.record(Outcome(timed_out=True))
    assert campaign.recall(survived) == Outcome()
    assert campaign.recall(cut_off) == Outcome(timed_out=True)
    _tests_are(monkeypatch, LanesTest="l", ViewsTest="v")
    assert campaign.recall(survived) is None
    assert campaign.added(survived) == ["ViewsTest"]
    assert campaign.recall(cut_off) == Outcome(timed_out=True)
    _tests_are(monkeypatch, LanesTest="changed", ViewsTest="v")
    for recorded in (survived, cut_off, {}):
        assert campaign.recall(recorded) is None
        assert campaign.added(recorded) is None


def test_a_tests_fingerprint_is_of_its_own_file() -> None:
    found = sources.test_fingerprints()
    assert found["LanesTest"] != found["ViewsTest"]
    assert set(found) >= {test.split(".")[0] for test in solidity_tests()}
