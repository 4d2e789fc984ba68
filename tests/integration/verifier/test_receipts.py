"""Receipts on a real chain: what is right is proven and said in words, what is bent anywhere is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.onchain.chain import connect
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.merkle import merkle_proof
from contracts.protocol.packing import bits
from contracts.protocol.receipt import PaymentReceipt, ReceiptContracts, ReceiptLeaf, ReceiptSettlement
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import terms_hash
from tests.integration.verifier.network import Network, Ordered
from tests.world.anvil import remembering
from verifier.receipts.cli import verify_app
from verifier.receipts.report import ReceiptReport
from verifier.receipts.verify import verify_receipt


def receipt_of(network: Network, epoch_id: int, job: Ordered, void: frozenset[int] | None = None) -> PaymentReceipt:
    """The receipt that a backend would give; `void`: the rows voided when the epoch was settled, None before."""
    rows = [row for group in network.closed[epoch_id].groups for row in group.rows]
    leaves, index = [row.leaf() for row in rows], [row.digest for row in rows].index(job.row.digest)
    d, events = network.deployment, network.chain.events(0, network.chain.head().number)
    posted = next(e for e in events if e.name == "EpochPosted" and e.args["id"] == epoch_id)
    settlement = None
    if void is not None:
        settled = next(e for e in events if e.name == "EpochSettled" and e.args["id"] == epoch_id)
        settlement = ReceiptSettlement(
            settle_tx=to_hex(settled.tx_hash),
            void_bits=to_hex(bits(void, len(rows))),
            skipped_bits=to_hex(settled.args["skippedBits"]),
        )
    return PaymentReceipt(
        chain_id=d.chain_id,
        contracts=ReceiptContracts(escrow=d.escrow, stake_manager=d.stake_manager, court=d.court, token=d.token),
        order_id=job.commitment.commitment.order_id,
        order=job.order.order,
        signer=job.order.signer,
        order_signature=job.order.signature,
        commitment_digest=to_hex(job.row.digest),
        commitment=job.commitment.commitment,
        commitment_signature=job.commitment.signature,
        leaf=ReceiptLeaf(
            epoch_id=epoch_id,
            index=index,
            operator_id=job.row.operator_id,
            amount_units=job.row.amount_units,
            siblings=[to_hex(sibling) for sibling in merkle_proof(leaves, index)],
            root=to_hex(posted.args["root"]),
            post_tx=to_hex(posted.tx_hash),
        ),
        settlement=settlement,
    )


def verified(network: Network, receipt: PaymentReceipt, **options: Any) -> ReceiptReport:
    return verify_receipt(receipt.model_dump_json().encode(), connect(network.rpc_url), **options)


def settled_jobs(network: Network, void: frozenset[int] = frozenset()) -> list[Ordered]:
    """Three jobs of an epoch that was settled."""
    jobs = network.post([network.job("one"), network.job("two"), network.job("three")]).jobs
    network.post([])
    network.wait(41)
    network.settle(1, void)
    return jobs


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all leaves of a JSON value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from fields(inner, (*path, key))
    else:
        yield path


def altered(value: Any, at: int) -> Any:
    """The value with one digit changed, or one more."""
    if isinstance(value, int):
        return value + 1
    place = 2 + at % (len(value) - 2)
    return value[:place] + ("1" if value[place] != "1" else "2") + value[place + 1 :]


@pytest.mark.chain
def test_any_altered_field_of_a_receipt_is_named(network: Network) -> None:
    """A receipt that was tampered with anywhere proves nothing, and the field is named. Covers: A46"""
    job = settled_jobs(network)[1]
    receipt = receipt_of(network, 1, job, frozenset())
    report = verified(network, receipt)
    assert report.verified, report.first_fault
    assert report.outcome == "paid"
    honest = json.loads(receipt.model_dump_json())
    w3 = remembering(network.rpc_url)
    for number, path in enumerate(fields(honest)):
        bent = json.loads(receipt.model_dump_json())
        holder = bent
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = altered(holder[path[-1]], 7 * number)
        found = verify_receipt(json.dumps(bent).encode(), w3)
        assert not found.verified, path
        assert found.proves == []
        named = {name for check in found.checks if not check.ok for name in check.fields}
        spelt = ".".join(str(key) for key in path)
        assert any(spelt.startswith(name) or name.startswith(spelt) for name in named), (spelt, named)


def test_words_say_what_is_proven_and_what_is_not(network: Network, tmp_path: Path) -> None:
    """A paid job's receipt: who signed what, what was charged, and that the answer may still be wrong."""
    job = settled_jobs(network)[0]
    file, answer = tmp_path / "receipt.json", tmp_path / "answer"
    file.write_text(receipt_of(network, 1, job, frozenset()).model_dump_json())
    answer.write_bytes((network.folder / "blobs" / job.commitment.commitment.output_root).read_bytes())
    arguments = [str(file), "--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--output", str(answer)]
    result = CliRunner().invoke(verify_app, arguments)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    amount = f"{job.row.amount_units / 10**9:.10f}".rstrip("0")
    assert f"The escrow at {network.deployment.escrow} on chain 31337 charged the lane of" in said
    assert amount in said
    assert f"credited operator {network.operator_id}" in said
    assert "the answer that the node committed to" in said
    assert "It does not prove: - That the answer is right." in said
    answer.write_bytes(b"another answer")
    refused = CliRunner().invoke(verify_app, [*arguments, "--json"])
    assert refused.exit_code == 1
    faults = [check for check in json.loads(refused.output)["checks"] if not check["ok"]]
    assert [fault["fields"] for fault in faults] == [["commitment.output_root"]]


