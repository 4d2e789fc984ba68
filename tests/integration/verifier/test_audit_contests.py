"""The audit of what makes wrong charges good: contests, refunds out of the settler's bond, rotation, equivocation."""

from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from contracts.onchain.structs import commitment_tuple, leaf_proof, order_tuple
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.signing import Signer, compact
from tests.integration.verifier.network import Closed, Network, Ordered, moved_row
from tests.integration.verifier.test_audit import read_log, run_audit

NOTHING = (b"\0", b"\0")


def settled(network: Network, *jobs: Ordered) -> Closed:
    """An epoch of these jobs, checked and settled."""
    epoch = network.post(list(jobs))
    checked = {job.order.order.model_dump_json(): job for job in jobs}
    network.post([], [network.verdict(1, job) for job in checked.values()])
    network.wait(41)
    network.settle(1)
    return epoch


def contest(network: Network, index: int) -> tuple[Any, ...]:
    """A stranger contests a leaf of epoch 1; its proof."""
    stranger, chain = network.keys["stranger"], network.chain
    bond_wei = network.deployment.constants.contest_bond_units * network.deployment.constants.unit_wei
    network.call(
        network.keys["deployer"], chain.token.functions.transfer(to_checksum_address(stranger.address), bond_wei)
    )
    network.call(stranger, chain.token.functions.approve(chain.contests.address, bond_wei))
    proof = leaf_proof(1, index, read_log(network, 1).leaves)
    network.call(stranger, chain.contests.functions.contest(proof, NOTHING))
    return proof


def answer(network: Network, job: Ordered, proof: tuple[Any, ...]) -> None:
    """Anyone shows what was ordered and delivered."""
    output = network.execute(job.prompts).output
    r, vs = compact(job.order.signature)
    call = network.chain.contests.functions.answer(
        proof,
        order_tuple(job.order.order),
        r,
        vs,
        commitment_tuple(job.commitment.commitment),
        from_hex(job.commitment.signature),
        output,
    )
    network.call(network.keys["operator"], call)


def test_an_answered_contest_is_recomputed(network: Network) -> None:
    """A contest of a right charge costs the contester its bond and nobody else anything; the books balance.

    Covers: A31
    """
    job = network.job("one")
    settled(network, job)
    proof = contest(network, 0)
    during = run_audit(network)
    assert (during.faults, during.contests, during.unexplained_wei) == ([], 1, 0)
    answer(network, job, proof)
    report = run_audit(network)
    assert (report.faults, report.refunded_units, report.unexplained_wei) == ([], 0, 0)


@pytest.mark.parametrize("wrong", ["over the price", "never ordered"])
def test_an_unanswered_contest_makes_a_wrong_charge_good(network: Network, wrong: str) -> None:
    """A charge above the signed price, or of no order at all, is a fault until the bond has refunded it.

    Covers: A25, A54
    """
    right, job = network.job("right"), network.job("one")
    change = {"amount_units": job.row.amount_units + 1} if wrong == "over the price" else {"digest": keccak(b"none")}
    settled(network, right, moved_row(job, **change))
    assert [(f.epoch_id, f.row) for f in run_audit(network).faults][:1] == [(1, 1)]
    proof = contest(network, 1)
    network.wait(91)
    network.call(network.keys["stranger"], network.chain.contests.functions.resolve(proof, NOTHING))
    report = run_audit(network)
    assert [f for f in report.faults if f.epoch_id == 1] == []
    assert (report.refunded_units, report.unexplained_wei) == (proof[5], 0)


def test_a_duplicate_charge_is_named_until_it_is_refunded(network: Network) -> None:
    """The same order charged twice is a fault; refunded from the bond by proof of both rows, it is made good.

    Covers: A16
    """
    job = network.job("one")
    settled(network, job, job)
    assert any(f.rule == "no node is paid twice for one order" for f in run_audit(network).faults)
    log, commitment = read_log(network, 1), commitment_tuple(job.commitment.commitment)
    proofs = [leaf_proof(log.epoch_id, index, log.leaves) for index in (0, 1)]
    call = network.chain.contests.functions.contestDuplicate(
        order_tuple(job.order.order), proofs, [NOTHING] * 2, [commitment] * 2
    )
    network.call(network.keys["stranger"], call)
    report = run_audit(network)
    assert report.faults == []
    assert (report.refunded_units, report.unexplained_wei) == (job.row.amount_units, 0)


def through_timelock(network: Network, function: Any) -> None:
    """The governor calls a function of the escrow, after its delay."""
    governor, deployer = network.chain.governor.functions, network.keys["deployer"]
    call = (network.chain.escrow.address, 0, function.data, bytes(32), bytes(32))
    network.call(deployer, governor.schedule(*call, network.deployment.constants.timelock_s))
    network.wait(network.deployment.constants.timelock_s + 1)
    network.call(deployer, governor.execute(*call))


def test_a_rotated_settler_goes_on_and_the_audit_follows(network: Network) -> None:
    """Leases and epochs of the settler before and of the one after a rotation both count, each in its time.

    Covers: A27
    """
    network.post([network.job("one")])
    old, new = network.keys["settler"], Signer(keccak(b"new settler"))
    network.rpc("anvil_setBalance", to_checksum_address(new.address), hex(10**21))
    set_settler = network.chain.escrow.functions.setSettler
    through_timelock(network, set_settler(to_checksum_address(new.address)))
    network.keys["settler"] = new
    network.post([network.job("two")])
    assert run_audit(network).faults == []

    network.keys["settler"] = old
    forged = network.job("three")
    early = network.keys["settler"].address
    network.keys["settler"] = Signer(keccak(b"a later settler"))
    not_yet = network.job("four")
    network.keys["settler"] = new
    network.post([forged, not_yet])
    faults = [f for f in run_audit(network).faults if f.epoch_id == 3]
    assert [f.row for f in faults] == [1], "the old settler held office before; the later one does not yet"
    assert early in faults[0].expected


def test_a_reset_beacon_is_followed(network: Network) -> None:
    """A beacon that was lost and reset by the governor is no broken link; one that was not reset would be."""
    network.post([])
    values = [keccak(b"new beacon 2"), keccak(b"new beacon 1")]
    values.insert(0, keccak(values[0]))
    through_timelock(network, network.chain.escrow.functions.resetBeacon(keccak(values[1])))
    call = network.chain.escrow.functions.postEpoch(2, bytes(32), 0, values[1], bytes(32))
    (network.folder / "epochs" / "2.jsonl").write_bytes(b"")
    network.call(network.keys["settler"], call)
    assert run_audit(network).faults == []


def test_an_equivocation_is_recomputed_from_its_call(network: Network) -> None:
    """Two signatures of one node for one order cost it stake without a verdict, and the audit explains the slash.

    Covers: A56
    """
    job = network.job("one")
    other = job.commitment.commitment.model_copy(update={"output_root": to_hex(keccak(b"other"))})
    signature = network.keys["node"].sign(network.domain.commitment_digest(other))
    call = network.chain.court.functions.equivocation(
        order_tuple(job.order.order),
        *compact(job.order.signature),
        commitment_tuple(job.commitment.commitment),
        from_hex(job.commitment.signature),
        commitment_tuple(other),
        from_hex(signature),
    )
    network.call(network.keys["stranger"], call)
    report = run_audit(network)
    assert report.faults == []
    assert report.unexplained_wei == 0
    assert network.chain.stakes.functions.stakeOf(network.operator_id).call() == 10**6 - 100
