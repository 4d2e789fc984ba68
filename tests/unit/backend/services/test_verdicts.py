"""Verdicts: active verifiers, rows under a posted root, openings that match or none."""

import pytest

from backend.errors import BackendError
from contracts.protocol.wire import SubmitVerdict
from tests.unit.backend.world import World, signer, verdict_on


@pytest.fixture
def digest(world: World) -> str:
    """The commitment of a job under a posted root."""
    world.deliver()
    leaf = world.close_epoch()[0]
    world.event("EpochPosted", id=1)
    return leaf.digest


def refused(world: World, submitted: SubmitVerdict) -> str:
    with pytest.raises(BackendError) as caught:
        world.services.verdicts.receive(submitted)
    return caught.value.code


def test_matching_verdict(world: World, digest: str) -> None:
    """Protects verifiers: a verdict is kept once, however often it is sent. Covers: A13"""
    first = world.services.verdicts.receive(verdict_on(digest))
    assert first.new
    again = world.services.verdicts.receive(verdict_on(digest))
    assert (again.digest, again.new) == (first.digest, False)
    assert [node.checked_jobs for node in world.services.views.nodes()] == []


def test_verdict_without_opening(world: World, digest: str) -> None:
    """Protects a verifier that disagrees: it need not show an answer before the court has it. Covers: A13"""
    hidden = verdict_on(digest, units=7).model_copy(update={"opening": None})
    assert world.services.verdicts.receive(hidden).new
    assert refused(world, verdict_on(digest)) == "contradicting_verdict"


def test_disagreeing_opening_is_refused(world: World, digest: str) -> None:
    """Protects a verifier from giving its answer away: it is told to go to the court instead. Covers: A12, A13"""
    with pytest.raises(BackendError, match="openCase") as caught:
        world.services.verdicts.receive(verdict_on(digest, trace_hash="0x" + "00" * 32))
    assert caught.value.code == "opening_disagrees"
    honest, other = verdict_on(digest), verdict_on(digest, units=7)
    assert refused(world, honest.model_copy(update={"opening": other.opening})) == "opening_mismatch"


def test_strangers_and_forgeries(world: World, digest: str) -> None:
    """Protects the fees: only active verifiers are heard, each with its own signature. Covers: A60"""
    stranger = verdict_on(digest, key=signer("stranger"))
    assert refused(world, stranger) == "inactive_verifier"
    forged = verdict_on(digest).model_copy(update={"signature": stranger.signature})
    assert refused(world, forged) == "wrong_signer"


def test_only_posted_rows(world: World) -> None:
    """Protects the sample: nothing is checked before its root is fixed. Covers: A07"""
    world.deliver()
    leaf = world.close_epoch()[0]
    assert refused(world, verdict_on(leaf.digest)) == "unknown_row"
    world.event("EpochPosted", id=1)
    assert refused(world, verdict_on(leaf.digest, epoch_id=2)) == "unknown_row"
    assert refused(world, verdict_on("0x" + "ab" * 32)) == "unknown_row"
    assert world.services.verdicts.receive(verdict_on(leaf.digest)).new