def test_outcomes(network: Network) -> None:
    """Before settlement, VOID, stranded, and settled by itself: each is told from the chain, also by an old receipt."""
    jobs = network.post([network.job("one"), network.job("two")]).jobs
    early = receipt_of(network, 1, jobs[1])
    assert verified(network, early).outcome == "rooted"
    network.post([])
    network.wait(41)
    network.settle(1, frozenset({1}))
    voided = verified(network, early)
    assert voided.outcome == "void"
    assert "nothing: the row was declared VOID" in " ".join(voided.proves)
    assert verified(network, receipt_of(network, 1, jobs[0], frozenset({1}))).outcome == "paid"
    late = network.post([network.job("three")]).jobs[0]
    network.wait(network.deployment.constants.settle_wait_s + 1)
    receipt = receipt_of(network, 3, late)
    assert verified(network, receipt).outcome == "stranded"
    _settle_one(network, receipt)
    report = verified(network, receipt)
    assert report.outcome == "paid one by one"
    assert "in a settlement of this one row" in " ".join(report.proves)


def test_a_refund_is_told(network: Network) -> None:
    """A contest that nobody answers gives the money back out of the settler's bond: the receipt's words say so."""
    receipt = receipt_of(network, 1, settled_jobs(network)[0], frozenset())
    settlement, constants = receipt.settlement, network.deployment.constants
    assert settlement is not None
    outcomes = (from_hex(settlement.void_bits), from_hex(settlement.skipped_bits))
    contests, deployer = network.chain.contests, network.keys["deployer"]
    bond_wei = constants.contest_bond_units * constants.unit_wei
    network.call(deployer, network.chain.token.functions.approve(contests.address, bond_wei))
    network.call(deployer, contests.functions.contest(_proof(network, receipt), outcomes))
    asked = verified(network, receipt)
    assert asked.outcome == "paid"
    assert asked.refunded_units == 0
    assert "The charge is contested" in " ".join(asked.proves)
    network.wait(constants.answer_window_s + 1)
    network.call(deployer, contests.functions.resolve(_proof(network, receipt), outcomes))
    report = verified(network, receipt)
    assert report.refunded_units == receipt.leaf.amount_units
    assert "came back to the lane, out of the settler's bond" in " ".join(report.proves)
    assert "nobody showed that it was ordered" in " ".join(report.proves)


def test_a_fake_escrow_proves_nothing_about_the_real_one(network: Network) -> None:
    """A receipt is bound to its contract: other code, no code, or another address than asked for is named."""
    receipt = receipt_of(network, 1, settled_jobs(network)[0], frozenset())
    token = network.deployment.token
    for address, why in ((token, "other code"), ("0x" + "11" * 20, "no contract")):
        fake = receipt.model_copy(update={"contracts": receipt.contracts.model_copy(update={"escrow": address})})
        report = verified(network, fake)
        assert not report.verified
        assert any(check.fields == ["contracts.escrow"] and why in check.found for check in report.checks)
    report = verified(network, receipt, escrow=token)
    assert report.first_fault is not None
    assert (report.first_fault.fields, report.first_fault.expected) == (["contracts.escrow"], token)


def _proof(network: Network, receipt: PaymentReceipt) -> tuple[Any, ...]:
    """The contract's LeafProof, with what the receipt holds."""
    leaf = receipt.leaf
    lane = (receipt.order.requester, receipt.signer)
    siblings = [from_hex(sibling) for sibling in leaf.siblings]
    digest = from_hex(receipt.commitment_digest)
    return leaf.epoch_id, leaf.index, *lane, leaf.operator_id, leaf.amount_units, digest, siblings


def _settle_one(network: Network, receipt: PaymentReceipt) -> None:
    """By anyone, with what the receipt holds."""
    order = receipt.order
    cap = (order.spend_cap, terms_hash(order.terms), *compact(receipt.order_signature))
    settle = network.chain.escrow.functions.settleOne(_proof(network, receipt), (b"", b""), cap)
    network.call(network.keys["stranger"], settle)
