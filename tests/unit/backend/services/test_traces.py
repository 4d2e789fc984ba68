"""Shown traces: what a commitment binds, when nobody can copy it any more, once."""

import pytest

from backend.errors import BackendError
from backend.services.log_lines import traces_to_log
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.wire import SubmitTrace
from tests.unit.backend.world import DEPLOYMENT, SHOWN, World


@pytest.fixture
def digest(world: World) -> str:
    """The commitment of a job in a posted epoch whose sample is revealed."""
    world.deliver()
    (leaf,) = world.close_epoch()
    world.event("EpochPosted", id=1)
    world.event("EpochPosted", id=2)
    return leaf.digest


def when_open(world: World) -> None:
    """Moves the clock to the first second at which no answer to a case is taken any more."""
    world.now_s += DEPLOYMENT.constants.case_window_s + 2 * DEPLOYMENT.constants.commit_window_s


def show(world: World, digest: str, trace: bytes = SHOWN) -> SubmitTrace:
    """A trace whose bytes were put before."""
    world.blobs.hold(trace)
    return SubmitTrace(commitment_digest=digest, trace=to_hex(keccak(trace)))


def refused(world: World, shown: SubmitTrace) -> str:
    with pytest.raises(BackendError) as caught:
        world.services.traces.receive(shown)
    return caught.value.code


def test_a_trace_is_kept_once_and_logged(world: World, digest: str) -> None:
    """Protects a node: what it shows is durable, and in the next log, however often it is sent."""
    shown = show(world, digest)
    when_open(world)
    assert world.services.traces.receive(shown).new
    assert not world.services.traces.receive(shown).new
    with world.database.read() as session:
        assert [row.trace for row in traces_to_log(session)] == [shown.trace]
    assert world.blobs.get(shown.trace) == SHOWN


def test_no_trace_while_it_can_be_copied(world: World, digest: str) -> None:
    """Protects the court: as long as a verifier may still answer a case, no answer is public. Covers: A12, A13"""
    shown = show(world, digest)
    when_open(world)
    world.now_s -= 1
    assert refused(world, shown) == "trace_too_early"
    world.now_s += 1
    assert world.services.traces.receive(shown).new


def test_only_what_was_committed_to(world: World, digest: str) -> None:
    """Protects whoever runs the job again from a trace that the node never signed. Covers: A57"""
    when_open(world)
    assert refused(world, show(world, digest, b"another")) == "trace_mismatch"
    assert refused(world, SubmitTrace(commitment_digest=digest, trace="0x" + "ab" * 32)) == "blob_missing"
    assert refused(world, show(world, "0x" + "ab" * 32)) == "unknown_commitment"
    world.services.traces.receive(show(world, digest))
    assert refused(world, show(world, digest, b"another")) == "contradicting_trace"
