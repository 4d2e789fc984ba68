"""Charges and the records behind them, which contests demand and answers show (SPEC, Contests).

Whether a row was paid, and its proof, come from the chain alone. Order and commitment come from the published log,
which is checked against the chain before use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.structs import commitment_tuple, leaf_proof, order_tuple
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import CommitmentEntry, OrderEntry
from contracts.protocol.merkle import Row
from contracts.protocol.packing import unpack
from contracts.protocol.records import VISIBILITY_RESTRICTED
from contracts.protocol.signing import compact
from contracts.record.errors import RowUnknown
from contracts.record.history import History
from contracts.record.log_book import EpochLog

Outcomes = tuple[bytes, bytes]
"""The contract's Outcomes: void bits and skipped bits of a settled epoch; both empty for other epochs."""


class ContestStatus(IntEnum):
    """IContests.ContestStatus."""

    NONE = 0
    OPEN = 1
    UNANSWERED = 2
    OVERDUE = 3
    ANSWERED = 4
    REFUNDED = 5
    LAPSED = 6


@dataclass(frozen=True)
class Charge:
    """A row of the published log with its order and commitment. `proof`: the contract's LeafProof."""

    epoch_id: int
    index: int
    proof: tuple[Any, ...]
    order: OrderEntry
    commitment: CommitmentEntry

    def must_show_output(self, contester: str) -> bool:
        """Whether an answer must hold the output. Only requester and signer may see a restricted order's."""
        order = self.order.order
        restricted = order.terms.visibility == VISIBILITY_RESTRICTED
        return not restricted or contester in (order.requester, self.order.signer)


def charge_of(log: EpochLog, index: int) -> Charge:
    """The charge of a row. Raises RowUnknown, or WrongFact if the log lacks its commitment or order."""
    if index >= len(log.rows):
        raise RowUnknown(log.epoch_id, index, f"the epoch has {len(log.rows)} rows")
    commitment, order = log.behind(log.rows[index])
    return Charge(log.epoch_id, index, leaf_proof(log.epoch_id, index, log.leaves), order, commitment)


class ChargedRows:
    """An epoch's rows by the chain alone: from the calldata that settled the epoch, or one leaf of it."""

    def __init__(self, chain: Chain, history: History, epoch_id: int) -> None:
        self._chain, self._history, self._epoch_id = chain, history, epoch_id

    @cached_property
    def _packed(self) -> tuple[Sequence[Row], Outcomes] | None:
        settled = self._history.settled.get(self._epoch_id)
        if settled is None:
            return None
        count = self._history.epochs[self._epoch_id].count
        epoch = unpack(self._chain.packed_epoch(settled.tx_hash), count)
        return epoch.rows, (settled.void_bits, settled.skipped_bits)

    @property
    def outcomes(self) -> Outcomes:
        """The epoch's outcomes as the contracts take them."""
        return (b"", b"") if self._packed is None else self._packed[1]

    def proof(self, index: int) -> tuple[Any, ...]:
        """The contract's LeafProof of a charged row. Raises RowUnknown if the chain shows no charge."""
        if self._packed is not None:
            rows = self._packed[0]
            if index < len(rows):
                return leaf_proof(self._epoch_id, index, rows)
            raise RowUnknown(self._epoch_id, index, f"the epoch has {len(rows)} rows")
        for event in self._history.of("LeafSettled"):
            if (event.args["epochId"], event.args["index"]) == (self._epoch_id, index):
                return self._called_with(event.tx_hash, index)
        raise RowUnknown(self._epoch_id, index, "it was not charged, so there is nothing to refund")

    def _called_with(self, tx_hash: bytes, index: int) -> tuple[Any, ...]:
        call = self._chain.w3.eth.get_transaction(tx_hash)
        if call["to"] != self._chain.escrow.address:
            raise RowUnknown(self._epoch_id, index, f"it was charged through another contract, in {to_hex(tx_hash)}")
        _, arguments = self._chain.escrow.decode_function_input(call["input"])
        return tuple(arguments["proof"])


def contest_status(chain: Chain, epoch_id: int, index: int) -> ContestStatus:
    """The status of a leaf's contest as of the latest block."""
    return ContestStatus(chain.contests.functions.contestStatus(epoch_id, index).call())


def answer_call(chain: Chain, charge: Charge, contester: str, blob: Callable[[str], bytes]) -> ContractCall:
    """The call that answers a contest. `blob` reads an output by its root, and only if it must be shown."""
    commitment = charge.commitment.commitment
    output = blob(commitment.output_root) if charge.must_show_output(contester) else b""
    return chain.contests.functions.answer(
        charge.proof,
        order_tuple(charge.order.order),
        *compact(charge.order.signature),
        commitment_tuple(commitment),
        from_hex(charge.commitment.signature),
        output,
    )


def duplicate_call(chain: Chain, history: History, charges: Sequence[Charge]) -> ContractCall:
    """The call that refunds an order's one charge too many. `charges`: copies + 1 of them, in chain order."""
    return chain.contests.functions.contestDuplicate(
        order_tuple(charges[0].order.order),
        [charge.proof for charge in charges],
        [ChargedRows(chain, history, charge.epoch_id).outcomes for charge in charges],
        [commitment_tuple(charge.commitment.commitment) for charge in charges],
    )
