"""Real verifiers on a real chain: what they check, say, and do before the court."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.protocol.log import CommitmentEntry
from contracts.record.history import History
from contracts.record.log_source import FolderLog
from node_agent.execution.engine import Execution
from node_agent.execution.errors import ModelUnavailable
from tests.integration.verifier.crew import Crew, Inbox, inbox
from tests.integration.verifier.network import HashEngine, Network
from verifier.audit.audit import audit

CHEAP, LIAR = HashEngine(b"cheap"), HashEngine(b"liar")
DISMISSED, NODE_UPHELD, NODE_GUILTY = 1, 2, 3

MakeCrew = Callable[..., Crew]


@pytest.fixture
def box() -> Iterator[Inbox]:
    with inbox() as box:
        yield box


@pytest.fixture
def make_crew(network: Network, tmp_path: Path, box: Inbox) -> Iterator[MakeCrew]:
    crews: list[Crew] = []

    def make(*engines: HashEngine) -> Crew:
        crews.append(Crew(network, tmp_path, box, list(engines)))
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()


def is_executed(history: History) -> bool:
    return any(case.executed for case in history.cases.values())


def said(history: History, name: str) -> int:
    return sum(event.name == name for case in history.cases.values() for event in case.said)


def test_an_honest_job_is_checked_by_the_first_drawn(network: Network, make_crew: MakeCrew, box: Inbox) -> None:
    """Agreement is published with its opening, signed, by one verifier; nothing is sent before the reveal."""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    job = network.job("one")
    network.post([job])
    for member in crew.members.values():
        member.step()
    assert box.received == [], "before the next post nobody knows what is checked"
    network.post([])
    crew.work_until(lambda _: bool(box.received))
    (submitted,) = box.received
    assert submitted.epoch_id == 1
    assert submitted.opening is not None
    assert submitted.verdict.commitment_digest == "0x" + job.row.digest.hex()
    index = [key.address for key in network.verifiers].index(submitted.verdict.verifier)
    entry = network.verdict(1, job, index)
    assert (entry.verdict, entry.signature, entry.opening) == (
        submitted.verdict,
        submitted.signature,
        submitted.opening,
    )


def test_a_cheating_node_is_convicted_without_the_backend(network: Network, make_crew: MakeCrew, box: Inbox) -> None:
    """One finds it, all answer blind, the row is void, the stake pays, the audit explains it."""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    network.post([network.job("honest"), network.job("cheated", engine=CHEAP)])
    network.post([])
    history = crew.work_until(lambda history: said(history, "VerdictRevealed") == 3)
    (case,) = history.cases.values()
    assert (case.epoch_id, case.index) == (1, 1)
    network.wait(41)
    network.settle(1, frozenset({1}))
    history = crew.work_until(is_executed)
    (case,) = history.cases.values()
    assert case.executed is not None
    assert case.executed.args["ruling"] == NODE_GUILTY
    assert history.stake_at(network.operator_id, network.chain.head().number) == 10**6 - case.penalty_units
    accused = [s for s in box.received if s.verdict.commitment_digest == "0x" + case.commitment_digest.hex()]
    assert all(submitted.opening is None for submitted in accused)
    assert accused
    verdicts = [network.verdict(1, network.closed[1].jobs[0])]
    network.post([], verdicts)
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert (report.void_rows, report.cases, report.unexplained_wei) == (1, 1, 0)


class Inflated(HashEngine):
    """Does the work and adds 200 to the meter."""

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        run = super().execute(input_bytes, params)
        return replace(run, units=run.units + 200)


def test_a_node_that_inflates_its_meter_is_convicted(network: Network, make_crew: MakeCrew) -> None:
    """True trace, true output, false units: guilty all the same, and paid nothing. Covers: A55"""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    network.post([network.job("metered", engine=Inflated())])
    network.post([])
    crew.work_until(lambda history: said(history, "VerdictRevealed") == 3)
    network.wait(41)
    network.settle(1, frozenset({0}))
    (case,) = crew.work_until(is_executed).cases.values()
    assert case.executed is not None
    assert case.executed.args["ruling"] == NODE_GUILTY
    report = audit(network.chain, FolderLog(network.folder))
    assert (report.faults, report.charged_units) == ([], 0)


def test_a_paid_job_found_wrong_later_is_refunded(network: Network, make_crew: MakeCrew) -> None:
    """A case that is ruled after settlement refunds the lane out of the node's stake; the audit follows the money."""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    network.post([network.job("cheated", engine=CHEAP)])
    network.post([])
    network.wait(41)
    network.settle(1)
    history = crew.work_until(is_executed)
    (case,) = history.cases.values()
    assert case.executed is not None
    assert case.executed.args["refundUnits"] == network.closed[1].jobs[0].row.amount_units
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert report.unexplained_wei == 0


