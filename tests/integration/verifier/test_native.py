"""Native work on a real chain and a published log: looked at across classes, judged by all alike, slashed by nobody."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from backend.app import BackendSettings, build_app
from backend.chain.indexer import Indexer
from backend.services.recovery import recover_database
from backend.store.home import open_blobs, open_database, open_tokenizers
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.log import LogEntry, ObservationEntry, VerdictEntry
from contracts.protocol.native import Finding, Standing, State
from contracts.protocol.records import Params
from contracts.protocol.wire import NativeStanding, NodeView
from contracts.record.history import read_history
from contracts.record.log_book import LogBook, LogFacts, read_epoch
from contracts.record.log_source import FolderLog, published_lines
from contracts.record.standings import Standings
from tests.integration.verifier.crew import Crew, Inbox, inbox
from tests.integration.verifier.network import Network, Ordered, fake_manifest, network_of
from tests.native_double import NODE_CLASS, TOKENS, VERIFIER_CLASS, WEIGHTS_SHA256, NativeDouble
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256
from verifier.audit.audit import audit
from verifier.receipts.cli import show_rerun
from verifier.reexecution.rerun import find_settled, rerun

CHEAT = NativeDouble(NODE_CLASS, b"another model")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A chain of its own, and a native workload whose rows are all checked."""
    manifest = fake_manifest(
        engine="torch-native",
        comparator="native",
        check="prefill",
        weights_sha256=WEIGHTS_SHA256,
        tokenizer_sha256=BYTE_TOKENIZER_SHA256,
        numeric_class=None,
        params={"max_new_tokens": {"minimum": 1, "maximum": TOKENS}},
    )
    with network_of(tmp_path / "log", manifest=manifest, engine=NativeDouble(NODE_CLASS)) as made:
        made.params = Params(max_new_tokens=TOKENS)
        yield made


@pytest.fixture
def box() -> Iterator[Inbox]:
    with inbox() as made:
        yield made


@pytest.fixture
def make_crew(network: Network, tmp_path: Path, box: Inbox) -> Iterator[Callable[..., Crew]]:
    """Makes a crew of these engines, one a verifier; closed at the end."""
    crews: list[Crew] = []

    def make(*engines: NativeDouble) -> Crew:
        crews.append(Crew(network, tmp_path / "home", box, engines))
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()


def published(network: Network, box: Inbox) -> list[LogEntry]:
    """What a backend's log would have of the verdicts received, their blobs included."""
    entries: list[LogEntry] = []
    for sent in box.received:
        entries.append(
            VerdictEntry(epoch_id=sent.epoch_id, verdict=sent.verdict, signature=sent.signature, opening=sent.opening)
        )
        if sent.observation is not None:
            assert network.blob(box.blobs[sent.observation]) == sent.observation
            digest = to_hex(network.domain.verdict_digest(sent.verdict))
            entries.append(ObservationEntry(verdict_digest=digest, observation=sent.observation))
    return entries


def standings(network: Network) -> Callable[[int, int], Standing]:
    """By the whole log, as anybody reads it."""
    source, book = FolderLog(network.folder), LogBook(network.domain)
    history = read_history(network.chain, network.chain.head().number)
    for posted in history.epochs.values():
        read_epoch(book, posted, published_lines(source, posted))
    return partial(Standings().at, LogFacts(book, source))


def shown_over_http(network: Network, home: Path) -> NativeStanding:
    """The operator's standing as GET /v1/nodes has it, of a backend that was made again from chain and log."""
    open_tokenizers(home).put(network.manifest, BYTE_TOKENIZER)
    database, blobs = open_database(home), open_blobs(home)
    indexer = Indexer(database, network.chain, confirmations=0)
    while indexer.step():
        pass
    recover_database(database, blobs, network.deployment, network.folder)
    database.close()
    treasury = network.keys["treasury"].address
    told = BackendSettings(home, network.rpc_url, network.deployment, network.keys["settler"], treasury)
    with TestClient(build_app(told)) as http:
        views = [NodeView.model_validate_json(json.dumps(view)) for view in http.get("/v1/nodes").json()]
    return next(view.native for view in views if view.operator_id == network.operator_id)


