"""The loop, whatever goes wrong: nothing half-done is signed, and it stops for a silent settler."""

import logging
import threading
from collections.abc import Iterator, Mapping

import pytest

from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.records import Lease
from contracts.protocol.signing import recover
from node_agent.errors import BackendRefused, NoAnswer
from node_agent.execution.engine import Execution
from node_agent.execution.errors import InvalidInput
from node_agent.session.heartbeat import LeaseRenewal
from tests.unit.node_agent.session.session_world import NOW_S, World
from tests.world.node_fakes import EchoEngine, problem
from tests.world.prompts import bare


def test_serves_jobs_in_turn(world: World) -> None:
    """Each job is computed once, its commitment signed by the node over what was computed."""
    orders = [world.backend.order(text) for text in (b"one", b"two")]
    session = world.session()
    assert [session.step(), session.step(), session.step()] == [True, True, False]
    assert [each.commitment.order_id for each in world.backend.commitments] == orders
    for each in world.backend.commitments:
        digest = world.deployment.domain.commitment_digest(each.commitment)
        assert recover(digest, each.signature) == world.signer.address
        assert each.commitment.output_root in world.backend.blobs


class FailingEngine(EchoEngine):
    """Raises on one text."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Raises, or echoes."""
        if input_bytes == bare("poison"):
            self.calls += 1
            raise self.error
        return super().execute(input_bytes, params)


