"""A newcomer's first job: kept for its node, one an operator, within a daily budget; an ordinary order otherwise."""

from dataclasses import replace
from typing import Any

import pytest

from backend.app import build_services
from backend.chain.views import OperatorAccount
from backend.errors import BackendError
from backend.services.canary import DAY_S
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.lane import Lane
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import NodeRequest
from contracts.protocol.signing import Signer
from contracts.protocol.wire import CanaryRequest
from tests.unit.backend.world import DOMAIN, FIXED, NODE, OTHER_NODE, UNIT, WORKLOAD, World, commitment_for, signer

CANARY = signer("canary")
PRICE = FIXED + UNIT


def asked(world: World, key: Signer = NODE, **changes: Any) -> CanaryRequest:
    """A node's signed request."""
    values: dict[str, Any] = {"action": "canary", "order_id": to_hex(ZERO32), "timestamp": world.now_s}
    request = NodeRequest(node=key.address, **(values | changes))
    signature = key.sign(DOMAIN.node_request_digest(request))
    return CanaryRequest(request=request, signature=signature, workload_id=WORKLOAD)


@pytest.fixture
def lit(world: World) -> World:
    """The same backend with a canary lane, and a day's budget of two jobs."""
    settings = replace(world.settings, canary=CANARY, canary_daily_units=2 * PRICE + 1)
    world.services = build_services(settings, world.chain, world.database, world.blobs, lambda: world.now_s)
    world.chain.lanes[CANARY.address, CANARY.address] = Lane(balance=10 * PRICE)
    return world


def refused(world: World, request: CanaryRequest) -> str:
    """The code of the refusal."""
    with pytest.raises(BackendError) as caught:
        world.services.canary.place(request)
    return caught.value.code


def one_token(world: World) -> str:
    """The root of an output of one token, which the backend has."""
    output = pack([[2]])
    return world.blobs.put(output, to_hex(packed_root(output)))


def test_it_is_kept_for_the_node_that_asked(lit: World) -> None:
    """Protects the newcomer: nobody else is lent its first job; and the lane: the job is the cheapest there is."""
    order_id = lit.services.canary.place(asked(lit))
    view = lit.services.views.order(order_id)
    assert (view.state, view.signer, view.order.terms.max_price) == ("queued", CANARY.address, PRICE)
    assert lit.services.leasing.lend(lit.ask(OTHER_NODE)) is None
    assert lit.lend().lease.order_id == order_id


def test_a_network_whose_newcomers_may_not_have_it_says_so(lit: World) -> None:
    """Protects the newcomer from a first job that it would be refused, and the budget. Who has stake gets it."""
    settings = replace(lit.settings, canary=CANARY, canary_daily_units=2 * PRICE + 1, newcomer_price=PRICE - 1)
    lit.services = build_services(settings, lit.chain, lit.database, lit.blobs, lambda: lit.now_s)
    staked, lit.chain.operators[1] = lit.chain.operators[1], OperatorAccount()
    assert refused(lit, asked(lit)) == "stake_too_low"
    lit.chain.operators[1] = staked
    assert lit.services.canary.place(asked(lit))


def test_one_an_operator(lit: World) -> None:
    """Protects the budget from an operator that asks again, while it waits and after it was delivered."""
    order_id = lit.services.canary.place(asked(lit))
    assert lit.services.canary.place(asked(lit)) == order_id
    lit.lend()
    commitment = commitment_for(order_id, output_root=one_token(lit), units=1)
    lit.services.delivery.receive(commitment)
    lit.now_s += 10 * DAY_S
    assert lit.services.canary.place(asked(lit)) == order_id


def test_an_expired_one_costs_nothing_and_is_placed_again(lit: World) -> None:
    """Protects a newcomer whose first attempt failed: what was not delivered was not paid."""
    first = lit.services.canary.place(asked(lit))
    lit.now_s += 10_000
    second = lit.services.canary.place(asked(lit))
    assert second != first
    assert lit.lend().lease.order_id == second


def test_a_days_budget_bounds_what_sybils_drain(lit: World) -> None:
    """Protects the canary's lane from who registers many operators. Covers: A05"""
    sybils = [signer(f"sybil {n}") for n in range(4)]
    lit.chain.nodes |= {key.address: 10 + n for n, key in enumerate(sybils)}
    for key in sybils[:2]:
        lit.services.canary.place(asked(lit, key))
    assert refused(lit, asked(lit, sybils[2])) == "canary_budget_spent"
    for key in sybils[:2]:
        grant = lit.lend(key)
        lit.services.delivery.receive(commitment_for(grant.lease.order_id, key, output_root=one_token(lit), units=1))
    lit.now_s += DAY_S - 1
    assert refused(lit, asked(lit, sybils[2])) == "canary_budget_spent"
    lit.now_s += 2
    lit.services.canary.place(asked(lit, sybils[2]))


def test_refusals(lit: World, world: World) -> None:
    """Protects the lane from strangers, old requests and convicts; an empty lane is said to be empty."""
    assert refused(lit, asked(lit, action="lease")) == "wrong_action"
    assert refused(lit, asked(lit, timestamp=lit.now_s - 61)) == "stale_request"
    assert refused(lit, asked(lit, signer("stranger"))) == "unknown_node"
    lit.chain.lanes[CANARY.address, CANARY.address] = Lane(balance=PRICE - 1)
    assert refused(lit, asked(lit)) == "canary_unfunded"
    lit.event("CaseOpened", caseId="0xca", epochId=1, index=0, operatorId=1)
    lit.chain.guilty_cases.add("0xca")
    assert refused(lit, asked(lit)) == "operator_suspended"


def test_without_a_key_there_are_none(world: World) -> None:
    """Protects backends that fund no canary from signing anything."""
    assert refused(world, asked(world)) == "canary_off"
