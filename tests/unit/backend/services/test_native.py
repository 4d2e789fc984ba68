"""Native work in the backend: what verifiers saw, what nodes have shown, and who is given more of it."""

from collections.abc import Callable

import pytest

from backend.domain.assignment import HEAD_START_S, WaitingJob, offered_to
from backend.errors import BackendError
from backend.services.offering import offer_workload
from backend.store.chain_tables import LoggedFactRow
from backend.store.home import open_tokenizers
from backend.store.record import TRACE_FACT, VERDICT_FACT
from backend.store.tables import TraceRow
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.native.observation import observed_opening
from contracts.protocol.packed import packed_root
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment, Verdict
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import answer_commit, trace_commit
from contracts.protocol.wire import LeaseRequest, NativeStanding, SubmitTrace, SubmitVerdict
from node_agent.execution.engine import Execution
from tests.native_double import NODE_CLASS, VERIFIER_CLASS, WEIGHTS_SHA256, NativeDouble
from tests.unit.backend.world import (
    DEPLOYMENT,
    DOMAIN,
    FIXED,
    MANIFEST,
    MAX_UNITS,
    NODE,
    OUTPUT,
    PARAMS,
    PROMPT,
    UNIT,
    VERIFIER,
    World,
    commitment_for,
    signer,
)
from tests.world.node_fakes import BYTE_TOKENIZER

GIVEN = PARAMS.of(["max_new_tokens"])
NATIVE = MANIFEST.model_copy(update={"comparator": "native", "weights_sha256": WEIGHTS_SHA256, "numeric_class": None})
HONEST, CHEAT, SEEN = (
    NativeDouble(NODE_CLASS, tokens=8),
    NativeDouble(NODE_CLASS, b"another", tokens=8),
    NativeDouble(VERIFIER_CLASS, tokens=8),
)
VERIFIERS = [VERIFIER, signer("second verifier"), signer("third verifier")]
Told = Callable[[], object]


class Native:
    """A backend with a native workload. Each job stands in an epoch of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": MAX_UNITS}
        offer_workload(world.database, open_tokenizers(world.folder), NATIVE, BYTE_TOKENIZER, **prices)
        world.chain.verifiers |= {key.address: 3 + index for index, key in enumerate(VERIFIERS)}
        world.event("NodeKeyAdded", id=1, node=NODE.address)
        self.epoch_id = 0

    def seen(self) -> NativeStanding:
        """What anyone sees of the node's operator."""
        (view,) = self.world.services.views.nodes()
        return view.native

    def lend(self) -> str:
        """Asks for a native job and returns its order's id."""
        ask = self.world.ask()
        grant = self.world.services.leasing.lend(
            LeaseRequest(request=ask.request, signature=ask.signature, workload_id=NATIVE.workload_id())
        )
        assert grant is not None
        return grant.lease.order_id

    def order(self) -> str:
        """Accepts a native order."""
        return self.world.order(workload_id=NATIVE.workload_id(), comparator=COMPARATOR_NATIVE)

    def job(self, engine: NativeDouble = HONEST) -> tuple[str, Execution]:
        """A job through to its posted row: the commitment's digest, and what the node has to show."""
        world = self.world
        self.order()
        world.now_s += HEAD_START_S
        order_id = self.lend()
        run = engine.execute(PROMPT, GIVEN)
        bound = to_hex(trace_commit(run.trace_hash, from_hex(order_id), NODE.address))
        root = world.blobs.put(run.output, to_hex(packed_root(run.output)))
        sent = commitment_for(order_id, output_root=root, trace_commit=bound, units=run.units)
        digest = world.services.delivery.receive(sent).digest
        self.epoch_id += 1
        world.close_epoch(self.epoch_id)
        world.event("EpochPosted", id=self.epoch_id)
        return digest, run

    def over(self) -> None:
        """The next post, and the end of the check period."""
        self.epoch_id += 1
        self.world.close_epoch(self.epoch_id)
        self.world.event("EpochPosted", id=self.epoch_id)
        self.world.now_s += DEPLOYMENT.constants.check_wait_s

    def verdict(self, digest: str, run: Execution, key: Signer = VERIFIER, seen: bytes | None = None) -> SubmitVerdict:
        """What a verifier of another class says."""
        seen = SEEN.observe(PROMPT, GIVEN, run.output) if seen is None else seen
        about = Commitment(
            order_id=digest,
            node=NODE.address,
            output_root=to_hex(packed_root(run.output)),
            trace_commit=digest,
            units=8,
        )
        opening = observed_opening(seen, about)
        hidden = to_hex(answer_commit(opening, from_hex(digest), key.address))
        verdict = Verdict(commitment_digest=digest, verifier=key.address, answer_commit=hidden)
        signature, epoch_id = key.sign(DOMAIN.verdict_digest(verdict)), self.epoch_id
        name = self.world.blobs.hold(seen)
        return SubmitVerdict(epoch_id=epoch_id, verdict=verdict, signature=signature, opening=opening, observation=name)

    def show(self, digest: str, run: Execution) -> None:
        """The node's trace, and all that was received, in the log of the next epoch."""
        world = self.world
        world.services.traces.receive(SubmitTrace(commitment_digest=digest, trace=world.blobs.hold(run.trace)))
        with world.database.begin() as session:
            session.add(LoggedFactRow(fact=TRACE_FACT + digest, epoch_id=self.epoch_id))

    def checked(self, engine: NativeDouble, key: Signer) -> None:
        """A job that one verifier looked at, with all of it published."""
        digest, run = self.job(engine)
        accepted = self.world.services.verdicts.receive(self.verdict(digest, run, key))
        with self.world.database.begin() as session:
            session.add(LoggedFactRow(fact=VERDICT_FACT + accepted.digest, epoch_id=self.epoch_id))
        self.over()
        self.show(digest, run)


