"""A node with several slots: each job lives and fails by itself, and no order is answered twice."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

import pytest

from contracts.protocol.wire import Heartbeat, LeaseRequest
from node_agent.execution.engine import Execution
from node_agent.session.loop import NodeSession
from tests.unit.node_agent.session.session_world import World
from tests.world.node_fakes import EchoEngine, problem
from tests.world.prompts import bare, said
from tests.world.waiting import PATIENCE_S, eventually


class Gated(EchoEngine):
    """Answers a text when its gate is opened. `most`: how many were under way at once."""

    def __init__(self) -> None:
        super().__init__(fickle=True)
        self.gates: dict[bytes, threading.Event] = {}
        self.begun: list[bytes] = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def open(self, *texts: str) -> None:
        for text in texts:
            self.gates.setdefault(bare(text), threading.Event()).set()

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Waits, then echoes."""
        with self._lock:
            gate = self.gates.setdefault(input_bytes, threading.Event())
            self.begun.append(input_bytes)
            self._now += 1
            self.most = max(self.most, self._now)
        assert gate.wait(20)
        with self._lock:
            self._now -= 1
            if "poison" in said(input_bytes):
                raise RuntimeError("out of memory")
            return super().execute(input_bytes, params)


@pytest.fixture
def gated(world: World) -> Gated:
    """The engine of a world with three slots."""
    world.engine = engine = Gated()
    world.slots = 3
    return engine


