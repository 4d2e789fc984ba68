"""What can go wrong while the backend drives its epochs on chain. Raised to the worker, which logs it and tries again.

DrivingError
├── NodeRefused             the node does not take a signed transaction; `refusal` says which kind
├── TransactionReverted     a transaction was mined and refused by the contract
├── NoCommonAncestor        a reorg goes deeper than everything the indexer has read
├── BeaconNotReady          the beacon does not reveal this epoch's value yet
├── BeaconUnavailable       the beacon gives no usable answer
├── RowsDiffer              an epoch's own rows do not rebuild the root that was fixed for it
└── LaneNotCovered          no order of a lane has a cap that covers what it owes
"""

from enum import Enum

from contracts.protocol.errors import AssayError


class Refusal(Enum):
    """Why a node does not take a transaction, as far as its words tell."""

    KNOWN = "known"
    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "no_funds"
    OTHER = "other"


class DrivingError(AssayError):
    """Base. `code` is for machines; the message names the offending value and the way out."""


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
        super().__init__(
            f"no block down to {lowest_block} is still on the chain",
            way_out="if the chain was started anew, start the backend with a new home",
        )


class BeaconNotReady(DrivingError):
    def __init__(self, *, epoch_id: int, why: str) -> None:
        super().__init__(f"the beacon does not reveal the value of epoch {epoch_id} yet: {why}")


class BeaconUnavailable(DrivingError):
    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no value from {url}: {why}", way_out="is the beacon running?")


class RowsDiffer(DrivingError):
    def __init__(self, *, epoch_id: int, root: str, rebuilt: str) -> None:
        super().__init__(
            f"epoch {epoch_id} was closed with root {root}, its rows give {rebuilt}", way_out="restore the database"
        )


class LaneNotCovered(DrivingError):
    def __init__(self, *, requester: str, signer: str, needed_units: int, best_cap_units: int) -> None:
        super().__init__(
            f"lane ({requester}, {signer}) would have been charged {needed_units} units, its orders prove "
            f"{best_cap_units}; it will be skipped on chain"
        )


class ContestsUnanswered(DrivingError):
    def __init__(self, why: dict[tuple[int, int], str]) -> None:
        told = "; ".join(f"row {index} of epoch {epoch_id}: {words}" for (epoch_id, index), words in why.items())
        super().__init__(
            f"contests without an answer: {told}",
            way_out=(
                "unless what is missing comes back in time, e.g. from a copy of the log, the charges are refunded from "
                "the settler's bond"
            ),
        )
