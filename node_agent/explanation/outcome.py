"""A leaf's outcome on chain, in words."""

from contracts.protocol.constants import Constants
from contracts.protocol.hashing import to_hex
from contracts.protocol.packing import SkipReason
from contracts.protocol.rulings import Ruling
from contracts.record.history import History
from contracts.record.outcome import LeafOutcome

_UNTOLD = "of a reason that the chain does not record"
_SKIPPED: dict[SkipReason | None, str] = {
    SkipReason.BALANCE: "its balance was below the sum of its rows",
    SkipReason.CAP: "no signed cap covered the charge",
    SkipReason.SIGNATURE: "the shown cap was not signed by its signer",
    SkipReason.EXPIRED: "it had expired",
}


def outcome_in_words(
    outcome: LeafOutcome, history: History, constants: Constants, epoch_id: int, index: int, now_s: int
) -> tuple[str, bool]:
    """A leaf's outcome, and whether the settler did wrong."""
    tx, ends = outcome.tx, history.epochs[epoch_id].timestamp + constants.settle_wait_s
    match outcome.code:
        case "alone":
            return f"paid by itself with settleOne in {tx}", False
        case "paid":
            return f"paid with epoch {epoch_id} in {tx}", False
        case "void":
            why, wrong = _why_void(history, epoch_id, index)
            return f"{why}; settled in {tx}", wrong
        case "skipped":
            reason = _SKIPPED.get(outcome.skipped_for, _UNTOLD)
            says = f"the lane was skipped, because {reason}; `assay node settle` pays the leaf once the lane covers it"
            return says, False
        case "stranded":
            return f"nobody settled epoch {epoch_id} before {ends}: `assay node settle` pays the leaf now", False
        case "posted":
            return f"waits for epoch {epoch_id + 1}, which reveals the sample of epoch {epoch_id}", False
        case "revealed":
            left = max(0, history.epochs[epoch_id + 1].timestamp + constants.check_wait_s - now_s)
            return f"checks are accepted for {left} s more, then epoch {epoch_id} is settled, before {ends}", False


def _why_void(history: History, epoch_id: int, index: int) -> tuple[str, bool]:
    case = history.case_on(epoch_id, index)
    if case is None:
        return "void although there is no case on it: the settler's error or lie; contest it, or tell the network", True
    name, executed = f"case {to_hex(case.case_id)}", case.executed
    if case.ruling not in (Ruling.OPEN, Ruling.NODE_GUILTY):
        return f"void although {name} was not ruled against the node: the settler's error or lie", True
    said = f", which slashed {executed.args['slashedUnits']} units" if executed else ", which waits to be executed"
    return f"void, because {name} upheld another answer than the node's{said}", False
