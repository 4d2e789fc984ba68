"""Orders and inputs are taken once, durably, within what their lane can carry."""

import threading

import pytest

from backend.domain.errors import CapTooLow
from backend.errors import BackendError, BlobHashMismatch, BlobMissing
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.records import Order
from tests.unit.backend.world import NOW, REQUESTER, World, commitment_for, signed, terms

LANE = (REQUESTER.address, REQUESTER.address)


def refusal(world: World, order: Order) -> str:
    with pytest.raises(BackendError) as caught:
        world.services.intake.accept(signed(order))
    return caught.value.code


def test_blob_under_its_own_hash_only(world: World) -> None:
    """Protects nodes and auditors: bytes lie under their hash. Covers: A49"""
    name = to_hex(keccak(b"hello"))
    with pytest.raises(BlobHashMismatch):
        world.services.intake.put_blob(name, b"other")
    assert world.services.intake.put_blob(name, b"hello")
    assert not world.services.intake.put_blob(name, b"hello")


def test_same_order_twice_is_one(world: World) -> None:
    """Protects requesters that retry: the same order is one order, also after its deadline. Covers: A16"""
    order = signed(Order(requester=REQUESTER.address, spend_cap=180, terms=terms()))
    order_id, is_new = world.services.intake.accept(order)
    assert is_new
    assert world.services.intake.accept(order) == (order_id, False)
    world.now_s += 10_000
    assert world.services.intake.accept(order) == (order_id, False)
    assert len(world.services.views.orders_of(REQUESTER.address)) == 1


def test_same_order_at_the_same_time_is_one(world: World) -> None:
    """Protects requesters whose retries overtake each other. Covers: A16"""
    order = signed(Order(requester=REQUESTER.address, spend_cap=180, terms=terms()))
    answers: list[tuple[str, bool]] = []
    threads = [threading.Thread(target=lambda: answers.append(world.services.intake.accept(order))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(is_new for _, is_new in answers) == [False] * 7 + [True]


def test_caps_grow_with_what_is_open(world: World) -> None:
    """Protects nodes: each order proves what was charged, all that is open, and itself. Covers: A19, A25"""
    world.chain.lanes[LANE] = Lane(balance=400, charged=50)
    first = Order(requester=REQUESTER.address, spend_cap=230, terms=terms(salt=1))
    world.services.intake.accept(signed(first))
    again = Order(requester=REQUESTER.address, spend_cap=230, terms=terms(salt=2))
    assert refusal(world, again) == "cap_too_low"
    with pytest.raises(CapTooLow, match="50 charged \\+ 180 open"):
        world.services.intake.accept(signed(again))
    higher = again.model_copy(update={"spend_cap": 410})
    world.services.intake.accept(signed(higher))
    third = Order(requester=REQUESTER.address, spend_cap=590, terms=terms(salt=3))
    assert refusal(world, third) == "balance_too_low"
    world.now_s += 101
    late = third.model_copy(update={"spend_cap": 230, "terms": terms(salt=3, deadline=NOW + 200)})
    world.services.intake.accept(signed(late))


def test_settlement_between_two_looks_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects nodes: a settlement that is indexed while an order is taken never lets its cap prove too little.

    The lane was read before the settlement and the open orders after it: neither alone knows of the charge. Covers: A25
    """
    world.deliver()
    world.close_epoch()
    world.event("EpochPosted", id=1)
    lane_before = world.chain.lanes[LANE]

    def settle_meanwhile(*_: str) -> Lane:
        world.settle(1)
        return lane_before

    monkeypatch.setattr(world.chain, "lane", settle_meanwhile)
    assert refusal(world, Order(requester=REQUESTER.address, spend_cap=180, terms=terms(salt=9))) == "cap_too_low"


def test_order_under_notice_is_refused(world: World) -> None:
    """Protects nodes from a deposit that is on its way out. Covers: A30"""
    world.chain.lanes[LANE] = Lane(balance=10_000, notice_at=NOW - 5)
    assert refusal(world, Order(requester=REQUESTER.address, spend_cap=180, terms=terms())) == "lane_under_notice"


def test_unknown_input_and_workload(world: World) -> None:
    """Protects nodes from orders that nobody could run."""
    unknown = "0x" + "ab" * 32
    order = Order(requester=REQUESTER.address, spend_cap=180, terms=terms(texts_hash=unknown))
    with pytest.raises(BlobMissing, match=unknown):
        world.services.intake.accept(signed(order))
    order = Order(requester=REQUESTER.address, spend_cap=180, terms=terms(workload_id=unknown))
    assert refusal(world, order) == "unknown_workload"


def test_what_is_open_in_a_lane(world: World) -> None:
    """Protects balances: an order stays reserved until it is paid, void or expired; a skipped one stays payable."""

    def open_max() -> int:
        return world.services.views.lane(*LANE).open_max

    for _ in range(4):
        world.order()
        order_id = world.lend().lease.order_id
        world.services.delivery.receive(commitment_for(order_id))
    world.order()
    assert open_max() == 5 * 180
    world.close_epoch()
    world.event("EpochPosted", id=1)
    assert open_max() == 5 * 180
    world.settle(1, void=0b0001, skipped=0b0110)
    world.event("LaneSkipped", id=1, requester=REQUESTER.address, signer=REQUESTER.address, reason=1, sumUnits=1)
    assert open_max() == 3 * 180
    world.event("LeafSettled", epochId=1, index=1)
    assert open_max() == 2 * 180
    world.event("CaseOpened", caseId="0xca", epochId=1, index=2, operatorId=1)
    assert open_max() == 2 * 180
    world.event("CaseExecuted", caseId="0xca", ruling=3)
    assert open_max() == 180
    world.now_s += 101
    assert open_max() == 0
    states = [view.state for view in world.services.views.orders_of(REQUESTER.address)]
    assert sorted(states) == ["expired", "paid", "paid", "void", "void"]
