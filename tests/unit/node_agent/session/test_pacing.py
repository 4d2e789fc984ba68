"""Time is the host's: what it can't finish it does not begin, and what it can't finish any more it gives back at once.

given a job that was lent to a node that knows its speed
├── when it would not finish before the deadline: not begun, given back, with the numbers
├── when it can't finish any more: given back while the engine still works, and nothing is signed for it
├── when the engine failed: given back, and the node takes no other until the lease would have ended
└── when nobody measured: begun
"""

import logging
import threading
from collections.abc import Callable, Mapping

import hypothesis.strategies as st
import pytest
from hypothesis import given

from contracts.protocol.pace import LENT_MARGIN_PCT, JobSize, needed_s
from contracts.protocol.wire import LeaseRequest
from node_agent.errors import ForgedLease, LeaseOver, TooSlow, UnpayableJob
from node_agent.execution.engine import Execution, Speed
from node_agent.session.pacing import DRAG_S, Pacer
from tests.unit.node_agent.session.session_world import NOW_S, Clock, World
from tests.world.node_fakes import EchoEngine, problem
from tests.world.prompts import bare, said

SPEEDS = st.builds(Speed, st.just("a way"), st.floats(10, 1e6), st.floats(10, 1e5))
SLOW = Speed("AVX2 kernels, 1 thread", read_per_s=50.0, write_per_s=0.5)
ID = "0xab"


def pacer(speed: Speed | None, slots: int = 1, clock: Callable[[], int] | None = None) -> Pacer:
    return Pacer({ID: speed}, slots, clock or Clock())


@given(speed=SPEEDS, slots=st.integers(1, 64), read=st.integers(0, 4000), written=st.integers(0, 512))
def test_company_makes_no_job_faster(speed: Speed, slots: int, read: int, written: int) -> None:
    """Protects requesters from a node with many slots: it states at most what one job gets alone, and not less than if
    all jobs were done one after the other."""
    alone, among = pacer(speed).pace(ID), pacer(speed, slots).pace(ID)
    assert alone is not None
    assert among is not None
    size = JobSize(read, written)
    together, single = needed_s(size, among, LENT_MARGIN_PCT), needed_s(size, alone, LENT_MARGIN_PCT)
    assert single <= together <= slots * (single + 1) * 1.01, "thousandths of a token are rounded down"


def test_eight_slots_by_hand() -> None:
    """Protects the formula that is written down: eight read eight times as slowly, and write sqrt(8) times."""
    pace = pacer(Speed("a way", 80.0, 28.3), slots=8).pace(ID)
    assert pace is not None
    assert (pace.read_milli_per_s, round(pace.write_milli_per_s, -2)) == (10_000, 10_000)


def test_two_slow_jobs_make_a_slow_host_for_a_while() -> None:
    """Protects requesters from a host that got busy, and the host from one hiccup, and from being slow for ever."""
    clock = Clock()
    host = pacer(Speed("a way", 1000.0, 10.0), clock=clock)
    fresh = host.pace(ID)
    host.finished(ID, JobSize(0, 100), took_s=40)
    assert host.pace(ID) == fresh, "one is a hiccup"
    host.finished(ID, JobSize(0, 100), took_s=30)
    slower = host.pace(ID)
    assert slower is not None
    assert slower.write_milli_per_s == 3333, "both took at least three times as long as measured"
    host.finished(ID, JobSize(0, 100), took_s=10)
    assert host.pace(ID) == fresh
    host.finished(ID, JobSize(0, 100), took_s=90)
    host.finished(ID, JobSize(0, 100), took_s=90)
    assert host.pace(ID) != fresh
    clock.now += DRAG_S + 1
    assert host.pace(ID) == fresh, "it gets another chance"
    host.finished(ID, JobSize(0, 1), took_s=9)
    host.finished(ID, JobSize(0, 1), took_s=9)
    assert host.pace(ID) == fresh, "a short one may have waited for another"


def test_what_nobody_measured_is_never_refused() -> None:
    """Protects hosts without a measurement: no pace, no refusal, until the time is really over."""
    clock = Clock()
    host = pacer(None, clock=clock)
    assert host.pace(ID) is None
    assert host.too_late(ID, JobSize(10**9, 10**9), NOW_S + 1) is None
    assert host.out_of_time(ID, JobSize(10**9, 10**9), NOW_S, NOW_S) is None
    clock.now += 1
    assert host.out_of_time(ID, JobSize(), NOW_S, NOW_S) == f"its time was over at {NOW_S}, and it is {NOW_S + 1}"


