"""A node before the court: it appeals by itself what it did itself, on a real chain against verifiers that lie."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from contracts.protocol.records import Lease
from contracts.protocol.wire import LeaseGrant
from contracts.record.history import CaseFile, History, read_history
from node_agent.session.court import CourtWatch
from node_agent.session.journal import JournaledAnswer, NodeJournal
from tests.integration.verifier.crew import Crew, inbox
from tests.integration.verifier.network import HashEngine, Network, Ordered, network_of

pytestmark = pytest.mark.chain
LIAR = b"liar"
DISMISSED, NODE_GUILTY = 1, 3


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Five verifiers of equal stake: two are a minority."""
    with network_of(tmp_path / "log", verifiers=5) as made:
        yield made


@contextmanager
def two_liars(network: Network, home: Path) -> Iterator[Crew]:
    """Two verifiers that agree on a lie; the other three are silent."""
    with inbox() as box:
        crew = Crew(network, home, box, [HashEngine(LIAR), HashEngine(LIAR)])
        try:
            yield crew
        finally:
            crew.close()


def journal_of(network: Network, folder: Path, job: Ordered | None) -> NodeJournal:
    """The node's journal, with its answer in it."""
    node = network.keys["node"].address
    journal = NodeJournal(folder / "journal.sqlite", node=node, domain=network.domain)
    if job is not None:
        order_id = job.commitment.commitment.order_id
        run = network.execute(job.prompts)
        lease = Lease(order_id=order_id, node=node, expires=job.lease.lease.expires)
        grant = LeaseGrant(
            lease=lease, lease_signature=job.lease.signature, order=job.order.order, signer=job.order.signer,
            order_signature=job.order.signature,
        )  # fmt: skip
        journal.record(JournaledAnswer(job.commitment.commitment, run.trace_hash, run.output, grant))
        journal.sign(order_id, job.commitment.signature)
    return journal


def accuse(network: Network, crew: Crew) -> tuple[Ordered, CaseFile]:
    """An honest job is rooted and revealed; the liars open a case on it."""
    job = network.job("honest work")
    network.post([job])
    network.post([])
    history = crew.work_until(lambda history: bool(history.cases))
    return job, next(iter(history.cases.values()))


def end(crew: Crew, network: Network) -> CaseFile:
    """The case, once it is executed."""
    network.wait(41)
    network.settle(1, void_of(network))
    history = crew.work_until(lambda history: all(case.executed for case in history.cases.values()))
    return next(iter(history.cases.values()))


def void_of(network: Network) -> frozenset[int]:
    """What the settler voids: what a ruling upholds."""
    (case,) = read_history(network.chain, network.chain.head().number).cases.values()
    guilty = int(network.chain.court.functions.ruling(case.case_id).call()) == NODE_GUILTY
    return frozenset({case.index}) if guilty else frozenset()


def test_a_node_appeals_by_itself(network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two lying verifiers of five open a case while the others are silent. The node appeals without being told, so
    that nobody is convicted without a majority: nothing is slashed, and it is paid. Covers: A12, A04"""
    with two_liars(network, tmp_path) as crew:
        job, case = accuse(network, crew)
        journal = journal_of(network, tmp_path, job)
        watch = CourtWatch(network.chain, journal, network.sender(network.keys["node"]), network.operator_id)
        with caplog.at_level(logging.WARNING):
            assert watch.step() == [case.case_id]
        assert "only a majority can convict now" in caplog.text
        assert watch.step() == [], "an appeal is made once"
        crew.work_until(lambda history: _revealed(history) == 2)
        network.wait(30)
        closed = end(crew, network)
        journal.close()
    assert closed.executed is not None
    assert (closed.executed.args["ruling"], closed.executed.args["slashedUnits"]) == (DISMISSED, 0)
    account = network.chain.stakes.functions.operators(network.operator_id).call()
    assert (account.stakeUnits, account.lockedUnits) == (10**6, 0)
    assert network.chain.escrow.functions.operators(network.operator_id).call().earnedUnits > 0


def test_without_an_appeal_the_same_lie_convicts(network: Network, tmp_path: Path) -> None:
    """The control: what the appeal prevents is real. Two agreeing openings convict whoever stays silent."""
    with two_liars(network, tmp_path) as crew:
        accuse(network, crew)
        crew.work_until(lambda history: _revealed(history) == 2)
        network.wait(30)
        closed = end(crew, network)
    assert closed.executed is not None
    assert closed.executed.args["ruling"] == NODE_GUILTY
    assert closed.executed.args["slashedUnits"] > 0


def test_what_it_cannot_appeal_is_said_once(network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A case on a commitment that the journal lacks is not appealed blindly; one without gas names address and sum,
    and is appealed as soon as there is some."""
    node = to_checksum_address(network.keys["node"].address)
    with two_liars(network, tmp_path) as crew:
        job, case = accuse(network, crew)
    sender = network.sender(network.keys["node"])
    empty = journal_of(network, tmp_path / "other", None)
    with caplog.at_level(logging.WARNING):
        watch = CourtWatch(network.chain, empty, sender, network.operator_id)
        assert (watch.step(), watch.step()) == ([], [])
        assert caplog.text.count("this journal does not hold") == 1
        network.rpc("anvil_setBalance", node, hex(0))
        journal = journal_of(network, tmp_path, job)
        watch = CourtWatch(network.chain, journal, sender, network.operator_id)
        assert (watch.step(), watch.step()) == ([], [])
        assert caplog.text.count(f"wei for gas to the hot key {network.keys['node'].address}") == 1
        network.rpc("anvil_setBalance", node, hex(10**18))
        assert watch.step() == [case.case_id]
    for each in (empty, journal):
        each.close()


def _revealed(history: History) -> int:
    return sum(event.name == "VerdictRevealed" for case in history.cases.values() for event in case.said)
