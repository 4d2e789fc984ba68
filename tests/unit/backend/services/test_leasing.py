"""Jobs are lent to authentic nodes, each to one at a time, and given to another when a lease lapses."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import col, select

from backend.chain.views import OperatorAccount
from backend.domain.assignment import Cover
from backend.errors import BackendError
from backend.services.offering import offer_workload
from backend.store.home import open_tokenizers
from backend.store.tables import LeaseRow
from contracts.protocol.hashing import to_hex
from contracts.protocol.log import LeaseEntry
from contracts.protocol.pace import Pace, pace_of
from contracts.protocol.records import Lease
from contracts.protocol.signing import Signer, recover
from contracts.record.row_checks import check_leases
from tests.unit.backend.world import (
    DOMAIN,
    FIXED,
    MANIFEST,
    MAX_UNITS,
    NODE,
    NOW,
    OTHER_NODE,
    SETTLER,
    UNIT,
    World,
    commitment_for,
    signer,
    terms,
)
from tests.world.node_fakes import BYTE_TOKENIZER


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("stale_request", {"timestamp": 1_800_000_061}),
        ("stale_request", {"timestamp": 1_799_999_939}),
        ("wrong_action", {"action": "heartbeat"}),
    ],
)
def test_requests_are_fresh_and_for_this_call(world: World, code: str, changes: dict[str, Any]) -> None:
    """Protects nodes from old or borrowed requests. Covers: A19"""
    with pytest.raises(BackendError) as caught:
        world.services.leasing.lend(world.ask(**changes))
    assert caught.value.code == code


def test_requests_are_signed_by_a_known_node(world: World) -> None:
    """Protects jobs from strangers."""
    forged = world.ask().model_copy(update={"signature": world.ask(OTHER_NODE).signature})
    for code, request in (("wrong_signer", forged), ("unknown_node", world.ask(signer("stranger")))):
        with pytest.raises(BackendError) as caught:
            world.services.leasing.lend(request)
        assert caught.value.code == code


def test_lease_is_signed_and_exclusive(world: World) -> None:
    """Protects nodes from doing one job twice over: a job is lent once, and the lease names its holder."""
    assert world.services.leasing.lend(world.ask()) is None
    order_id = world.order()
    grant = world.lend()
    assert (grant.lease.order_id, grant.lease.node, grant.lease.expires) == (order_id, NODE.address, world.now_s + 60)
    assert recover(DOMAIN.lease_digest(grant.lease), grant.lease_signature) == SETTLER.address
    assert to_hex(DOMAIN.order_id(grant.order)) == order_id
    assert world.services.leasing.lend(world.ask(OTHER_NODE)) is None
    assert world.lend() == grant, "a node that asks again, e.g. after a restart, gets the same lease"


def test_a_node_holds_as_many_as_it_names_and_one_more(world: World) -> None:
    """Protects nodes that fill a batch, and requesters from nodes that take more than they can do: another job is lent
    to who names all that it holds, and what it does not name comes again first. Covers: A03"""
    orders = sorted(world.order() for _ in range(4))  # equally old, so they are lent in the order of their ids
    first = world.lend()
    second = world.lend(held=orders[:1])
    assert [each.lease.order_id for each in (first, second)] == orders[:2]
    assert world.lend(held=orders[:1]) == second, "its answer was lost"
    assert world.lend(held=orders[1:2]) == first
    assert world.lend() == first, "after a restart, the oldest first"
    world.services.delivery.receive(commitment_for(orders[0]))
    assert world.lend() == second, "what is delivered is held no more"
    assert world.lend(held=orders[:2]).lease.order_id == orders[2], "naming what is delivered does no harm"
    assert world.lend(OTHER_NODE, held=orders).lease.order_id == orders[3], "another's leases are not given by naming"
    assert world.services.leasing.lend(world.ask(held=orders[1:3])) is None


def test_an_unnamed_job_of_another_workload_is_asked_for_there(world: World) -> None:
    """Protects a node that restarts with several workloads: it hears which job it forgot; one it names is no bar."""
    order_id = world.order()
    world.lend()
    elsewhere = offer_another(world)
    with pytest.raises(BackendError, match=order_id) as caught:
        world.services.leasing.lend(world.ask().model_copy(update={"workload_id": elsewhere}))
    assert caught.value.code == "node_busy"
    asked = world.ask(held=[order_id]).model_copy(update={"workload_id": elsewhere})
    assert world.services.leasing.lend(asked) is None


def test_a_stakeless_node_names_in_vain(world: World) -> None:
    """Protects the network from operators without stake: naming what it holds brings no second job. Covers: A05"""
    world.chain.operators[1] = OperatorAccount()
    world.order(), world.order()
    held = [world.lend().lease.order_id]
    with pytest.raises(BackendError) as caught:
        world.lend(held=held)
    assert caught.value.code == "stake_too_low"


def test_a_dear_job_is_not_lent_without_stake(world: World) -> None:
    """Protects requesters from names that are thrown away: what a cheat brings is less than the next name costs.

    Covers: A05
    """
    world.chain.operators[1] = OperatorAccount()
    world.order()
    price = terms().max_price
    strict = replace(world.services.leasing, cover=Cover(9, newcomer_price=price - 1))
    with pytest.raises(BackendError) as caught:
        strict.lend(world.ask())
    assert (caught.value.code, f"at most {price - 1} units" in str(caught.value)) == ("stake_too_low", True)
    assert replace(strict, cover=Cover(9, newcomer_price=price)).lend(world.ask()) is not None


def test_asking_at_once_lends_nothing_twice(world: World) -> None:
    """Protects requesters: of requests that meet, those of one node get one lease, those of two get two. Covers: A05"""
    orders = sorted(world.order() for _ in range(3))
    asked = [world.ask(), world.ask(OTHER_NODE)] * 4
    with ThreadPoolExecutor(8) as pool:
        grants = [grant for grant in pool.map(world.services.leasing.lend, asked) if grant is not None]
    lent = {(grant.lease.node, grant.lease.order_id) for grant in grants}
    assert {node for node, _ in lent} == {NODE.address, OTHER_NODE.address}
    assert {order_id for _, order_id in lent} == set(orders[:2])
    assert (len(grants), len(lent)) == (8, 2)


def test_lapsed_lease_is_lent_again(world: World) -> None:
    """Protects requesters from nodes that take jobs and never deliver: another node has it before the deadline and is
    paid, the first is owed nothing, and is lent it again only behind other jobs. Covers: A03"""
    order_id = world.order()
    deadline = world.services.views.order(order_id).order.terms.deadline
    world.lend()
    world.now_s += 60
    assert world.services.leasing.lend(world.ask(OTHER_NODE)) is None, "a lease holds to its last second"
    world.now_s += 1
    assert world.now_s < deadline
    newer = world.order()
    assert world.lend().lease.order_id == newer, "the one that it let lapse comes last for this node"
    assert world.lend(OTHER_NODE).lease.order_id == order_id
    for call in (
        lambda: world.services.leasing.extend(world.beat(order_id)),
        lambda: world.services.delivery.receive(commitment_for(order_id)),
    ):
        with pytest.raises(BackendError) as caught:
            call()
        assert caught.value.code == "lease_not_held"
    world.services.delivery.receive(commitment_for(order_id, OTHER_NODE))
    view = world.services.views.order(order_id)
    assert (view.state, view.node) == ("delivered", OTHER_NODE.address), "what is owed is owed to who delivered"


def test_heartbeats_extend_up_to_the_deadline(world: World) -> None:
    """Protects slow nodes while they work, and requesters from leases without end."""
    order_id = world.order()  # deadline in 100 s
    start = world.now_s
    world.lend()
    ends: list[int] = []
    for _ in range(3):
        world.now_s += 50 if len(ends) < 2 else 10
        ends.append(world.services.leasing.extend(world.beat(order_id)).lease.expires - start)
    assert ends == [110, 120, 120]
    world.now_s = start + 121
    with pytest.raises(BackendError) as caught:
        world.services.leasing.extend(world.beat(order_id))
    assert caught.value.code == "lease_expired"
    assert world.services.leasing.lend(world.ask(OTHER_NODE)) is None, "after its deadline a job is lent to nobody"


def test_a_node_is_lent_what_it_finishes_in_time(world: World) -> None:
    """Protects requesters: an order that a node can't finish before its deadline waits for a faster one, at every ask,
    and the slow node gets the next that it can finish. Covers: A03"""
    order_id = world.order()  # deadline in 100 s; 20 bytes to read, 8 tokens to write
    slow, fast = pace_of(read_per_s=1, write_per_s=0.1), pace_of(read_per_s=10, write_per_s=1)
    for _ in range(2):
        assert world.services.leasing.lend(world.ask(pace=slow)) is None
    longer = world.order(deadline=world.now_s + 120, salt=9)
    unhurried = pace_of(read_per_s=10, write_per_s=8 / 75)
    assert lent(world, unhurried, OTHER_NODE) == longer, "one that does not fit keeps none from what does"
    assert lent(world, fast, NODE) == order_id
    world.services.delivery.receive(commitment_for(longer, OTHER_NODE))
    world.services.delivery.receive(commitment_for(order_id))
    world.order()
    world.now_s += 84
    assert world.services.leasing.lend(world.ask(pace=fast)) is None, "the time that is left counts, not what there was"
    assert world.services.leasing.lend(world.ask()) is not None, "who states no pace is lent any"


def lent(world: World, pace: Pace, key: Signer) -> str:
    """The order that a node of this pace is lent."""
    grant = world.services.leasing.lend(world.ask(key, pace=pace))
    assert grant is not None
    return grant.lease.order_id


def test_what_is_given_back_is_lent_again_at_once(world: World) -> None:
    """Protects requesters from waiting for a lease's end, and the node from its own returns: the job goes to another
    within a second, the stake is free, and who gave it back is not lent it again. Covers: A03"""
    order_id = world.order()
    world.lend()
    back = world.services.leasing.take_back(world.give_back(order_id))
    assert back.new
    view = world.services.views.order(order_id)
    world.now_s += 1
    assert world.services.leasing.lend(world.ask()) is None
    assert world.lend(OTHER_NODE).lease.order_id == order_id
    for call in (
        lambda: world.services.leasing.extend(world.beat(order_id)),
        lambda: world.services.delivery.receive(commitment_for(order_id)),
        lambda: world.services.leasing.take_back(world.give_back(order_id)),
    ):
        with pytest.raises(BackendError) as caught:
            call()
        assert caught.value.code == "lease_not_held"
    world.services.delivery.receive(commitment_for(order_id, OTHER_NODE))
    view = world.services.views.order(order_id)
    assert (view.state, view.node) == ("delivered", OTHER_NODE.address)


def test_leases_of_returned_jobs_pass_the_audit(world: World) -> None:
    """Protects the backend from its own log: leases that were given back are signed anew with their end, and no two of
    a job end together, however fast it goes round."""
    third = signer("third node")
    world.chain.nodes[third.address], world.chain.operators[3] = 3, OperatorAccount(stake=10_000)
    order_id = world.order()
    for key in (NODE, OTHER_NODE):
        world.lend(key)
        world.services.leasing.take_back(world.give_back(order_id, key))
        assert world.services.leasing.lend(world.ask(third)) is None, "it ends with this second"
        world.now_s += 1
    world.lend(third)
    with world.database.read() as session:
        rows = session.exec(select(LeaseRow).order_by(col(LeaseRow.id))).all()
    leases = [Lease(order_id=row.order_id, node=row.node, expires=row.expires) for row in rows]
    entries = [LeaseEntry(lease=each, signature=row.signature) for each, row in zip(leases, rows, strict=True)]
    check_leases(DOMAIN, entries, third.address, {SETTLER.address}, copies=1)
    assert [each.expires for each in leases] == [NOW, NOW + 1, NOW + 2 + 60]


def test_only_its_holder_gives_a_job_back(world: World) -> None:
    """Protects jobs under way from other nodes, and from a signature over another call. Covers: A19"""
    order_id = world.order()
    world.lend()
    beat = world.beat(order_id)
    borrowed = world.give_back(order_id).model_copy(update={"request": beat.request, "signature": beat.signature})
    for code, returned in (("lease_not_held", world.give_back(order_id, OTHER_NODE)), ("wrong_action", borrowed)):
        with pytest.raises(BackendError) as caught:
            world.services.leasing.take_back(returned)
        assert caught.value.code == code
    world.services.delivery.receive(commitment_for(order_id))


def test_open_value_counts_until_settled(world: World) -> None:
    """Protects the deterrence: what is lent or unsettled occupies stake. Covers: A05"""
    world.chain.operators[1] = OperatorAccount(stake=360)
    for _ in range(3):
        world.order()
    for _ in range(2):
        world.services.delivery.receive(commitment_for(world.lend().lease.order_id))
    with pytest.raises(BackendError) as caught:
        world.lend()
    assert caught.value.code == "stake_too_low"
    world.close_epoch()
    world.event("EpochPosted", id=1)
    world.settle(1)
    world.lend()


def test_stakeless_operator_and_other_node_of_it(world: World) -> None:
    """Protects the network from an operator without stake that shows many node keys. Covers: A05"""
    world.chain.operators[1] = OperatorAccount()
    world.chain.nodes[OTHER_NODE.address] = 1
    world.order(), world.order()
    world.lend()
    with pytest.raises(BackendError) as caught:
        world.lend(OTHER_NODE)
    assert caught.value.code == "stake_too_low"


@pytest.mark.parametrize("executed", [True, False])
def test_guilty_operator_is_suspended(world: World, executed: bool) -> None:
    """Protects requesters from the moment a ruling is known, executed or not."""
    world.order()
    world.event("CaseOpened", caseId="0xca", epochId=1, index=0, operatorId=1)
    if executed:
        world.event("CaseExecuted", caseId="0xca", ruling=3)
    else:
        world.chain.guilty_cases.add("0xca")
    with pytest.raises(BackendError) as caught:
        world.lend()
    assert caught.value.code == "operator_suspended"
    world.lend(OTHER_NODE)


@pytest.mark.parametrize("ruling", [1, 2])
def test_dismissed_case_changes_nothing(world: World, ruling: int) -> None:
    """Protects operators from accusations that were not upheld. Covers: A12"""
    world.order()
    world.event("CaseOpened", caseId="0xca", epochId=1, index=0, operatorId=1)
    world.event("CaseExecuted", caseId="0xca", ruling=ruling)
    world.lend()


def offer_another(world: World) -> str:
    """Offers a second workload and returns its id."""
    other = MANIFEST.model_copy(update={"model": "smol-other"})
    prices = {"fixed_price": FIXED, "unit_price": UNIT, "max_units": MAX_UNITS}
    offer_workload(world.database, open_tokenizers(world.folder), other, BYTE_TOKENIZER, **prices)
    return other.workload_id()


def test_signer_is_typed() -> None:
    """Protects the settler's key from showing in logs. Covers: A51"""
    assert isinstance(SETTLER, Signer)
    assert SETTLER.private_key().hex() not in repr(SETTLER)
