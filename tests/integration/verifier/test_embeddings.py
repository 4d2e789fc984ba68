"""The second kind of work on its real model, the whole way: node, root, re-execution, court, settlement, audit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.protocol.hashing import to_hex
from contracts.protocol.log import CommitmentEntry, LeaseEntry, OrderEntry
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row
from contracts.protocol.packed import counts, pack, unpack, unpack_signed
from contracts.protocol.pricing import amount_units
from contracts.record.history import History
from contracts.record.log_source import FolderLog
from node_agent.app import NodeSettings, build_session, unix_time
from node_agent.execution import kinds
from node_agent.execution.engine import Engine, Execution
from node_agent.models import ModelStore
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import OnchainFacts
from tests.integration.verifier.crew import Crew, inbox
from tests.integration.verifier.network import Network, Ordered, network_of
from tests.world.manifests import EVERY_ROW
from tests.world.node_fakes import FakeBackend
from tests.world.prompts import read
from verifier.audit.audit import audit
from verifier.reexecution import LocalEngines

pytestmark = [pytest.mark.chain, pytest.mark.model]

TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
FIXED, UNIT, MOST = 10, 5, 600
NODE_GUILTY = 3


@pytest.fixture(scope="module")
def minilm() -> tuple[ModelStore, Manifest, Engine]:
    """MiniLM as a node loads it. Every row is sampled: costs so far apart that the least rate is one."""
    store = ModelStore()
    files = store.pull("minilm-l6-v2-exact")
    manifest = kinds.write_manifest("embedding", "minilm-l6-v2-exact", "cpu", check_price_units=7, deterrence=EVERY_ROW)
    return store, manifest, kinds.load(files, manifest, "cpu")


@pytest.fixture
def network(tmp_path: Path, minilm: tuple[ModelStore, Manifest, Engine]) -> Iterator[Network]:
    """A network whose workload is the embedding."""
    store, manifest, engine = minilm
    tokenizer = read(store.pull("minilm-l6-v2-exact").tokenizer.read_bytes())
    with network_of(tmp_path / "log", manifest=manifest, engine=engine, tokenizer=tokenizer) as made:
        yield made


@pytest.fixture
def crew(
    network: Network, tmp_path: Path, minilm: tuple[ModelStore, Manifest, Engine], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Crew]:
    """Three verifiers over the model store, each as it would run by itself, on a core: threads of three processes that
    wait for each other on two cores take longer than the turns below."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engines = [LocalEngines(minilm[0].root, "cpu") for _ in range(3)]
    for each in engines:  # loading takes longer than the chain's seconds below
        each.get(minilm[1])
    with inbox() as box:
        crew = Crew(network, tmp_path, box, engines)
        yield crew
        crew.close()


class OneOff(Engine):
    """An engine that does all the work and changes one number of one vector by one."""

    def __init__(self, honest: Engine) -> None:
        self.name, self.version, self.check, self._honest = honest.name, honest.version, honest.check, honest

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See Engine."""
        run = self._honest.execute(input_bytes, params)
        vectors = unpack_signed(run.output)
        vectors[-1][200] += 1
        return replace(run, output=pack(vectors))


@dataclass
class Served:
    """What a real node session did with one order of a fake backend on the real contracts."""

    network: Network
    home: Path

    def batch(self, texts: list[str]) -> Ordered:
        """Orders a batch, lets the node serve it, and gives the job as the log will have it."""
        network, node = self.network, self.network.keys["node"]
        backend = FakeBackend(network.deployment, network.keys["settler"], network.manifest, unix_time)
        backend.tokenizer = network.tokenizer
        assert backend.requester.address == network.keys["requester"].address
        order_id = backend.order(texts, changes={"fixed_price": FIXED, "unit_price": UNIT, "max_price": MOST})
        workload_id = network.manifest.workload_id()
        settings = NodeSettings(self.home, network.rpc_url, network.deployment, "", (workload_id,), "")
        with backend.serve() as url:
            session = build_session(
                settings, node, OnchainFacts(network.chain), BackendApi(url), network.operator_id,
                {workload_id: network.manifest}, {workload_id: network.engine},
            )  # fmt: skip
            assert session.step()
        order, signature = backend.known[order_id]
        (sent,) = backend.commitments
        grant = backend.grant((order, signature), node.address)
        for name, data in backend.blobs.items():
            (network.words if name in (order.terms.prompt_root, sent.commitment.output_root) else network.blob)(data)
        digest = network.domain.commitment_digest(sent.commitment)
        lane = backend.requester.address
        return Ordered(
            OrderEntry(order=order, signer=lane, signature=signature),
            LeaseEntry(lease=grant.lease, signature=grant.lease_signature),
            CommitmentEntry(commitment=sent.commitment, signature=sent.signature),
            backend.blobs[order.terms.prompt_root],
            Row(lane, lane, network.operator_id, amount_units(order.terms, sent.commitment.units), digest),
        )


def test_a_batch_is_one_order_one_commitment_and_a_vector_a_text(network: Network, crew: Crew, tmp_path: Path) -> None:
    """A real node embeds three texts; a verifier computes the same bits from the log; the payment is explained."""
    (tmp_path / "node").mkdir()
    job = Served(network, tmp_path / "node").batch(TEXTS)
    output = (network.folder / "blobs" / job.commitment.commitment.output_root).read_bytes()
    assert counts(output) == [384] * 3
    alone = [network.execute(pack([prompt])) for prompt in unpack(job.prompts)]
    assert unpack(output) == [vector for run in alone for vector in unpack(run.output)]
    assert job.commitment.commitment.units == sum(run.units for run in alone) == 25
    assert job.row.amount_units == FIXED + 25 * UNIT
    network.post([job])
    network.post([])
    crew.work_until(lambda _: bool(crew.box.received))
    (submitted,) = crew.box.received
    assert submitted.verdict.commitment_digest == to_hex(job.row.digest)
    assert submitted.opening is not None, "it agrees"
    index = [key.address for key in network.verifiers].index(submitted.verdict.verifier)
    network.post([], [network.verdict(1, job, index)])
    network.wait(41)
    for epoch_id in (1, 2):
        network.settle(epoch_id)
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert (report.rows_sampled, report.void_rows, report.unexplained_wei) == (1, 0, 0)


def test_a_vector_wrong_by_one_unit_is_convicted(network: Network, crew: Crew) -> None:
    """All the work, the true trace, one number off by one in 2^20: void, slashed, explained. Covers: A08"""
    honest = network.job(TEXTS, max_price=MOST)
    wrong = network.job([*TEXTS, "One more."], engine=OneOff(network.engine), max_price=MOST)
    network.post([honest, wrong])
    network.post([])

    def all_said(history: History) -> bool:
        return sum(event.name == "VerdictRevealed" for case in history.cases.values() for event in case.said) == 3

    history = crew.work_until(all_said)
    (case,) = history.cases.values()
    assert (case.epoch_id, case.index) == (1, 1)
    network.wait(41)
    network.settle(1, frozenset({1}))
    history = crew.work_until(lambda history: any(case.executed for case in history.cases.values()))
    (case,) = history.cases.values()
    assert case.executed is not None
    assert case.executed.args["ruling"] == NODE_GUILTY
    network.post([], [network.verdict(1, honest)])
    report = audit(network.chain, FolderLog(network.folder))
    assert report.faults == []
    assert (report.void_rows, report.cases, report.unexplained_wei) == (1, 1, 0)
