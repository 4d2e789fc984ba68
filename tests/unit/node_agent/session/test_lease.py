"""Nothing about a granted job is believed: each lie is refused with its own error before anything is computed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.protocol.hashing import to_hex
from contracts.protocol.packed import pack
from contracts.protocol.records import Params
from contracts.protocol.signing import Signer
from contracts.protocol.wire import LeaseGrant
from node_agent.errors import AlteredJob, BadAnswer, ForgedLease, ForgedOrder, LeaseOver, LeaseRejected, UnpayableJob
from node_agent.session.lease import CheckedJob, PriceFloor
from tests.unit.node_agent.session.session_world import NOW_S, World
from tests.world.prompts import bare

Forge = Callable[[World, LeaseGrant], LeaseGrant]


def lend(world: World, forge: Forge) -> CheckedJob | None:
    """Takes the first job through the leases, after a forger had it."""
    grant = forge(world, world.backend.grant(world.backend.jobs[0], world.signer.address))
    world.backend.intercept = lambda method, path, body: (
        (200, grant.model_dump_json().encode()) if path.endswith("/leases") else None
    )
    leases = world.leases()
    granted = leases.ask(world.manifest.workload_id())
    return None if granted is None else leases.accept(granted)


def resigned(world: World, grant: LeaseGrant, key: Signer | None = None, **changes: object) -> LeaseGrant:
    """The grant with another lease, signed anew."""
    lease = grant.lease.model_copy(update=changes)
    signature = (key or world.settler).sign(world.deployment.domain.lease_digest(lease))
    return grant.model_copy(update={"lease": lease, "lease_signature": signature})


def cheaper(world: World, grant: LeaseGrant) -> LeaseGrant:
    """The order at another price than was signed, under a lease that fits it."""
    terms = grant.order.terms.model_copy(update={"unit_price": 1})
    order = grant.order.model_copy(update={"terms": terms})
    forged = grant.model_copy(update={"order": order})
    return resigned(world, forged, order_id=to_hex(world.deployment.domain.order_id(order)))


def other_params(world: World, grant: LeaseGrant) -> LeaseGrant:
    """The same order with other parameters than were signed."""
    terms = grant.order.terms.model_copy(update={"params": Params(max_new_tokens=64)})
    return grant.model_copy(update={"order": grant.order.model_copy(update={"terms": terms})})


FORGERIES: dict[str, tuple[Forge, type[LeaseRejected]]] = {
    "lease by another settler": (lambda w, g: resigned(w, g, Signer(b"\5" * 32)), ForgedLease),
    "lease of another node": (lambda w, g: resigned(w, g, node="0x" + "11" * 20), ForgedLease),
    "lease of another order": (lambda w, g: resigned(w, g, order_id="0x" + "22" * 32), ForgedLease),
    "lease that is over": (lambda w, g: resigned(w, g, expires=NOW_S), LeaseOver),
    "lease extended without a signature": (
        lambda w, g: g.model_copy(update={"lease": g.lease.model_copy(update={"expires": NOW_S + 999})}),
        ForgedLease,
    ),
    "malformed lease signature": (lambda w, g: g.model_copy(update={"lease_signature": "0x" + "00" * 65}), ForgedLease),
    "price lowered after signing": (cheaper, ForgedOrder),
    "another lane's signer": (lambda w, g: g.model_copy(update={"signer": "0x" + "33" * 20}), ForgedOrder),
    "malformed order signature": (lambda w, g: g.model_copy(update={"order_signature": "0x" + "ff" * 65}), ForgedOrder),
    "other parameters": (other_params, ForgedLease),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_grant_is_refused(world: World, name: str) -> None:
    """A backend, or whoever sits between, cannot make a node work on what was not lent and ordered."""
    forge, error = FORGERIES[name]
    world.backend.order(b"hello")
    with pytest.raises(error) as caught:
        lend(world, forge)
    assert caught.value.values


def test_honest_grant_is_accepted(world: World) -> None:
    """The same path lets an honest job through."""
    world.backend.order(b"hello")
    job = lend(world, lambda world, grant: grant)
    assert job is not None
    assert job.prompts == bare("hello")
    assert job.params == {"max_new_tokens": 16}


def test_no_job_is_none(world: World) -> None:
    """204 is an answer, not an error."""
    assert world.leases().ask(world.manifest.workload_id()) is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"workload_id": "0x" + "44" * 32}, AlteredJob),
        ({"comparator": 2}, AlteredJob),
        ({"deadline": NOW_S}, UnpayableJob),
        ({"deadline": NOW_S + 10_000}, UnpayableJob),
        ({"unit_price": 1}, UnpayableJob),
        ({"fixed_price": 0}, UnpayableJob),
        ({"max_price": 150}, UnpayableJob),
        ({"max_price": 2**50}, UnpayableJob),
    ],
)
def test_signed_but_unfit_order_is_refused(
    world: World, changes: dict[str, int | str], error: type[LeaseRejected]
) -> None:
    """A true order may still be no work for this node: another workload, too late, too far, below its floor."""
    world.floor = PriceFloor(fixed_units=100, unit_units=10)
    world.backend.order(b"hello", changes=changes)
    with pytest.raises(error):
        lend(world, lambda world, grant: grant)


def test_params_outside_the_manifest_are_refused(world: World) -> None:
    """Parameters that are signed but that the workload does not allow never reach the engine."""
    world.manifest.params["max_new_tokens"] = world.manifest.params["max_new_tokens"].model_copy(update={"maximum": 8})
    world.backend.order(b"hello")
    with pytest.raises(AlteredJob, match="do not fit"):
        lend(world, lambda world, grant: grant)


@pytest.mark.parametrize(
    "lane",
    [
        {"balance": 259},
        {"charged": 10**9},
        {"notice_at": NOW_S - 590},
        {"notice_at": NOW_S - 601},
    ],
)
def test_lane_that_does_not_pay_is_refused(world: World, lane: dict[str, int]) -> None:
    """The chain, not the backend, says whether a lane covers the job and cannot be emptied before it is settled.

    Covers: A30
    """
    world.backend.order(b"hello")
    world.facts.lane_facts = replace(world.facts.lane_facts, **lane)
    with pytest.raises(UnpayableJob, match="The lane of"):
        lend(world, lambda world, grant: grant)


@pytest.mark.parametrize("lane", [{"notice_at": NOW_S}, {"notice_at": NOW_S - 2000}, {"expiry": 0}])
def test_lane_that_pays_in_time_is_accepted(world: World, lane: dict[str, int]) -> None:
    """A fresh notice matures after settlement, an old one has lapsed, a requester's own lane never expires."""
    world.backend.order(b"hello")
    world.facts.lane_facts = replace(world.facts.lane_facts, **lane)
    assert lend(world, lambda world, grant: grant) is not None


