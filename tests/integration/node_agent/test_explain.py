"""`assay node explain`: every way in which a job ends, recomputed from chain, published log and journal."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contracts.protocol.hashing import to_hex
from contracts.protocol.log import LogEntry, ObservationEntry, VerdictEntry
from contracts.protocol.native.observation import observed_opening
from contracts.protocol.records import Lease, Params, Verdict
from contracts.protocol.typed_data import answer_commit
from contracts.protocol.wire import LeaseGrant
from contracts.record.history import read_history
from contracts.record.log_book import LogBook, LogFacts, read_epoch
from contracts.record.log_source import FolderLog
from contracts.record.sample import Sample, seed_of
from contracts.record.standings import Standings
from node_agent.explanation import Explainer, Explanation, Sources
from node_agent.session.backend_api import BackendApi
from node_agent.session.journal import JournaledAnswer, NodeJournal
from tests.integration.verifier.network import Network, Ordered, fake_manifest, network_of
from tests.native_double import NODE_CLASS, TOKENS, VERIFIER_CLASS, WEIGHTS_SHA256, NativeDouble

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Contracts, a log in a folder, and no backend."""
    with network_of(tmp_path_factory.mktemp("net") / "log", verifiers=1) as made:
        yield made


class Told:
    """A mirror of the log over HTTP, and the node's explanations with it."""

    def __init__(self, network: Network, journal: NodeJournal) -> None:
        self.network, self.journal = network, journal

    def explain(self, order_id: str, *, operator_id: int | None = None) -> Explanation:
        """What the node says of an order; the mirror knows no orders, as after the backend's end."""
        node, chain = self.network.keys["node"].address, self.network.chain
        api = BackendApi("http://mirror", attempts=1, transport=httpx.MockTransport(self._answer))
        sources = Sources(chain, self.journal, operator_id or self.network.operator_id, node, api)
        try:
            return Explainer(sources, order_id).explain()
        finally:
            api.close()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if request.url.path.startswith("/v1/log/epochs/"):
            return httpx.Response(200, stream=httpx.ByteStream((self.network.folder / "epochs" / name).read_bytes()))
        if request.url.path.startswith("/v1/blobs/"):
            return httpx.Response(200, stream=httpx.ByteStream((self.network.folder / "blobs" / name).read_bytes()))
        if name == self.network.manifest.workload_id():
            return httpx.Response(200, stream=httpx.ByteStream(self.network.manifest.canonical()))
        return httpx.Response(404, stream=httpx.ByteStream(b"{}"))


@pytest.fixture
def told(network: Network, tmp_path: Path) -> Iterator[Told]:
    journal = NodeJournal(tmp_path / "journal.sqlite", node=network.keys["node"].address, domain=network.domain)
    yield Told(network, journal)
    journal.close()


def grant_of(network: Network, job: Ordered) -> LeaseGrant:
    """The grant under which a job was done."""
    lease = Lease(order_id=job.lease.lease.order_id, node=network.keys["node"].address, expires=job.lease.lease.expires)
    return LeaseGrant(
        lease=lease, lease_signature=job.lease.signature, order=job.order.order, signer=job.order.signer,
        order_signature=job.order.signature,
    )  # fmt: skip


def id_of(job: Ordered) -> str:
    return job.commitment.commitment.order_id


def says(found: Explanation, step: str) -> str:
    return " | ".join(each.says for each in found.steps if each.name == step)


