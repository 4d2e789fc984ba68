"""A leaf's outcome on chain, and what its operator was credited for it."""

from dataclasses import dataclass
from typing import Literal

from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.events import Event
from contracts.protocol.constants import Constants
from contracts.protocol.errors import MalformedEpoch
from contracts.protocol.hashing import to_hex
from contracts.protocol.merkle import Row
from contracts.protocol.packing import Epoch, SkipReason, bits, from_bits, outcomes_hash, unpack
from contracts.protocol.pricing import fee_units
from contracts.record.history import History, SettledEpoch

Code = Literal["posted", "revealed", "paid", "void", "skipped", "stranded", "alone"]


@dataclass(frozen=True)
class LeafOutcome:
    """A leaf's outcome.

    Attributes:
        code: posted: not revealed yet | revealed: not settled yet | paid, void or skipped: with its epoch | stranded:
            nobody settled the epoch in time | alone: paid by settleOne.
        tx: the transaction that settled it, 0x hex; None until then.
        gross_units, fee_units: of all the operator's leaves in that transaction.
        skipped_for: why its lane was skipped; None if it was not, or the chain does not tell.
    """

    code: Code
    tx: str | None = None
    gross_units: int = 0
    fee_units: int = 0
    skipped_for: SkipReason | None = None


def outcome_of(chain: Chain, history: History, epoch_id: int, index: int, operator_id: int, now_s: int) -> LeafOutcome:
    """The outcome of a leaf under a posted root. `now_s`: the chain's time, Unix seconds.

    Raises ChainError, or MalformedEpoch if the settlement's calldata does not match what the chain keeps.
    """
    settled, packed = history.settled.get(epoch_id), None
    if settled is not None:
        packed = unpack(chain.packed_epoch(settled.tx_hash), history.epochs[epoch_id].count)
        _require_kept(chain, settled, bits(packed.void, len(packed.rows)))
    place, constants = (epoch_id, index), chain.deployment.constants
    return outcome_in(history, constants, place, operator_id, packed, now_s)


def outcome_in(
    history: History, constants: Constants, place: tuple[int, int], operator_id: int, packed: Epoch | None, now_s: int
) -> LeafOutcome:
    """The pure part. `place`: epoch and row. `packed`: the settlement's calldata; None if there is none."""
    epoch_id, index = place
    alone = _leaf_settled(history, epoch_id, index)
    if alone is not None:
        return LeafOutcome("alone", to_hex(alone.tx_hash), alone.args["amountUnits"], alone.args["feeUnits"])
    settled = history.settled.get(epoch_id)
    if settled is not None and packed is not None:
        return _settled(history, constants, settled, packed, index, operator_id)
    if now_s > history.epochs[epoch_id].timestamp + constants.settle_wait_s:
        return LeafOutcome("stranded")
    return LeafOutcome("revealed" if epoch_id + 1 in history.epochs else "posted")


def _leaf_settled(history: History, epoch_id: int, index: int) -> Event | None:
    alone = (event for event in history.of("LeafSettled") if event.args["epochId"] == epoch_id)
    return next((event for event in alone if event.args["index"] == index), None)


def _settled(
    history: History, constants: Constants, settled: SettledEpoch, epoch: Epoch, index: int, operator_id: int
) -> LeafOutcome:
    tx, skipped = to_hex(settled.tx_hash), from_bits(settled.skipped_bits, len(epoch.rows))
    if index in epoch.void:
        return LeafOutcome("void", tx)
    if index in skipped:
        return LeafOutcome("skipped", tx, skipped_for=_skip_reason(history, settled.epoch_id, epoch.rows[index]))
    rows = [row for i, row in enumerate(epoch.rows) if i not in epoch.void and i not in skipped]
    gross = sum(row.amount_units for row in rows if row.operator_id == operator_id)
    return LeafOutcome("paid", tx, gross, fee_units(gross, constants.fee_bps))


def _require_kept(chain: Chain, settled: SettledEpoch, void_bits: bytes) -> None:
    kept = as_dict(chain.escrow.functions.epochs(settled.epoch_id).call())["outcomes"]
    if outcomes_hash(void_bits, settled.skipped_bits) != kept:
        raise MalformedEpoch("its outcomes do not match the chain's", offset=0)


def _skip_reason(history: History, epoch_id: int, row: Row) -> SkipReason | None:
    for event in history.of("LaneSkipped"):
        if event.args["id"] == epoch_id and (event.args["requester"], event.args["signer"]) == (
            row.requester,
            row.signer,
        ):
            return SkipReason(event.args["reason"])
    return None
