"""A receipt is given once the chain can bear it out, and holds nothing that depends on the check."""

import pytest

from backend.errors import NotRooted, UnknownOrder
from backend.store.tables import VerdictRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row, merkle_verify
from tests.unit.backend.world import REQUESTER, World, verdict_on


def test_no_receipt_before_the_root(world: World) -> None:
    """An order that is unknown, or not under a posted root, has none: told apart, with what to do."""
    with pytest.raises(UnknownOrder):
        world.services.views.receipt("0x" + "ab" * 32)
    world.deliver()
    order_id = world.services.views.orders_of(REQUESTER.address)[0].order_id
    with pytest.raises(NotRooted, match="is delivered and not yet under a root"):
        world.services.views.receipt(order_id)
    world.close_epoch()
    with pytest.raises(NotRooted):
        world.services.views.receipt(order_id)


def test_a_receipt_grows_by_its_settlement_and_by_nothing_else(world: World) -> None:
    """Rooted, checked, settled: the proof stays, the outcomes come. What is checked is not to be seen. Covers: A07"""
    for _ in range(3):
        world.deliver()
    leaves = world.close_epoch()
    world.event("EpochPosted", id=1)
    views = world.services.views
    order = views.orders_of(REQUESTER.address)[1]
    early = views.receipt(order.order_id)
    assert early.settlement is None
    leaf = early.leaf
    row = Row(REQUESTER.address, early.signer, leaf.operator_id, leaf.amount_units, from_hex(early.commitment_digest))
    siblings = [from_hex(sibling) for sibling in leaf.siblings]
    assert merkle_verify(row.leaf(), leaf.index, 3, siblings, from_hex(leaf.root))
    world.event("EpochPosted", id=2)
    _add_verdict(world, leaves[1].digest)
    assert views.receipt(order.order_id) == early
    world.event("EpochSettled", id=1, chargedUnits=180)
    world.settle(1, void=0b010)
    late = views.receipt(order.order_id)
    assert late.settlement is not None
    assert (late.settlement.void_bits, late.settlement.skipped_bits) == ("0x02", "0x00")
    assert late.model_copy(update={"settlement": None}) == early


def _add_verdict(world: World, digest: str) -> None:
    submitted = verdict_on(digest)
    with world.database.begin() as session:
        session.add(
            VerdictRow(
                digest="0x" + "cd" * 32,
                epoch_id=1,
                commitment_digest=digest,
                verifier=submitted.verdict.verifier,
                operator_id=3,
                verdict_json=submitted.verdict.model_dump_json(),
                opening_json=None,
                signature=submitted.signature,
                received_at=world.now_s,
            )
        )