@contextmanager
def running(world: World) -> Iterator[threading.Event]:
    """A session in a thread of its own, as a journal wants it; ended well at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: world.session().run(stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def delivered(world: World) -> list[str]:
    return [each.commitment.order_id for each in world.backend.commitments]


def test_slots_are_filled_and_each_answer_goes_out_when_it_is_done(world: World, gated: Gated) -> None:
    """Protects the use of a GPU: all slots are full, whoever is done first is delivered first, and its slot filled."""
    orders = {text: world.backend.order(text.encode()) for text in ("one", "two", "three", "four")}
    with running(world) as stop:
        eventually(lambda: len(gated.begun) == 3)
        gated.open("two")
        eventually(lambda: len(gated.begun) == 4)
        assert delivered(world) == [orders["two"]]
        gated.open("four")
        eventually(lambda: len(world.backend.commitments) == 2)
        stop.set()
        gated.open("one", "three")
    assert gated.most == 3
    assert delivered(world)[:2] == [orders["two"], orders["four"]]
    assert sorted(delivered(world)) == sorted(orders.values()), "told to stop, it finishes what is under way"
    assert gated.calls == 4


def test_told_to_stop_it_takes_no_more(world: World, gated: Gated) -> None:
    """Protects operators who stop a node: what is under way is finished, nothing else is begun."""
    for text in ("one", "two", "three", "four"):
        world.backend.order(text.encode())
    gated.open("one", "two", "three", "four")
    stop = threading.Event()

    def intercept(method: str, path: str, body: bytes) -> None:
        if path.endswith("/commitments"):
            stop.set()

    world.backend.intercept = intercept
    world.session().run(stop)
    assert len(world.backend.commitments) == 3
    assert gated.calls == 3


def test_one_that_fails_abandons_itself_alone(world: World, gated: Gated) -> None:
    """Protects every other job under way from an input that breaks the engine: they are delivered, it is not, and it
    is not tried again while its lease lasts. Covers: A58"""
    orders = {text: world.backend.order(text.encode()) for text in ("one", "poison", "two", "three")}
    gated.open("one", "poison", "two", "three")
    with running(world):
        eventually(lambda: len(world.backend.commitments) == 3)
    assert sorted(delivered(world)) == sorted(set(orders.values()) - {orders["poison"]})
    assert Counter(gated.begun)[bare("poison")] == 1
    lent = world.journal().lent(orders["poison"])
    assert lent is not None
    assert "out of memory" in str(lent.abandoned)


def test_each_lease_has_its_own_heartbeat(world: World, gated: Gated) -> None:
    """Protects jobs under way side by side: each lease is renewed while its engine works, none after that."""
    orders = [world.backend.order(text.encode()) for text in ("one", "two", "three")]
    beaten: list[str] = []

    def intercept(method: str, path: str, body: bytes) -> None:
        if path.endswith("/heartbeats"):
            beaten.append(Heartbeat.model_validate_json(body).request.order_id)

    world.backend.intercept, world.backend.lease_s = intercept, 2
    with running(world):
        eventually(lambda: set(beaten) == set(orders))
        gated.open("one")
        eventually(lambda: bool(world.backend.commitments))
        time.sleep(0.1)
        beaten.clear()
        eventually(lambda: len(beaten) >= 4)
        assert set(beaten) == set(orders[1:])
        gated.open("two", "three")


def test_engines_that_cannot_batch_get_one_job_at_a_time(world: World, gated: Gated) -> None:
    """Protects float workloads and the jobs themselves: calls do not overlap, and no job waits leased in a queue."""
    gated.concurrent = False
    orders = [world.backend.order(text.encode()) for text in ("one", "two", "three")]
    held: list[int] = []

    def intercept(method: str, path: str, body: bytes) -> None:
        if path.endswith("/leases"):
            held.append(len(LeaseRequest.model_validate_json(body).held))

    world.backend.intercept = intercept
    gated.open("one", "two", "three")
    with running(world):
        eventually(lambda: len(world.backend.commitments) == 3)
    assert delivered(world) == orders
    assert gated.most == 1
    assert set(held) == {0}


@pytest.mark.parametrize("journaled", [0, 1, 3])
def test_restart_with_several_leases_held_delivers_each_once(world: World, gated: Gated, journaled: int) -> None:
    """Protects from two answers for one order: after a crash with some answers journaled and some jobs half done, each
    is delivered once, and what was journaled is not computed again. Covers: A45, A56"""
    texts = ("one", "two", "three")
    orders = [world.backend.order(text.encode()) for text in texts]
    world.backend.intercept = lambda method, path, body: (503, b"") if path.endswith("/commitments") else None
    gated.open(*texts[:journaled])
    crashed = threading.Thread(target=lambda: crash_after(world.session(), journaled))
    crashed.start()
    crashed.join(20)
    assert not crashed.is_alive()
    assert len(world.journal().pending()) == journaled
    world.backend.intercept = lambda method, path, body: None
    world.engine = again = Gated()
    again.open(*texts)
    with running(world):
        eventually(lambda: len(world.backend.commitments) == 3)
    assert sorted(delivered(world)) == sorted(orders)
    assert again.calls == 3 - journaled
    first = {answer.order_id: answer for answer in world.journal().signed()}
    assert all(first[each.commitment.order_id].commitment == each.commitment for each in world.backend.commitments)


def crash_after(session: NodeSession, answers: int) -> None:
    """A session that takes all jobs, writes so many answers down, and is then no more."""
    session._take()
    for _ in range(answers):
        session._tried(session._deliver_one)


def test_a_lost_answer_to_a_lease_request_loses_no_job(world: World, gated: Gated) -> None:
    """Protects jobs whose grant never arrived: asked again, the node has it, beside what it holds. Covers: A45"""
    orders = [world.backend.order(text.encode()) for text in ("one", "two", "three")]
    asked: list[list[str]] = []

    def lose_the_second(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if path.endswith("/leases"):
            asked.append(LeaseRequest.model_validate_json(body).held)
            return problem(503, "gone", "the connection is dead") if len(asked) == 2 else None
        return None

    world.backend.intercept = lose_the_second
    with running(world):
        eventually(lambda: len(gated.begun) == 3)
        gated.open("one", "two", "three")
        eventually(lambda: len(world.backend.commitments) == 3)
    assert sorted(delivered(world)) == sorted(orders)
    assert asked[:4] == [[], orders[:1], orders[:1], orders[:2]]


def test_a_job_lent_again_while_it_is_under_way_is_kept(world: World, gated: Gated) -> None:
    """Protects work that outlived an outage: under a new lease of the same job it is finished, not begun anew."""
    order_id = world.backend.order(b"one")
    refused = threading.Event()

    def lapse(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if path.endswith("/heartbeats") and not refused.is_set():
            refused.set()
            world.clock.now += world.backend.lease_s + 1
            return problem(409, "lease_expired", "too late")
        if path.endswith("/leases") and refused.is_set():
            job = world.backend.known[order_id]
            grant = world.backend.grant(job, world.signer.address)
            return (200, grant.model_dump_json().encode()) if job in world.backend.jobs else None
        return None

    world.backend.intercept, world.backend.lease_s = lapse, 2
    with running(world):
        assert refused.wait(20)
        calls = len(world.backend.calls)
        eventually(lambda: world.backend.calls[calls:].count(("POST", "/v1/operator/leases")) > 1)
        gated.open("one")
        eventually(lambda: bool(world.backend.commitments))
    assert delivered(world) == [order_id]
    assert gated.calls == 1


def test_a_stake_that_is_at_work_is_no_trouble(world: World, gated: Gated, caplog: pytest.LogCaptureFixture) -> None:
    """Protects operators from false alarms: a stake that covers two jobs and not the third slot is told as an error
    only when nothing is under way. Covers: A05"""
    for text in ("one", "two", "three"):
        world.backend.order(text.encode())
    refused, asked_in_vain = problem(409, "stake_too_low", "add stake or wait"), threading.Event()

    def intercept(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if path.endswith("/leases") and len(LeaseRequest.model_validate_json(body).held) == 2:
            asked_in_vain.set()
            return refused
        return None

    world.backend.intercept = intercept
    with caplog.at_level(logging.ERROR):
        with running(world):
            assert asked_in_vain.wait(20)
            gated.open("one", "two", "three")
            eventually(lambda: len(world.backend.commitments) == 3)
        assert not caplog.records
        world.backend.intercept = lambda method, path, body: refused if path.endswith("/leases") else None
        assert not world.session().step()
    assert "stake_too_low" in caplog.text
    assert gated.most == 2


def test_a_full_node_does_not_ask(world: World, gated: Gated) -> None:
    """Protects requesters: a node asks only with a slot free, and names each job that it holds."""
    for text in ("one", "two", "three", "four", "five"):
        world.backend.order(text.encode())
    held: list[list[str]] = []

    def intercept(method: str, path: str, body: bytes) -> None:
        if path.endswith("/leases"):
            held.append(LeaseRequest.model_validate_json(body).held)

    world.backend.intercept = intercept
    with running(world):
        for text in ("one", "two", "three", "four", "five"):
            eventually(lambda: len(gated.begun) >= 3)
            gated.open(text)
        eventually(lambda: len(world.backend.commitments) == 5)
    assert max(map(len, held)) == 2
    assert all(len(set(before)) == len(before) for before, _ in pairwise(held))