def looked_at(network: Network, crew: Crew, jobs: list[Ordered], box: Inbox, verdicts: int) -> None:
    """Posts jobs in epoch 1, reveals their sample, lets the crew work, publishes all and shows the traces."""
    network.post(jobs)
    network.post([])
    crew.work_until(lambda _: len(box.received) >= verdicts)
    network.post([], shown=[*published(network, box), *(network.show(job) for job in jobs)])


@pytest.mark.chain
def test_honest_work_of_another_class_is_looked_at_and_stands(
    network: Network, make_crew: Callable[..., Crew], box: Inbox, tmp_path: Path
) -> None:
    """The verdict rests on what its verifier saw, before the node shows anything; nobody goes to court; the audit
    follows it all."""
    crew = make_crew(NativeDouble(VERIFIER_CLASS))
    looked_at(network, crew, [network.job("one")], box, 1)
    (sent,) = box.received
    assert sent.observation is not None
    assert sent.opening is not None
    assert not crew.history().cases
    found = standings(network)(network.operator_id, 4)
    assert (found.state, found.least_rate_ppm, found.reputation_ppm) == (State.CLEAR, 0, 1_000_000)
    assert shown_over_http(network, tmp_path / "backend") == NativeStanding(**asdict(found), overdue_trace=None)
    assert audit(network.chain, FolderLog(network.folder)).faults == []


@pytest.mark.chain
def test_one_suspect_job_is_watched(
    network: Network, make_crew: Callable[..., Crew], box: Inbox, tmp_path: Path
) -> None:
    """Anyone sees who is watched, and the backend that says so folded what the verifiers fold. Covers: A03"""
    crew = make_crew(NativeDouble(VERIFIER_CLASS))
    looked_at(network, crew, [network.job("one", engine=CHEAT), network.job("two")], box, 2)
    found = standings(network)(network.operator_id, 4)
    assert (found.state, found.checks, found.suspect) == (State.WATCH, 2, 1)
    assert shown_over_http(network, tmp_path / "backend") == NativeStanding(**asdict(found), overdue_trace=None)


@pytest.mark.chain
def test_another_models_work_is_withheld_and_never_slashed(
    network: Network, make_crew: Callable[..., Crew], box: Inbox, tmp_path: Path
) -> None:
    """Whoever reads the log comes to the same standing: no leases, every job checked, no reputation, all stake left.

    Covers: A03, A53
    """
    crew = make_crew(*(NativeDouble(VERIFIER_CLASS) for _ in range(3)))
    jobs = [network.job(f"job {index}", engine=CHEAT) for index in range(6)]
    stake = crew.history().stake_at(network.operator_id, network.chain.head().number)
    looked_at(network, crew, jobs, box, len(jobs))
    standing = standings(network)
    before, after = standing(network.operator_id, 3), standing(network.operator_id, 4)
    assert before.state is State.CLEAR, "nothing counts before it is published"
    assert (after.state, after.leases, after.least_rate_ppm) == (State.WITHHELD, False, 1_000_000)
    assert shown_over_http(network, tmp_path / "backend") == NativeStanding(**asdict(after), overdue_trace=None)
    history = crew.history()
    assert not history.cases
    assert history.stake_at(network.operator_id, network.chain.head().number) == stake
    assert audit(network.chain, FolderLog(network.folder)).faults == []


@pytest.mark.chain
def test_work_of_ones_own_class_is_done_again_and_equal(
    network: Network, make_crew: Callable[..., Crew], box: Inbox
) -> None:
    """The class that a node has shown is the verifier's: equality decides, and is published as on exact work. One that
    only claims the class is looked at."""
    node, verifier = NativeDouble(VERIFIER_CLASS), NativeDouble(VERIFIER_CLASS)
    crew = make_crew(verifier)
    looked_at(network, crew, [network.job("one", engine=node)], box, 1)
    assert (verifier.executed, verifier.observed) == (0, 1), "no class is shown yet"
    network.post([network.job("two", engine=node), network.job("three", engine=CHEAT)])
    network.post([])
    crew.work_until(lambda _: len(box.received) >= 3)
    by_digest = {sent.verdict.commitment_digest: sent for sent in box.received}
    same, other = (by_digest[to_hex(job.row.digest)] for job in network.closed[4].jobs)
    assert same.observation is None
    assert same.opening is not None
    assert other.observation is not None
    assert verifier.executed == 2
    network.post([], shown=[*published(network, box), *(network.show(job) for job in network.closed[4].jobs)])
    assert standings(network)(network.operator_id, 7).state is State.WATCH, "what is not equal in one class counts"