def test_paid_skipped_stranded_and_void_without_a_case(network: Network, told: Told) -> None:
    """The chain decides the outcome, the log the sample; what the settler did wrong is its, and is said."""
    paid, wronged = network.job("paid"), network.job("wronged")
    first = network.post([paid, wronged])
    assert told.explain(id_of(paid)).outcome == "posted"
    second_job = network.job("skipped")
    second = network.post([second_job])
    assert told.explain(id_of(paid)).outcome == "revealed"
    third = network.post([stranded := network.job("stranded")])
    network.post([])
    network.wait(41)
    (group,) = second.groups
    network.closed[second.epoch_id].groups = (type(group)(group.requester, group.signer, None, group.rows),)
    network.settle(second.epoch_id)  # before the first one has proven a cap
    network.settle(first.epoch_id, frozenset({1}))

    found = told.explain(id_of(paid))
    amount = paid.row.amount_units
    assert (found.outcome, found.lies, found.amount_units) == ("paid", [], amount)
    assert found.credited_units == amount - amount // 10
    _same_sample_as_the_verifier(network, found, paid)
    assert f"grossed {amount} there" in says(found, "credit")
    found = told.explain(id_of(wronged))
    assert found.outcome == "void"
    assert "void although there is no case on it: the settler's error or lie" in found.lies[0]
    found = told.explain(id_of(second_job))
    assert (found.outcome, found.credited_units) == ("skipped", None)
    assert "no signed cap covered the charge" in found.says
    assert "`assay node settle`" in found.says
    assert told.explain(id_of(stranded)).outcome == "revealed"
    network.wait(300)
    found = told.explain(id_of(stranded))
    assert (found.outcome, found.epoch_id) == ("stranded", third.epoch_id)
    assert "`assay node settle` pays the leaf now" in found.says
    assert told.explain(id_of(paid), operator_id=99).outcome == "elsewhere"


def _same_sample_as_the_verifier(network: Network, found: Explanation, job: Ordered) -> None:
    history = read_history(network.chain, network.chain.head().number)
    book = LogBook(network.domain)
    assert found.epoch_id is not None
    read_epoch(book, history.epochs[found.epoch_id], network.closed[found.epoch_id].lines)
    constants, facts = network.deployment.constants, LogFacts(book, FolderLog(network.folder))
    seed = seed_of(history, constants, found.epoch_id, network.chain.block_hash)
    assert seed is not None
    drawn = Sample(history, facts, constants, Standings()).draw(found.epoch_id, seed)
    assert next(each.sampled for each in drawn if each.row.digest == job.row.digest) is found.sampled


def test_work_that_nothing_is_owed_for(network: Network, told: Told) -> None:
    """A lease that was lost, an order that expired, an answer that waits or was refused, an id that nobody knows."""
    lost, expired, waiting, refused = (network.job(text) for text in ("lost", "expired", "waiting", "refused"))
    told.journal.lend(grant_of(network, lost), 100)
    told.journal.abandon(id_of(lost), "The lease ended at 160, the answer was there at 170.")
    found = told.explain(id_of(lost))
    assert found.outcome == "abandoned"
    assert "the answer was there at 170" in found.says
    told.journal.lend(grant_of(network, expired), 100)
    assert told.explain(id_of(expired)).outcome == "queued"
    network.wait(200)
    found = told.explain(id_of(expired))
    assert found.outcome == "expired"
    assert "this node had a lease until" in found.says
    for job in (waiting, refused):
        told.journal.record(JournaledAnswer(job.commitment.commitment, b"\1" * 32, b"out", grant_of(network, job)))
    assert told.explain(id_of(waiting)).outcome == "answered"
    told.journal.refuse(id_of(refused), "409 lease_expired: too late")
    assert "409 lease_expired" in told.explain(id_of(refused)).says
    told.journal.acknowledge(id_of(waiting), network.chain.head().timestamp - 9)
    assert told.explain(id_of(waiting)).says.startswith("delivered 9 s ago")
    assert told.explain(to_hex(b"\7" * 32)).outcome == "unknown"


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Told]:
    """The same of native work, on a network of its own."""
    manifest = fake_manifest(
        engine="torch-native", comparator="native", check="prefill", weights_sha256=WEIGHTS_SHA256, numeric_class=None,
        params={"max_new_tokens": {"minimum": 1, "maximum": TOKENS}},
    )  # fmt: skip
    with network_of(tmp_path / "log", manifest=manifest, engine=NativeDouble(NODE_CLASS)) as network:
        network.params = Params(max_new_tokens=TOKENS)
        journal = NodeJournal(tmp_path / "native.sqlite", node=network.keys["node"].address, domain=network.domain)
        yield Told(network, journal)
        journal.close()