def test_a_speed_in_words() -> None:
    """Protects operators from a figure of writing where nothing is written, or silence where none was measured."""
    assert pacer(SLOW).in_words(ID) == "AVX2 kernels, 1 thread: reads 50, writes 0.5 tokens/s, one job alone"
    assert pacer(Speed("a way", 900.0, 900.0)).in_words(ID) == "a way: reads 900 tokens/s, one job alone"
    assert "not measured" in pacer(None).in_words(ID)


def test_the_request_states_the_pace(world: World) -> None:
    """Protects the node from jobs that it could only give back: the backend is told what one job gets here."""
    world.engine, world.slots = EchoEngine(speed=Speed("a way", 80.0, 20.0)), 4
    asked: list[LeaseRequest] = []

    def hear(method: str, path: str, body: bytes) -> None:
        if path.endswith("/leases"):
            asked.append(LeaseRequest.model_validate_json(body))

    world.backend.intercept = hear
    world.session().step()
    assert asked[0].pace == world.pacer().pace(world.manifest.workload_id())
    assert asked[0].pace is not None
    assert asked[0].pace.read_milli_per_s == 20_000


def test_a_job_that_it_cannot_finish_is_given_back_with_the_numbers(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects requesters from a backend that lends regardless: nothing is computed, the job is free at once for
    another, and the log and the status say how fast this host is and what the order leaves, not "set the clock"."""
    order_id = world.backend.order(b"hello", changes={"deadline": NOW_S + 20})  # 16 tokens at 0.5 a second
    world.engine = EchoEngine(speed=SLOW)
    session = world.session()
    with caplog.at_level(logging.ERROR):
        assert not session.step()
    assert world.engine.calls == 0
    [back] = world.backend.returned
    assert (back.request.order_id, back.reason) == (order_id, "too_slow")
    words = "This host does 0.5 tokens/s, the order leaves 20 s: reading 5 and writing 16 tokens may take 41 s"
    assert words in back.words
    assert words in caplog.text
    assert "clock" not in caplog.text
    assert world.journal().given_up(5) == [f"{order_id}: {back.words} It is given back at once, for a faster host."]
    world.backend.order(b"in time")
    assert session.step(), "it takes up no slot"


def test_a_job_that_fits_is_done(world: World) -> None:
    """Protects slow hosts: with time enough they work."""
    world.backend.order(b"hello", changes={"deadline": NOW_S + 41})
    world.engine = EchoEngine(speed=SLOW)
    assert world.session().step()
    assert world.backend.returned == []


class Stuck(EchoEngine):
    """On one text it takes 101 s by the test's clock, and then is in the way until the job was given back."""

    def __init__(self, world: World, speed: Speed | None) -> None:
        super().__init__(speed=speed)
        self._world, self._back = world, threading.Event()
        world.backend.intercept = self._hear

    def _hear(self, method: str, path: str, body: bytes) -> None:
        if path.endswith("/returns"):
            self._back.set()

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Waits, and echoes."""
        if input_bytes == bare("slow"):
            self._world.clock.now += 101
            self._back.wait(5)
        return super().execute(input_bytes, params)


@pytest.mark.parametrize("speed", [Speed("a way", 1000.0, 2.0), None])
def test_a_job_under_way_that_is_out_of_time_is_given_back_at_once(
    world: World, speed: Speed | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects requesters and the slot's stake: while the engine still works, the lease goes back as soon as the answer
    can't be there in time; what the engine then says is not signed, and the node goes on."""
    order_id = world.backend.order(b"slow", changes={"deadline": NOW_S + 100})
    world.backend.lease_s = 100
    world.engine = Stuck(world, speed)
    session = world.session()
    with caplog.at_level(logging.ERROR):
        assert not session.step()
    assert [(each.request.order_id, each.reason) for each in world.backend.returned] == [(order_id, "too_slow")]
    assert world.backend.commitments == []
    assert ("this host does 2 tokens/s, the order leaves 0 s" in caplog.text) == (speed is not None)
    assert "clock" not in caplog.text
    world.backend.order(b"next")
    assert session.step()


def test_a_host_that_got_slower_gives_back_what_it_began(world: World) -> None:
    """Protects requesters from a host that was fast when it began: two others that took far longer than measured show
    it, and the third goes back while half its time is left. Its answer comes in time after all, and is not signed:
    the job is another's by then."""
    texts = [b"a" * 20, b"b" * 20]
    short = [world.backend.order(text, changes={"deadline": NOW_S + 100}) for text in texts]
    long = world.backend.order(["c" * 20] * 3, changes={"deadline": NOW_S + 100})
    world.backend.lease_s, world.slots = 100, 3
    begun, back = threading.Barrier(3), threading.Event()

    class Slower(EchoEngine):
        def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
            begun.wait(10)
            if "c" in said(input_bytes):
                back.wait(10)
            else:
                world.clock.now = NOW_S + 50
            return super().execute(input_bytes, params)

    def hear(method: str, path: str, body: bytes) -> None:
        if path.endswith("/returns"):
            back.set()

    world.backend.intercept, world.engine = hear, Slower(speed=Speed("a way", 1000.0, 2.0))
    session = world.session()
    assert [session.step(), session.step(), session.step()] == [True, True, False]
    assert [each.request.order_id for each in world.backend.returned] == [long]
    session.step()
    assert sorted(each.commitment.order_id for each in world.backend.commitments) == sorted(short)
    assert world.clock.now < NOW_S + 100


def test_an_engine_that_fails_gives_its_job_to_another(world: World) -> None:
    """Protects requesters from a broken host: its job is free at once, and it takes no other meanwhile."""

    class Broken(EchoEngine):
        def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
            raise RuntimeError("out of memory")

    order_id = world.backend.order(b"one")
    world.engine = Broken()
    session = world.session()
    assert not session.step()
    [back] = world.backend.returned
    assert (back.request.order_id, back.reason) == (order_id, "failed")
    assert "out of memory" in back.words
    world.backend.order(b"two")
    world.backend.calls.clear()
    assert not session.step()
    assert ("POST", "/v1/operator/leases") not in world.backend.calls
    world.clock.now += world.backend.lease_s + 1
    session.step()
    assert ("POST", "/v1/operator/leases") in world.backend.calls


def test_a_backend_that_takes_nothing_back_is_borne(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Protects the node from an older backend: the lease that stays its own takes up its slot until it ends, and the
    job is not tried over and over."""
    world.backend.order(b"hello", changes={"deadline": NOW_S + 20})
    world.engine = EchoEngine(speed=SLOW)
    world.backend.intercept = lambda method, path, body: (
        problem(404, "not_found", "what?") if path.endswith("/returns") else None
    )
    session = world.session()
    with caplog.at_level(logging.WARNING):
        assert [session.step(), session.step()] == [False, False]
    assert world.backend.calls.count(("POST", "/v1/operator/returns")) == 1
    assert "is not given back, its lease runs out by itself" in caplog.text


@pytest.mark.parametrize(("ahead_s", "told"), [(None, False), (0.0, False), (600.0, True), (-600.0, True)])
def test_the_clock_is_blamed_only_where_it_is_wrong(world: World, ahead_s: float | None, told: bool) -> None:
    """Protects operators from a wild-goose chase: a lease or an order without time left says so, and names the clock,
    with the difference, only where this host's and the backend's differ."""
    world.backend.ahead_s = ahead_s
    world.backend.order(b"late", changes={"deadline": NOW_S - 1})
    grant = world.backend.grant(world.backend.jobs[0], world.signer.address)
    with pytest.raises(UnpayableJob) as late:
        world.leases().accept(grant)
    world.backend.lease_s = 0
    with pytest.raises(LeaseOver) as over:
        world.leases().ask(world.manifest.workload_id())
    for caught in (late, over):
        assert ("Set this host's clock: it is 600 s" in str(caught.value)) == told
        assert told or "had no time left when it came" in str(caught.value)
    if told:
        assert ("behind" if ahead_s == 600.0 else "ahead of") in str(over.value)
    assert not isinstance(over.value, ForgedLease)


def test_too_slow_is_said_before_a_single_token(world: World) -> None:
    """Protects the leases's promise: `accept` itself refuses, whoever calls it."""
    world.engine = EchoEngine(speed=SLOW)
    world.backend.order(b"hello", changes={"deadline": NOW_S + 40})
    grant = world.backend.grant(world.backend.jobs[0], world.signer.address)
    with pytest.raises(TooSlow, match="leaves 40 s"):
        world.leases().accept(grant)