@pytest.mark.chain
def test_an_observation_that_is_another_is_named_by_the_audit(
    network: Network, make_crew: Callable[..., Crew], box: Inbox
) -> None:
    """A log that puts other bytes under a verdict, or leaves them out, is found out. Covers: A57"""
    crew = make_crew(NativeDouble(VERIFIER_CLASS))
    network.post([network.job("one")])
    network.post([])
    crew.work_until(lambda _: bool(box.received))
    verdict, seen = published(network, box)
    assert isinstance(seen, ObservationEntry)
    swapped = seen.model_copy(update={"observation": network.blob(b"something else")})
    network.post([], shown=[verdict, swapped])
    faults = audit(network.chain, FolderLog(network.folder)).faults
    assert any("follows from the observation" in fault.rule for fault in faults)


@pytest.mark.chain
def test_a_restarted_verifier_says_what_it_said(network: Network, make_crew: Callable[..., Crew], box: Inbox) -> None:
    """What was seen is written down with the answer, so a crash changes neither. Covers: A56"""
    crew = make_crew(NativeDouble(VERIFIER_CLASS))
    network.post([network.job("one")])
    network.post([])
    crew.work_until(lambda _: bool(box.received))
    (first,) = box.received
    engine, digest = crew.engines[0], from_hex(first.verdict.commitment_digest)
    assert isinstance(engine, NativeDouble)
    crew.restart(0)
    engine.flavour = b"broken"
    for _ in range(5):
        crew.members[0].step()
    kept = crew.journal(0).answer(digest)
    assert kept is not None
    assert to_hex(keccak(kept.observation)) == first.observation
    assert kept.opening == first.opening
    assert (engine.observed, box.received) == (1, [first])


@pytest.mark.chain
def test_an_auditor_of_another_class_runs_it_again(
    network: Network, make_crew: Callable[..., Crew], box: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other bits are no fault between two classes: what is near is confirmed, another model's work is not; before the
    node has shown its trace there is nothing to hold against. Covers: A09"""
    honest, cheat = network.job("one"), network.job("two", engine=CHEAT)
    network.post([honest, cheat])
    source, auditor = FolderLog(network.folder), NativeDouble(VERIFIER_CLASS)
    orders = [job.commitment.commitment.order_id for job in (honest, cheat)]
    early = rerun(find_settled(network.chain, source, orders)[0], source, auditor)
    assert (early.same, early.seen, early.trace_difference, early.confirmed) == (False, None, None, False)
    network.post([], shown=[network.show(honest), network.show(cheat)])
    near, far = (rerun(job, source, auditor) for job in find_settled(network.chain, source, orders))
    assert near.seen is not None
    assert far.seen is not None
    assert (near.same, near.confirmed, near.seen.judgement.finding) == (False, True, Finding.ACCEPT)
    assert (far.same, far.confirmed, far.seen.judgement.finding) == (False, False, Finding.SUSPECT)
    assert near.seen.distance < 10 < 100 < far.seen.distance
    own = rerun(find_settled(network.chain, source, orders)[0], source, NativeDouble(NODE_CLASS))
    assert (own.same, own.seen, own.confirmed) == (True, None, True)
    stranger = rerun(find_settled(network.chain, source, orders)[1], source, NativeDouble("ab" * 32, CHEAT.flavour))
    assert stranger.seen is not None
    assert (stranger.seen.calibrated, stranger.confirmed) == (False, False)
    kin = rerun(find_settled(network.chain, source, orders)[1], source, NativeDouble(NODE_CLASS))
    assert kin.seen is not None
    assert (kin.confirmed, kin.seen.judgement.finding) == (False, Finding.SUSPECT), "one class, and another model"
    for each in (early, near, far, stranger, kin):
        show_rerun(each, Console(soft_wrap=True, highlight=False))
    said = capsys.readouterr().out
    words = ("cannot be judged", "accept", "suspect", "never calibrated", "should be equal", "NOT the same")
    assert [word in said for word in words] == [True] * 5 + [False]
