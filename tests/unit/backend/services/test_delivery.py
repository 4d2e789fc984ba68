"""Commitments: the right node, within its lease, with its output, once."""

from typing import Any

import pytest
from sqlmodel import select

from backend.errors import BackendError
from backend.store.home import open_blobs
from backend.store.tables import CommitmentRow, EquivocationRow
from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import MAX_OUTPUT_BYTES
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import Commitment
from contracts.protocol.wire import SubmitCommitment
from tests.unit.backend.world import FIXED, NODE, OTHER_NODE, UNIT, World, commitment_for


def put(world: World, output: bytes) -> str:
    """Keeps an output under its root, or its hash where it has none, and returns the name."""
    try:
        return world.blobs.put(output, to_hex(packed_root(output)))
    except NotPacked:
        return world.blobs.put(output)


def lent(world: World) -> str:
    world.order()
    return world.lend().lease.order_id


def test_delivery_is_acknowledged_once_it_is_kept(world: World) -> None:
    """Protects nodes: what was acknowledged is in the database, at the signed formula's amount. Covers: A45, A55"""
    order_id = lent(world)
    submitted = commitment_for(order_id, output_root=put(world, pack([[1, 2, 3, 4, 5]])), units=5)
    acknowledged = world.services.delivery.receive(submitted)
    assert acknowledged.new
    with world.database.read() as session:
        row = session.exec(select(CommitmentRow)).one()
    assert (row.digest, row.amount, row.operator_id) == (acknowledged.digest, FIXED + 5 * UNIT, 1)
    world.now_s += 10_000
    again = world.services.delivery.receive(submitted)
    assert (again.digest, again.new) == (acknowledged.digest, False)
    view = world.services.views.order(order_id)
    assert (view.state, view.amount_units, view.commitment) == ("delivered", 150, submitted.commitment)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("blob_missing", {"output_root": "0x" + "ab" * 32}),
        ("units_refused", {"units": 9}),
        ("units_refused", {"units": 7}),
        ("unknown_order", {"order_id": "0x" + "ab" * 32}),
    ],
)
def test_refused_commitments(world: World, code: str, changes: dict[str, Any]) -> None:
    """Protects requesters from charges without output or for more than was asked. Covers: A55"""
    order_id = lent(world)
    with pytest.raises(BackendError) as caught:
        world.services.delivery.receive(commitment_for(order_id, **changes))
    assert caught.value.code == code
    assert world.services.views.order(order_id).state == "leased"


def test_an_output_that_no_contest_could_show_is_refused(world: World) -> None:
    """Protects the settler's bond: what is rooted can be shown on chain within one transaction. Covers: A54"""
    order_id = lent(world)
    output = pack([[1] * (MAX_OUTPUT_BYTES // 4)])
    root = to_hex(packed_root(output))
    open_blobs(world.folder).put(output, root)
    with pytest.raises(BackendError, match=str(len(output))) as caught:
        world.services.delivery.receive(commitment_for(order_id, output_root=root))
    assert caught.value.code == "output_too_long"
    assert world.services.views.order(order_id).state == "leased"


@pytest.mark.parametrize(
    ("output", "units", "code"),
    [
        (b"no packed words", 8, "output_refused"),
        (pack([[1] * 4, [2] * 4]), 8, "output_refused"),
        (pack([]), 0, "output_refused"),
        (pack([[1] * 9]), 9, "units_refused"),
    ],
)
def test_an_output_answers_each_text_and_no_more(world: World, output: bytes, units: int, code: str) -> None:
    """Protects requesters and the settler's bond: units are those of the output, which answers what was asked, and
    bytes that are no packed words could not be shown in a contest. Covers: A54, A55"""
    order_id = lent(world)
    with pytest.raises(BackendError) as caught:
        world.services.delivery.receive(commitment_for(order_id, output_root=put(world, output), units=units))
    assert caught.value.code == code
    assert world.services.views.order(order_id).state == "leased"


def test_only_the_holder_delivers(world: World) -> None:
    """Protects the holder of a lease from others that copy its answer. Covers: A01"""
    order_id = lent(world)
    mine = commitment_for(order_id)
    forged = SubmitCommitment(commitment=mine.commitment, signature=commitment_for(order_id, OTHER_NODE).signature)
    for code, submitted in (("wrong_signer", forged), ("lease_not_held", commitment_for(order_id, OTHER_NODE))):
        with pytest.raises(BackendError) as caught:
            world.services.delivery.receive(submitted)
        assert caught.value.code == code
    assert world.services.delivery.receive(mine).new


def test_late_delivery_is_refused(world: World) -> None:
    """Protects requesters: what comes after the lease's last second is charged to nobody. Covers: A03"""
    order_id, last_second = lent(world), world.now_s + 60
    world.now_s = last_second + 1
    with pytest.raises(BackendError) as caught:
        world.services.delivery.receive(commitment_for(order_id))
    assert caught.value.code == "lease_expired"
    world.now_s = last_second
    assert world.services.delivery.receive(commitment_for(order_id)).new


def test_contradiction_is_refused_and_names_both(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Protects the record: the first commitment stands, and two answers to one order are on record. Covers: A56"""
    order_id = lent(world)
    kept = world.services.delivery.receive(commitment_for(order_id)).digest
    with pytest.raises(BackendError) as caught:
        world.services.delivery.receive(commitment_for(order_id, NODE, units=7))
    assert caught.value.code == "contradicting_commitment"
    assert kept in str(caught.value)
    assert kept in caplog.text
    with world.database.read() as session:
        (row,) = session.exec(select(EquivocationRow))
    assert (row.order_id, Commitment.model_validate_json(row.commitment_json).units) == (order_id, 7)


def test_only_a_second_answer_of_the_same_node_is_kept(world: World) -> None:
    """Protects nodes: the same answer again, or another node's late one, is no equivocation. Covers: A56"""
    order_id = lent(world)
    world.services.delivery.receive(commitment_for(order_id))
    world.services.delivery.receive(commitment_for(order_id))
    with pytest.raises(BackendError):
        world.services.delivery.receive(commitment_for(order_id, OTHER_NODE, units=7))
    with world.database.read() as session:
        assert session.exec(select(EquivocationRow)).first() is None