@pytest.fixture
def native(world: World) -> Native:
    return Native(world)


def refused(call: Told) -> str:
    with pytest.raises(BackendError) as caught:
        call()
    return caught.value.code


def test_what_a_verifier_saw_is_kept_with_its_verdict(native: Native) -> None:
    """Protects verifiers: one whose host is of another class is heard, and kept once."""
    digest, run = native.job()
    sent = native.verdict(digest, run)
    receive = native.world.services.verdicts.receive
    assert receive(sent).new
    assert not receive(sent).new
    assert native.world.blobs.get(sent.observation or "") == SEEN.observe(PROMPT, GIVEN, run.output)


def test_an_observation_is_what_its_verdict_says(native: Native) -> None:
    """Protects nodes: bytes that are none, other bytes, or another host's opening are refused. Covers: A13, A58"""
    digest, run = native.job()
    receive, honest = native.world.services.verdicts.receive, native.verdict(digest, run)
    nonsense = native.verdict(digest, run, seen=b"nonsense")
    assert refused(lambda: receive(nonsense)) == "observation_refused"
    other = native.world.blobs.hold(SEEN.observe(b"another", GIVEN, run.output))
    assert refused(lambda: receive(honest.model_copy(update={"observation": other}))) == "observation_refused"
    gone = honest.model_copy(update={"observation": "0x" + "ab" * 32})
    assert refused(lambda: receive(gone)) == "blob_missing"
    unseen = honest.model_copy(update={"observation": None})
    assert refused(lambda: receive(unseen)) == "opening_disagrees"


def test_exact_work_is_not_looked_at(native: Native) -> None:
    """Protects nodes of exact workloads: there equality decides, and the court. Covers: A12"""
    world = native.world
    world.deliver()
    native.epoch_id = 1
    (leaf,) = world.close_epoch()
    world.event("EpochPosted", id=1)
    seen = SEEN.observe(PROMPT, PARAMS, b"")
    run = Execution(OUTPUT, bytes(32), 8)
    sent = native.verdict(leaf.digest, run, seen=seen)
    assert refused(lambda: world.services.verdicts.receive(sent)) == "observation_refused"


def test_nobody_looks_after_the_node_has_shown(native: Native) -> None:
    """Protects the check: an observation after the trace could be a copy of it. Covers: A13"""
    digest, run = native.job()
    with native.world.database.begin() as session:
        session.add(TraceRow(commitment_digest=digest, trace=native.world.blobs.hold(run.trace), received_at=1))
    sent = native.verdict(digest, run)
    assert refused(lambda: native.world.services.verdicts.receive(sent)) == "observation_refused"