def test_a_lying_verifier_loses_its_stake_and_the_node_nothing(network: Network, make_crew: MakeCrew) -> None:
    """A third of the stake accuses, the honest majority answers, and the accuser pays. Covers: A12, A04"""
    crew = make_crew(LIAR, HashEngine(), HashEngine())
    network.post([network.job(f"job {i}") for i in range(4)])  # the liar is drawn, first or as a stand-in
    network.post([])
    history = crew.work_until(is_executed, turns=120)
    case = next(case for case in history.cases.values() if case.executed)
    assert case.executed is not None
    assert case.voters[0] == network.verifier_ids[0]
    assert case.executed.args["ruling"] == NODE_UPHELD
    head = network.chain.head().number
    assert history.stake_at(network.operator_id, head) == 10**6
    assert history.stake_at(network.verifier_ids[0], head) < 10**9
    assert [history.stake_at(account, head) for account in network.verifier_ids[1:]] == [10**9, 10**9]
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert report.unexplained_wei == 0


def test_a_verifier_killed_before_its_reveal_goes_on_from_journal_and_chain(
    network: Network, make_crew: MakeCrew
) -> None:
    """After a restart nothing is computed again and the committed answer is opened. Covers: A45"""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    network.post([network.job("cheated", engine=CHEAP)])
    network.post([])
    crew.work_until(lambda history: said(history, "VerdictCommitted") == 3)
    calls = [engine.calls for engine in crew.engines]
    for index in range(3):
        crew.restart(index)
    crew.work_until(lambda history: said(history, "VerdictRevealed") == 3)
    assert [engine.calls for engine in crew.engines] == calls


def test_a_verifier_that_cannot_compute_harms_nobody(network: Network, make_crew: MakeCrew, box: Inbox) -> None:
    """Without the model a verifier says nothing: no verdict, no case, no answer. Covers: A60"""

    class NoModel(HashEngine):
        def execute(self, input_bytes: bytes, params: object) -> object:  # type: ignore[override]
            raise ModelUnavailable("There is no model here.", way_out="Pull it.")

    crew = make_crew(NoModel(), NoModel(), NoModel())
    network.post([network.job("one")])
    network.post([])
    with pytest.raises(AssertionError, match="not reached"):
        crew.work_until(lambda history: bool(history.cases), turns=45)
    assert box.received == []


def test_records_that_do_not_hold_are_never_held_against_a_node(network: Network, make_crew: MakeCrew) -> None:
    """A settler that roots a commitment its node never signed frames nobody: verifiers abstain. Covers: A12"""
    job = network.job("one", engine=CHEAP)
    forged = CommitmentEntry(commitment=job.commitment.commitment, signature=job.lease.signature)
    network.post([replace(job, commitment=forged)])
    network.post([])
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    with pytest.raises(AssertionError, match="not reached"):
        crew.work_until(lambda history: bool(history.cases), turns=15)
    assert [engine.calls for engine in crew.engines] == [0, 0, 0]


def test_an_appealed_case_takes_a_majority_and_the_audit_rules_alike(network: Network, make_crew: MakeCrew) -> None:
    """The node's appeal restarts the window; the majority answers all the same, and the auditor follows."""
    crew = make_crew(HashEngine(), HashEngine(), HashEngine())
    network.post([network.job("cheated", engine=CHEAP)])
    network.post([])
    history = crew.work_until(lambda history: bool(history.cases))
    (case_id,) = history.cases
    network.call(network.keys["node"], network.chain.court.functions.appeal(history.cases[case_id].leaf))
    history = crew.work_until(lambda history: said(history, "VerdictRevealed") == 3)
    assert said(history, "Appealed") == 1
    network.wait(41)
    network.settle(1, frozenset({0}))
    executed = crew.work_until(is_executed).cases[case_id].executed
    assert executed is not None
    assert executed.args["ruling"] == NODE_GUILTY
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert report.unexplained_wei == 0


def test_an_accuser_that_falls_silent_loses_the_flat_reward_alone(network: Network, make_crew: MakeCrew) -> None:
    """Whoever commits and never opens pays CASE_REWARD; the case is dismissed and the books still add up."""
    crew = make_crew(LIAR)
    network.post([network.job("one")])
    network.post([])
    crew.work_until(lambda history: bool(history.cases))
    network.wait(30)
    history = crew.work_until(is_executed)
    head, constants = network.chain.head().number, network.deployment.constants
    assert said(history, "VerdictRevealed") == 0
    assert history.stake_at(network.verifier_ids[0], head) == 10**9 - constants.case_reward_units
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert report.unexplained_wei == 0


def test_one_accuser_alone_convicts_nobody(network: Network, make_crew: MakeCrew) -> None:
    """A single opened answer is no majority: the case is dismissed and nobody loses anything. Covers: A12"""
    crew = make_crew(LIAR)
    network.post([network.job("one")])
    network.post([])
    history = crew.work_until(is_executed)
    (case,) = history.cases.values()
    assert case.executed is not None
    assert case.executed.args["ruling"] == DISMISSED
    head = network.chain.head().number
    assert history.stake_at(network.operator_id, head) == 10**6
    assert history.stake_at(network.verifier_ids[0], head) == 10**9
    assert audit(network.chain, FolderLog(network.folder)).faults == []
