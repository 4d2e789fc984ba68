"""Errors of the worker while it drives epochs on chain. The worker logs these errors and tries again.

DrivingError
├── NodeRefused             the chain's node refused a signed transaction; `refusal` says why
├── TransactionReverted     a transaction was mined and reverted
├── NoCommonAncestor        a reorg is deeper than everything the indexer has read
├── BeaconNotReady          the beacon does not reveal this epoch's value yet
├── BeaconUnavailable       the beacon gave no usable answer
├── RowsDiffer              an epoch's rows do not rebuild the root that was fixed for it
├── LaneNotCovered          no order of a lane has a cap that covers what it owes
└── ContestsUnanswered      some contests cannot be answered
"""

from enum import Enum

from contracts.protocol.errors import AssayError


class Refusal(Enum):
    """Why a node refused a transaction, by its error message."""

    KNOWN = "known"
    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "no_funds"
    OTHER = "other"


class DrivingError(AssayError):
    """Base of the worker's errors."""


class NodeRefused(DrivingError):
    def __init__(self, refusal: Refusal, message: str) -> None:
        self.refusal = refusal
        super().__init__(f"the node refused the transaction ({refusal.value}): {message}")


class TransactionReverted(DrivingError):
    """`key` names the intent, `reason` is the contract's own error with its values."""

    def __init__(self, *, key: str, tx_hash: str, reason: str) -> None:
        self.key, self.tx_hash, self.reason = key, tx_hash, reason
        super().__init__(f"{key} was mined in {tx_hash} and reverted: {reason}")


class NoCommonAncestor(DrivingError):
    def __init__(self, *, lowest_block: int) -> None:
        way_out = "if the chain was restarted from scratch, start the backend with a new home"
        super().__init__(f"no block down to {lowest_block} is still on the chain", way_out=way_out)


class BeaconNotReady(DrivingError):
    def __init__(self, *, epoch_id: int, why: str) -> None:
        super().__init__(f"the beacon does not reveal the value of epoch {epoch_id} yet: {why}")


class BeaconUnavailable(DrivingError):
    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no value from {url}: {why}", way_out="check that the beacon runs and --beacon names it")


class RowsDiffer(DrivingError):
    def __init__(self, *, epoch_id: int, root: str, rebuilt: str) -> None:
        super().__init__(
            f"epoch {epoch_id} was closed with root {root}, its rows give {rebuilt}", way_out="restore the database"
        )


class LaneNotCovered(DrivingError):
    def __init__(self, *, requester: str, signer: str, needed_units: int, best_cap_units: int) -> None:
        super().__init__(
            f"lane ({requester}, {signer}) would be charged {needed_units} units in all, but its orders prove a cap of "
            f"only {best_cap_units}; the contract will skip it"
        )


class ContestsUnanswered(DrivingError):
    def __init__(self, why: dict[tuple[int, int], str]) -> None:
        told = "; ".join(f"row {index} of epoch {epoch_id}: {words}" for (epoch_id, index), words in why.items())
        super().__init__(
            f"contests without an answer: {told}",
            way_out=(
                "restore what is missing, e.g. from a mirror of the log: charges left unanswered are refunded from "
                "the settler's bond"
            ),
        )
