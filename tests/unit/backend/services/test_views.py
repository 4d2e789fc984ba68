"""What is shown follows from facts, and shows no more than them."""

from backend.chain.views import OperatorAccount
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row, merkle_verify
from tests.unit.backend.world import DEPLOYMENT, NODE, OTHER_NODE, REQUESTER, World, verdict_on


def test_no_answer_tells_what_will_be_checked(world: World) -> None:
    """Protects the sample: before and after a check, two jobs' views differ in nothing but their own facts.

    Covers: A07
    """
    for _ in range(2):
        world.deliver()
    leaves = world.close_epoch()
    posted = {"root": leaves[0].digest, "count": 2, "beacon": leaves[0].digest, "logRoot": leaves[0].digest}
    world.event("EpochPosted", id=1, **posted)
    before = world.services.views.orders_of(REQUESTER.address)
    world.event("EpochPosted", id=2, **posted)
    world.services.verdicts.receive(verdict_on(leaves[0].digest))
    after = world.services.views.orders_of(REQUESTER.address)
    assert before == after
    assert {view.state for view in after} == {"rooted"}


def test_receipts_prove_rows(world: World) -> None:
    """Protects requesters: a receipt is checked against the root alone."""
    for _ in range(3):
        world.deliver()
    world.close_epoch()
    assert all(view.receipt is None for view in world.services.views.orders_of(REQUESTER.address))
    world.event("EpochPosted", id=1)
    root = from_hex(world.services.views.epochs()[0].root)
    for view in world.services.views.orders_of(REQUESTER.address):
        receipt = view.receipt
        assert receipt is not None
        digest = from_hex(receipt.commitment_digest)
        row = Row(REQUESTER.address, view.signer, receipt.operator_id, receipt.amount_units, digest)
        siblings = [from_hex(sibling) for sibling in receipt.siblings]
        assert merkle_verify(row.leaf(), receipt.index, 3, siblings, root)


def test_epoch_states(world: World) -> None:
    """Protects whoever reads epochs: states follow from posts, settlements and time."""

    def states() -> list[str]:
        return [epoch.state for epoch in world.services.views.epochs()]

    world.deliver()
    world.close_epoch(1)
    assert states() == ["closing"]
    world.event("EpochPosted", id=1)
    assert states() == ["posted"]
    world.close_epoch(2)
    world.event("EpochPosted", id=2)
    assert states() == ["posted", "revealed"]
    world.now_s += DEPLOYMENT.constants.settle_wait_s + 1
    assert states() == ["posted", "stranded"], "an epoch without rows has nothing to strand"
    world.event("EpochSettled", id=1, chargedUnits=180)
    world.settle(1, void=0b1)
    first = world.services.views.epochs()[1]
    assert (first.state, first.charged, first.void_rows, first.skipped_rows) == ("settled", 180, [0], [])


def test_operators(world: World) -> None:
    """Protects whoever chooses by record: numbers are of what happened."""
    world.event("NodeKeyAdded", id=1, node=NODE.address)
    world.event("NodeKeyAdded", id=2, node=OTHER_NODE.address)
    world.event("Slashed", id=1, units=7)
    world.chain.operators[1] = OperatorAccount(stake=10_000, locked=1, earned=2, claimed=1)
    world.deliver()
    leaf = world.close_epoch()[0]
    world.event("EpochPosted", id=1)
    world.services.verdicts.receive(verdict_on(leaf.digest))
    first, second = world.services.views.nodes()
    assert (first.nodes, first.delivered_jobs, first.checked_jobs, first.open_max) == ([NODE.address], 1, 1, 180)
    assert (first.stake, first.locked, first.earned, first.claimed, first.slashed) == (10_000, 1, 2, 1, 7)
    assert (second.delivered_jobs, second.open_max, second.suspended) == (0, 0, False)
    world.event("NodeKeyRevoked", id=2, node=OTHER_NODE.address)
    assert [view.nodes for view in world.services.views.nodes()] == [[NODE.address], []], "a revoked key is nobody's"


def test_stranded_jobs_free_their_operator(world: World) -> None:
    """Protects operators from a settler that died: what is past its check no longer occupies stake. Covers: A29"""
    world.event("NodeKeyAdded", id=1, node=NODE.address)
    world.deliver()
    world.close_epoch()
    world.event("EpochPosted", id=1)
    assert world.services.views.nodes()[0].open_max == 180
    world.now_s += DEPLOYMENT.constants.settle_wait_s + 1
    assert world.services.views.nodes()[0].open_max == 0
