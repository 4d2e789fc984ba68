"""Traces are shown when nobody can copy them any more: not before, once, whatever happens in between."""

import hashlib

import pytest

from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.packed import pack
from contracts.protocol.trace import is_trace_of
from node_agent.execution.engine import Execution
from node_agent.session.chain_facts import RootFacts
from tests.unit.node_agent.session.session_world import NOW_S, World
from tests.world.node_fakes import problem


@pytest.fixture
def delivered(world: World) -> str:
    """An order that is answered, and rooted in epoch 1, posted now."""
    order_id = world.backend.order(b"hello")
    assert world.session().step()
    world.facts.epochs[1] = world.backend.root([order_id], world.facts.operator_id, 1, posted_at_s=NOW_S)
    world.session().step()
    return order_id


def reveal(world: World) -> int:
    """Posts epoch 2; from when on a trace of epoch 1 may be shown."""
    world.facts.epochs[2] = RootFacts(ZERO32, 0, NOW_S + 10)
    constants = world.deployment.constants
    return NOW_S + constants.case_window_s + 2 * constants.commit_window_s


def test_a_trace_is_shown_when_no_case_can_be_answered_any_more(world: World, delivered: str) -> None:
    """A trace that is public while cases open is an answer that a verifier can copy. Covers: A12"""
    due_at = reveal(world)
    world.clock.now = due_at - 1
    world.session().step()
    assert not world.backend.traces
    world.clock.now = due_at
    world.session().step()
    (shown,) = world.backend.traces
    (sent,) = world.backend.commitments
    assert shown.commitment_digest == to_hex(world.deployment.domain.commitment_digest(sent.commitment))
    assert is_trace_of(world.backend.blobs[shown.trace], sent.commitment)


def test_nothing_is_shown_before_the_sample_is_known(world: World, delivered: str) -> None:
    """However late it is: without the next post nobody knows whether the job will be checked. Covers: A12"""
    world.clock.now = NOW_S + 10**6
    world.session().step()
    assert not world.backend.traces


def test_a_trace_is_shown_once(world: World, delivered: str) -> None:
    """Not again after a restart; again where the backend says that it is not ready yet."""
    world.clock.now = reveal(world)
    world.backend.intercept = lambda method, path, body: (
        problem(425, "trace_too_early", "wait") if path.endswith("/traces") else None
    )
    world.session().step()
    assert not world.backend.traces
    world.backend.intercept = lambda method, path, body: None
    for _ in range(3):
        world.session().step()
    assert len(world.backend.traces) == 1


def test_a_refused_trace_keeps_nobody_from_work(world: World, delivered: str) -> None:
    """It is noted and not sent again; the next job is served."""
    world.clock.now = reveal(world)
    world.backend.intercept = lambda method, path, body: (
        problem(422, "trace_too_long", "no") if path.endswith("/traces") else None
    )
    world.backend.order(b"next")
    assert world.session().step()
    world.backend.intercept = lambda method, path, body: None
    world.session().step()
    assert not world.backend.traces


def test_an_execution_shows_what_it_hashes() -> None:
    """An engine cannot give a trace that is not behind its hash: the node could never show it."""
    with pytest.raises(ValueError, match="does not follow"):
        Execution(pack([]), bytes(32), 0, trace=b"another")
    assert Execution(pack([]), hashlib.sha256(b"one").digest(), 0, trace=b"one").trace == b"one"
