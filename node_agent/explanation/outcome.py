"""What became of a leaf on chain, and what its operator was credited for it."""

from dataclasses import dataclass

from contracts.onchain.chain import Chain
from contracts.onchain.events import Event
from contracts.onchain.history import CaseFile, History
from contracts.protocol.hashing import to_hex
from contracts.protocol.packing import SkipReason, from_bits, unpack
from contracts.protocol.pricing import fee_units

_SKIPPED = {
    SkipReason.BALANCE: "its balance was below the sum of its rows",
    SkipReason.CAP: "no signed cap covered the charge",
    SkipReason.SIGNATURE: "the cap that was shown was not signed by its signer",
    SkipReason.EXPIRED: "it had expired",
}
_RULING_GUILTY = 3


@dataclass(frozen=True)
class Outcome:
    """`code`: posted | revealed | paid | void | skipped | stranded | alone. Units; `tx` names the transaction.

    `gross_units`, `fee_units`: of the operator in that settlement, of which this leaf is a part.
    """

    code: str
    says: str
    tx: str | None = None
    gross_units: int = 0
    fee_units: int = 0


def outcome_of(chain: Chain, history: History, epoch_id: int, index: int, operator_id: int, now_s: int) -> Outcome:
    """What the chain says of a leaf under a posted root. Raises ChainError."""
    alone = _leaf_settled(history, epoch_id, index)
    if alone is not None:
        amount, fee, tx = alone.args["amountUnits"], alone.args["feeUnits"], to_hex(alone.tx_hash)
        return Outcome("alone", f"paid by itself with settleOne in {tx}", tx, amount, fee)
    if epoch_id in history.settled:
        return _settled(chain, history, epoch_id, index, operator_id)
    constants, epoch = chain.deployment.constants, history.epochs[epoch_id]
    ends = epoch.timestamp + constants.settle_wait_s
    if now_s > ends:
        return Outcome(
            "stranded", f"nobody settled epoch {epoch_id} before {ends}: `assay node settle` pays the leaf now"
        )
    following = history.epochs.get(epoch_id + 1)
    if following is None:
        return Outcome("posted", f"epoch {epoch_id + 1} is not posted yet, which reveals the sample of {epoch_id}")
    left = max(0, following.timestamp + constants.check_wait_s - now_s)
    return Outcome("revealed", f"checks are taken for {left} s more, then epoch {epoch_id} is settled, before {ends}")


def case_of(history: History, epoch_id: int, index: int) -> CaseFile | None:
    """The case on a leaf, if there is one."""
    return next((c for c in history.cases.values() if (c.epoch_id, c.index) == (epoch_id, index)), None)


def _leaf_settled(history: History, epoch_id: int, index: int) -> Event | None:
    alone = (event for event in history.of("LeafSettled") if event.args["epochId"] == epoch_id)
    return next((event for event in alone if event.args["index"] == index), None)


def _settled(chain: Chain, history: History, epoch_id: int, index: int, operator_id: int) -> Outcome:
    settled, count = history.settled[epoch_id], history.epochs[epoch_id].count
    epoch, tx = unpack(chain.packed_epoch(settled.tx_hash), count), to_hex(settled.tx_hash)
    skipped = from_bits(settled.skipped_bits, count)
    if index in epoch.void:
        return Outcome("void", f"{_why_void(history, epoch_id, index)}; settled in {tx}", tx)
    if index in skipped:
        row = epoch.rows[index]
        reason = _skip_reason(history, epoch_id, (row.requester, row.signer))
        says = f"the lane was skipped, because {reason}; `assay node settle` pays the leaf once the lane covers it"
        return Outcome("skipped", says, tx)
    rows = [row for i, row in enumerate(epoch.rows) if i not in epoch.void and i not in skipped]
    gross = sum(row.amount_units for row in rows if row.operator_id == operator_id)
    fee = fee_units(gross, chain.deployment.constants.fee_bps)
    return Outcome("paid", f"paid with epoch {epoch_id} in {tx}", tx, gross, fee)


def _why_void(history: History, epoch_id: int, index: int) -> str:
    case = case_of(history, epoch_id, index)
    if case is None:
        return "void although there is no case on it: the settler's error or lie; contest it, or tell the network"
    name, executed = f"case {to_hex(case.case_id)}", case.executed
    if executed is not None and executed.args["ruling"] != _RULING_GUILTY:
        return f"void although {name} was not ruled against the node: the settler's error or lie"
    said = f", which slashed {executed.args['slashedUnits']} units" if executed else ", which waits to be executed"
    return f"void, because {name} upheld another answer than the node's{said}"


def _skip_reason(history: History, epoch_id: int, lane: tuple[str, str]) -> str:
    for event in history.of("LaneSkipped"):
        if event.args["id"] == epoch_id and (event.args["requester"], event.args["signer"]) == lane:
            return _SKIPPED[SkipReason(event.args["reason"])]
    return "of a reason that the chain does not tell"