def looked(network: Network, job: Ordered, verifier: int, seen: bytes) -> list[LogEntry]:
    """A verdict that rests on an observation, with it."""
    key, digest = network.verifiers[verifier], job.row.digest
    opening = observed_opening(seen, job.commitment.commitment)
    hidden = to_hex(answer_commit(opening, digest, key.address))
    verdict = Verdict(commitment_digest=to_hex(digest), verifier=key.address, answer_commit=hidden)
    signed, name = network.domain.verdict_digest(verdict), network.blob(seen)
    return [
        VerdictEntry(epoch_id=1, verdict=verdict, signature=key.sign(signed), opening=opening),
        ObservationEntry(verdict_digest=to_hex(signed), observation=name),
    ]


def test_a_native_jobs_trace_when_it_is_due_and_overdue(native: Told) -> None:
    """Protects operators: a trace that is not shown blocks native work, and it is said of which commitment, and why."""
    network, constants = native.network, native.network.deployment.constants
    job = network.job("one")

    def told() -> str:
        return says(native.explain(id_of(job)), "trace")

    network.post([job])
    assert "after the check period, which begins when epoch 2 is posted" in told()
    network.post([])
    assert "when no verifier can copy it any more" in told()
    network.wait(constants.check_wait_s + 1)
    assert "run the node from the home that computed the job" in told()
    trace_hash = hashlib.sha256(job.trace).digest()
    native.journal.record(
        JournaledAnswer(job.commitment.commitment, trace_hash, b"out", grant_of(network, job)), job.trace
    )
    assert "and not shown: `assay node run` shows it by itself" in told()
    network.wait(constants.epoch_max_s + 1)
    assert f"of commitment {to_hex(job.row.digest)}: OVERDUE since" in told()
    assert "no native jobs until it is shown" in told()
    native.journal.refuse_trace(id_of(job), "422 trace_mismatch: another")
    assert "the backend refused it: 422 trace_mismatch" in told()
    native.journal.show(id_of(job), 77)
    assert "the backend took it at 77" in told()
    network.post([], shown=[network.show(job)])
    assert "shown in the log of epoch 3" in told()


def test_what_verifiers_saw_of_a_native_job(native: Told) -> None:
    """Protects operators: whose class saw what is judged again from the log, and no verdict on native work is said to
    have gone to the court."""
    network, eyes = native.network, NativeDouble(VERIFIER_CLASS)
    good, bad = network.job("one"), network.job("two", engine=NativeDouble(NODE_CLASS, b"another model"))
    network.post([good, bad])
    network.post([])
    params = network.params.of(network.manifest.params)
    seen = {id_of(job): eyes.observe(job.prompts, params, b"") for job in (good, bad)}
    unmeasured = NativeDouble("77" * 32).observe(good.prompts, params, b"")
    first = [*looked(network, good, 0, seen[id_of(good)]), *looked(network, bad, 0, seen[id_of(bad)])]
    network.post([], shown=[*first, *looked(network, good, 1, b"nonsense"), *looked(network, bad, 1, unmeasured)])
    assert "is judged once the trace is shown" in says(native.explain(id_of(good)), "verdict")
    network.post([], shown=[network.show(good), network.show(bad)])
    network.post([], shown=looked(network, good, 2, seen[id_of(good)]))
    found = native.explain(id_of(good))
    told = says(found, "verdict")
    assert (found.lies, found.sampled) == ([], True)
    assert f"of class {VERIFIER_CLASS[:8]}.. found it accept; the node's is {NODE_CLASS[:8]}..," in told
    assert "published a malformed observation" in told
    assert "after the trace, so it does not count" in told
    assert "court" not in told
    told = says(native.explain(id_of(bad)), "verdict")
    assert "found it suspect" in told
    assert f"`assay verify --job {id_of(bad)}` on another host" in told
    assert "an uncalibrated pair of classes" in told
