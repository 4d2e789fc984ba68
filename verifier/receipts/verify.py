"""Verifies a receipt against a chain: its signatures, then the chain's facts, then both in words."""

from pydantic import ValidationError

from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.discovery import deployment_of
from contracts.onchain.rpc import Rpc
from contracts.protocol.receipt import PaymentReceipt
from verifier.receipts import onchain
from verifier.receipts.report import Checklist, ReceiptCheck, ReceiptReport
from verifier.receipts.signed import check_output, check_signed
from verifier.receipts.words import PROVES_NOTHING, limits, statements

_SHOWN_FAULTS = 20


def verify_receipt(data: bytes, w3: Rpc, *, escrow: str | None = None, output: bytes | None = None) -> ReceiptReport:
    """Recomputes everything in a receipt's bytes, and reports what is wrong with it. Raises only ChainError.

    `escrow`: the contract that the receipt must name; by default any with this build's code. `output`: the requester's
    copy of the answer, to compare.
    """
    try:
        receipt = PaymentReceipt.model_validate_json(data)
    except ValidationError as error:
        return _refused(_unreadable(error))
    found = Checklist()
    check_signed(receipt, found)
    if output is not None:
        check_output(receipt, output, found)
    if not onchain.check_contracts(w3, receipt, escrow, found):
        return _refused(found.checks, receipt.leaf.amount_units)
    chain = Chain(w3, deployment_of(w3, receipt.contracts.escrow))
    epoch = as_dict(chain.escrow.functions.epochs(receipt.leaf.epoch_id).call())
    onchain.check_neighbours(chain, receipt, found)
    onchain.check_leaf(chain, receipt, epoch, found)
    onchain.check_settlement(chain, receipt, epoch, found)
    if not found.ok:
        return _refused(found.checks, receipt.leaf.amount_units)
    facts = onchain.chain_facts(chain, receipt, epoch)
    return ReceiptReport(
        verified=True,
        checks=found.checks,
        outcome=facts.outcome,
        amount_units=receipt.leaf.amount_units,
        refunded_units=sum(facts.refunds.values()),
        proves=statements(chain, receipt, facts, output),
        does_not_prove=limits(receipt, facts, output),
    )


def _refused(checks: list[ReceiptCheck], amount: int = 0) -> ReceiptReport:
    return ReceiptReport(
        verified=False,
        checks=checks,
        outcome="unknown",
        amount_units=amount,
        refunded_units=0,
        proves=[],
        does_not_prove=[PROVES_NOTHING],
    )


def _unreadable(error: ValidationError) -> list[ReceiptCheck]:
    """A failed check for each malformed field."""
    return [
        ReceiptCheck(
            name="the file is a receipt",
            fields=[".".join(map(str, fault["loc"]))],
            ok=False,
            expected=fault["msg"],
            found=repr(fault["input"])[:80],
        )
        for fault in error.errors()[:_SHOWN_FAULTS]
    ]