@pytest.mark.parametrize(
    "error", [InvalidInput("No text.", way_out="Send some."), RuntimeError("CUDA out of memory"), MemoryError()]
)
def test_engine_error_does_not_end_the_loop(world: World, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """An engine that fails is told once with the order's id; nothing is signed, and the next job is served.

    Covers: A58
    """
    poison = world.backend.order(b"poison")
    world.engine = FailingEngine(error)
    session = world.session()
    with caplog.at_level(logging.ERROR):
        assert [session.step(), session.step()] == [False, False]
    assert poison in caplog.text
    assert world.engine.calls == 1, "the same job is not tried over and over while its lease lasts"
    assert world.backend.commitments == []
    world.backend.jobs.clear()
    good = world.backend.order(b"good")
    assert not session.step(), "it holds the one that failed until its lease ends"
    world.clock.now += world.backend.lease_s + 1
    assert session.step()
    assert [each.commitment.order_id for each in world.backend.commitments] == [good]


def test_lease_that_ran_out_is_not_signed(world: World) -> None:
    """An answer that came after the lease is dropped unsigned: it would be paid to nobody."""
    world.backend.order(b"slow")

    class Slow(EchoEngine):
        def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
            world.clock.now += 31
            return super().execute(input_bytes, params)

    world.engine = Slow()
    session = world.session()
    assert not session.step()
    assert world.backend.commitments == []
    assert world.journal().pending() == []


def test_restart_sends_the_journaled_answer_first(world: World) -> None:
    """After a restart the undelivered answer goes out before a new job is asked for, and is not computed again.

    Covers: A56
    """
    first = world.backend.order(b"first")
    world.backend.intercept = lambda method, path, body: (503, b"") if path.endswith("/commitments") else None
    assert not world.session().step()
    world.backend.order(b"second")
    world.backend.intercept = lambda method, path, body: None
    world.backend.calls.clear()
    world.engine = EchoEngine(fickle=True)
    assert world.session().step()
    assert world.backend.commitments[0].commitment.order_id == first
    paths = [path for _, path in world.backend.calls]
    assert paths.index("/v1/operator/commitments") < paths.index("/v1/operator/leases")
    assert world.engine.calls == 1


def test_job_lent_again_gets_the_same_answer(world: World) -> None:
    """A job that comes back after its answer was journaled is answered from the journal. Covers: A56"""
    order_id = world.backend.order(b"again")
    world.engine = EchoEngine(fickle=True)
    session = world.session()
    session.step()
    world.backend.jobs.append(world.backend.known[order_id])
    session.step()
    first, second = world.backend.commitments
    assert first == second
    assert world.engine.calls == 1


def test_unavailable_backend_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An outage is one line when it begins and one when it ends, not one a poll."""
    session = world.session()
    world.backend.intercept = lambda method, path, body: problem(503, "down", "maintenance")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            session.step()
        world.backend.intercept = lambda method, path, body: None
        session.step()
    lines = [record.message for record in caplog.records if record.name.endswith("loop")]
    assert [line.split(":")[0] for line in lines] == ["backend_unavailable", "continuing after"]


def test_acknowledgement_of_something_else_is_not_believed(world: World) -> None:
    """An answer counts as delivered only when the backend names its digest."""
    world.backend.order(b"hello")
    world.backend.intercept = lambda method, path, body: (
        (200, b'{"digest":"0x%s","new":true}' % (b"ab" * 32)) if path.endswith("/commitments") else None
    )
    assert not world.session().step()
    assert len(world.journal().pending()) == 1


def test_stops_for_a_settler_that_roots_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """After twice the longest epoch without a root the node takes no more work, and says why, until the chain has it.

    Covers: A29
    """
    first = world.backend.order(b"one")
    session = world.session()
    assert session.step()
    world.clock.now += 2 * world.deployment.constants.epoch_max_s + 1
    world.backend.order(b"two")
    with caplog.at_level(logging.ERROR):
        assert not session.step()
        assert not session.step()
    assert caplog.text.count("not_rooted") == 1
    assert first in caplog.text
    assert len(world.backend.commitments) == 1
    world.facts.epochs[1] = world.backend.root([first], world.facts.operator_id, epoch_id=1)
    assert session.step(), "resumes by itself"
    [rooted] = world.journal().rooted()
    assert rooted.receipt == world.backend.receipts[first]


@pytest.mark.parametrize(
    "lie", [{"amount_units": 1}, {"operator_id": 8}, {"index": 1}, {"siblings": ["0x" + "00" * 32]}, {"epoch_id": 9}]
)
def test_receipt_is_checked_against_the_chain(world: World, lie: dict[str, object]) -> None:
    """A receipt that the posted root does not bear, or for less than is owed, is no receipt. Covers: A29"""
    order_id = world.backend.order(b"one")
    session = world.session()
    session.step()
    world.facts.epochs[1] = world.backend.root([order_id], world.facts.operator_id, epoch_id=1)
    world.backend.receipts[order_id] = world.backend.receipts[order_id].model_copy(update=lie)
    assert not session.step()
    assert world.journal().rooted() == []


def test_shutdown_ends_the_wait(world: World) -> None:
    """A node told to stop while it waits stops at once."""
    stop = threading.Event()
    thread = threading.Thread(target=session_in_own_thread, args=(world, stop))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def session_in_own_thread(world: World, stop: threading.Event) -> None:
    """A journal belongs to one thread."""
    world.session().run(stop)


def test_heartbeat_extends_the_lease() -> None:
    """While the engine works the lease is renewed; a lost call is not the end of it, a refusal is."""
    lease = Lease(order_id="0x" + "11" * 32, node="0x" + "22" * 20, expires=NOW_S)
    beats: Iterator[int | Exception] = iter(
        [
            NoAnswer("gone", way_out="wait"),
            50,
            60,
            BackendRefused(status=409, reason="x", detail="y", call="z"),
        ]
    )
    refused = threading.Event()

    def renew() -> Lease:
        beat = next(beats)
        if isinstance(beat, BackendRefused):
            refused.set()
        if isinstance(beat, Exception):
            raise beat
        return lease.model_copy(update={"expires": NOW_S + beat})

    beat = LeaseRenewal(lease, renew, lambda: NOW_S + 60)
    beat.start()
    assert refused.wait(10)
    beat.end()
    assert beat.expires == NOW_S + 60


def test_chain_outage_does_not_end_the_loop(world: World) -> None:
    """A chain endpoint that fails is reported like any outage; the job is not taken."""
    world.backend.order(b"one")
    session = world.session()
    real = world.facts.lane

    def gone(requester: str, signer: str) -> object:
        raise ChainUnavailable("the RPC endpoint", "refused")

    world.facts.lane = gone  # type: ignore[assignment,method-assign]  # a fault, not a port
    assert not session.step()
    world.facts.lane = real  # type: ignore[method-assign]  # and mended
    assert session.step()