def test_proven_cap_covers_an_older_order(world: World) -> None:
    """An order whose own cap was overtaken is still payable under the cap that a later one proved."""
    world.backend.order(b"hello", spend_cap=300)
    world.facts.lane_facts = replace(world.facts.lane_facts, charged=5000, cap_proven=6000)
    assert lend(world, lambda world, grant: grant) is not None


def test_altered_prompts_are_refused(world: World) -> None:
    """The prompts are what the order's root names, whatever the backend sends."""
    order_id = world.backend.order(b"hello")
    name = world.backend.known[order_id][0].terms.prompt_root
    world.backend.blobs[name] = pack([[1, 2, 3]])
    with pytest.raises(BadAnswer, match="is another"):
        lend(world, lambda world, grant: grant)


def test_oversized_prompts_are_refused(world: World) -> None:
    """Prompts longer than the workload's limits allow are given up while they are read. Covers: A58"""
    most = world.manifest.input.most_prompt_bytes
    long = pack([[1] * (most // 4)])
    world.backend.order(b"hello", changes={"prompt_root": world.backend.put(long)})
    with pytest.raises(BadAnswer, match=f"more than {most} bytes"):
        lend(world, lambda world, grant: grant)


@pytest.mark.parametrize(
    ("prompts", "why"),
    [
        (pack([[1] * 1001]), "1001 tokens in text 0"),
        (pack([[1]] * 9), "9 texts"),
        (pack([[1], []]), "0 tokens in text 1"),
        (b"hello", "packed words"),
    ],
)
def test_prompts_beyond_the_workload_are_refused(world: World, prompts: bytes, why: str) -> None:
    """What is signed and hashed right may still be no work of the workload: refused before any work. Covers: A58"""
    world.backend.order(b"hello", changes={"prompt_root": world.backend.put(prompts)})
    with pytest.raises(AlteredJob, match=why):
        lend(world, lambda world, grant: grant)


def test_a_batch_must_pay_for_each_of_its_texts(world: World) -> None:
    """The floor is asked for all units that a batch may take, not for one text's."""
    world.floor = PriceFloor(fixed_units=100, unit_units=10)
    batch = world.backend.put(pack([[1], [2], [3]]))
    world.backend.order(b"one", changes={"prompt_root": batch})
    with pytest.raises(UnpayableJob, match="48 units of work"):
        lend(world, lambda world, grant: grant)
    world.backend.jobs.clear()
    world.backend.order(b"one", changes={"prompt_root": batch, "max_price": 580})
    assert lend(world, lambda world, grant: grant) is not None


def test_renewal_is_checked_too(world: World) -> None:
    """A heartbeat's answer is a lease like any other."""
    world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.jobs[0], world.signer.address)
    forged = resigned(world, grant, Signer(b"\5" * 32), expires=NOW_S + 999)
    world.backend.intercept = lambda method, path, body: (200, forged.model_dump_json().encode())
    with pytest.raises(ForgedLease):
        world.leases().renew(grant)