def test_honest_work_goes_on(native: Native) -> None:
    """Protects nodes: what differs by noise changes nothing, however often it is looked at. Covers: A02"""
    for index in range(6):
        native.checked(HONEST, VERIFIERS[index % 3])
    native.order()
    assert native.lend()


def test_another_models_work_is_given_no_more(native: Native) -> None:
    """Protects requesters: after some jobs that no verifier takes for the model's, none is lent, and anybody sees it;
    exact work is lent, and nothing is slashed. Covers: A03, A53"""
    seen = [native.seen()]
    for index in range(2):
        native.checked(CHEAT, VERIFIERS[index])
        seen.append(native.seen())
    assert [view.state for view in seen] == ["clear", "watch", "withheld"]
    assert [(view.checks, view.suspect) for view in seen] == [(0, 0), (1, 1), (2, 2)]
    assert (seen[1].least_rate_ppm, seen[1].watch_left, seen[-1].reputation_ppm) == (500_000, 64, 0)
    native.order()
    native.world.now_s += HEAD_START_S
    assert refused(native.lend) == "operator_withheld"
    native.world.order()
    assert native.world.lend()


def test_one_verifier_alone_withholds_nobody(native: Native) -> None:
    """Protects nodes: whatever one verifier says it saw, the others must have seen it too. Covers: A04"""
    for _ in range(8):
        native.checked(CHEAT, VERIFIER)
    native.order()
    native.world.now_s += HEAD_START_S
    assert native.lend()


def test_a_trace_that_is_not_shown_stops_the_work(native: Native) -> None:
    """Protects the check: who keeps its trace to itself cannot be judged, and is given no more until it shows it."""
    digest, run = native.job()
    native.over()
    native.world.now_s += DEPLOYMENT.constants.epoch_max_s
    native.order()
    assert native.lend()
    native.world.now_s += 61
    assert native.seen().overdue_trace == digest
    assert refused(lambda: (native.order(), native.lend())) == "operator_withheld"
    native.show(digest, run)
    assert native.seen().overdue_trace is None
    assert native.lend()


def test_a_trace_that_is_lost_is_forgotten_in_the_end(native: Native) -> None:
    """Protects an operator whose disk broke: it is kept out for as long as stake takes to leave, and no longer."""
    digest, _ = native.job()
    native.over()
    native.world.now_s += DEPLOYMENT.constants.unbond_s - 60
    assert native.seen().overdue_trace == digest
    native.world.now_s += 61
    assert native.seen().overdue_trace is None
    native.order()
    assert native.lend()


def test_a_class_that_nobody_measured_is_lent_no_more(native: Native) -> None:
    """Protects requesters: a node writes its class itself, and work of an unknown one is never counted; so whoever
    names one is lent no more, until stake could have left anyway. Covers: A03, A53"""
    stranger = NativeDouble("77" * 32, b"another", tokens=8)
    digest, run = native.job(stranger)
    native.over()
    native.show(digest, run)
    assert native.seen().state == "clear", "nothing can be said"
    with pytest.raises(BackendError, match=f"measured its numeric class {'77' * 32}") as caught:
        (native.order(), native.lend())
    assert caught.value.code == "operator_withheld"
    native.world.order()
    assert native.world.lend(), "exact work goes on"
    native.world.now_s += DEPLOYMENT.constants.unbond_s + 1
    native.order()
    assert native.lend()


def test_better_reputations_have_a_head_start() -> None:
    """Protects requesters: a job goes to whoever was never in doubt first, and is kept from nobody for long."""
    jobs = [WaitingJob(f"{age}", 1, 1000, 100 - age, lapsed_here=False) for age in (0, HEAD_START_S // 2, HEAD_START_S)]
    assert offered_to(jobs, 1_000_000, 100) == jobs
    assert offered_to(jobs, 500_000, 100) == jobs[1:]
    assert offered_to(jobs, 0, 100) == jobs[2:]
