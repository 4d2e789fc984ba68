"""Contests: anyone with a funded key may demand proof that a charge was ordered and delivered (SPEC, Contests).

Needs the chain and no backend; the published log only to find an order's charges or to answer.
"""

from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from backend.client.errors import NotContestable, OutputHidden
from contracts.onchain.chain import Chain
from contracts.onchain.errors import Reverted
from contracts.onchain.events import Event
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import to_hex
from contracts.protocol.packed import is_named
from contracts.record.charges import (
    Charge,
    ChargedRows,
    ContestStatus,
    answer_call,
    charge_of,
    contest_status,
    duplicate_call,
)
from contracts.record.errors import LogUnavailable
from contracts.record.history import History, read_history
from contracts.record.log_book import EpochLog, LogBook, read_epoch
from contracts.record.log_source import LogSource, published_lines

_PAID = 1
"""IJobEscrow.LeafStatus.PAID."""

Place = tuple[int, int]
"""Epoch and row."""


@dataclass(frozen=True)
class ContestView:
    """A charge and its contest as they stand. Unix seconds and units; None if unknown.

    `answer_ends`, `resolve_ends`: the ends of the time to answer and, unanswered, to resolve it. `refund_units`: what
    the settler's bond refunded, by this contest or as a duplicate. `answer`: the event that answered it.
    """

    epoch_id: int
    index: int
    status: ContestStatus
    contester: str | None
    answer_ends: int | None
    resolve_ends: int | None
    refund_units: int | None
    answer: Event | None


class Contests:
    """The contests of a chain. `sender` pays for the transactions."""

    def __init__(self, chain: Chain) -> None:
        self._chain, self._functions = chain, chain.contests.functions

    def all(self) -> list[ContestView]:
        history = self._history()
        return [self._view(history, place) for place in history.contests]

    def view(self, epoch_id: int, index: int) -> ContestView:
        return self._view(self._history(), (epoch_id, index))

    def open(self, sender: Sender, epoch_id: int, index: int) -> ContestView:
        """Contests a charge: stakes CONTEST_BOND. Needs no log. Raises RowUnknown, Reverted."""
        history = self._history()
        rows = ChargedRows(self._chain, history, epoch_id)
        call = self._functions.contest(rows.proof(index), rows.outcomes)
        self._approve_bond(sender)
        sender.call(call)
        return self.view(epoch_id, index)

    def answer(self, sender: Sender, epoch_id: int, index: int, log: LogSource) -> ContestView:
        """Shows what a contested charge was for; the answerer gets the contester's bond. Raises Reverted, RecordError,
        and NotContestable if nobody contested it.
        """
        history = self._history()
        contest = history.contests.get((epoch_id, index))
        if contest is None:
            raise NotContestable(f"row {index} of epoch {epoch_id} is not contested", way_out="no answer is needed")
        charge = charge_of(self._read(history, epoch_id, log), index)
        sender.call(answer_call(self._chain, charge, contest.contester, log.blob))
        return self.view(epoch_id, index)

    def finish(self, sender: Sender, epoch_id: int, index: int) -> ContestView:
        """Ends a contest that nobody answered: refunds the charge in time, otherwise returns the bond alone.

        Raises NotContestable if the contest cannot be ended.
        """
        status = contest_status(self._chain, epoch_id, index)
        if status is ContestStatus.UNANSWERED:
            rows = ChargedRows(self._chain, self._history(), epoch_id)
            sender.call(self._functions.resolve(rows.proof(index), rows.outcomes))
        elif status is ContestStatus.OVERDUE:
            sender.call(self._functions.lapse(epoch_id, index))
        else:
            raise NotContestable(f"the contest of row {index} of epoch {epoch_id} is {status.name} and cannot be ended")
        return self.view(epoch_id, index)

    def shown_output(self, view: ContestView) -> bytes:
        """The output from an answer's calldata, checked against its root; empty if a stranger contested a restricted
        order. Raises OutputHidden.
        """
        assert view.answer is not None, "only an answered contest shows an output"
        tx_hash = to_hex(view.answer.tx_hash)
        call = self._chain.w3.eth.get_transaction(tx_hash)
        if call["to"] != self._chain.contests.address:
            raise OutputHidden(tx_hash=tx_hash)
        _, arguments = self._chain.contests.decode_function_input(call["input"])
        output = bytes(arguments["output"])
        if output and not is_named(output, to_hex(view.answer.args["outputRoot"])):
            raise OutputHidden(tx_hash=tx_hash)
        return output

    def charges_of(self, order_id: str, log: LogSource) -> list[Charge]:
        """The rows that charge an order and can still be contested, or were, in order.

        Raises NotContestable if there is none, or LogUnavailable if part of the log is missing and the rest has none.
        """
        history, found, missing = self._history(), list[Charge](), None
        for epoch_id in self._contestable_epochs(history):
            try:
                records = self._read(history, epoch_id, log)
            except LogUnavailable as error:
                missing = missing or error
                continue
            found += [charge_of(records, index) for index in records.rows_of_order(order_id)]
        if not found and missing is not None:
            way_out = "give another copy with --log, or contest the row: `assay contests open EPOCH ROW` needs no log"
            raise LogUnavailable(
                what=missing.what, source=missing.source, why=missing.why, way_out=way_out
            ) from missing
        if not found:
            raise NotContestable(
                f"no row that can still be contested charges order {order_id}: it was not charged, or the time for a "
                "contest is over"
            )
        return found

    def refund_duplicate(self, sender: Sender, charges: list[Charge]) -> ContestView | None:
        """Gets a charge beyond the order's copies refunded, without a bond; None if there is none.

        Raises Reverted, e.g. when the time to contest it is over.
        """
        history, copies = self._history(), charges[0].order.order.terms.copies
        paid = [charge for charge in charges if self._is_paid(history, charge)]
        if len(paid) <= copies:
            return None
        sender.call(duplicate_call(self._chain, history, paid[: copies + 1]))
        refunded = self._history().of("DuplicateRefunded")[-1].args
        return self.view(refunded["epochId"], refunded["index"])

    # ------------------------------------------------------------ reading

    def _history(self) -> History:
        return read_history(self._chain, self._chain.head().number)

    def _view(self, history: History, place: Place) -> ContestView:
        contest = history.contests.get(place)
        refunds = [e for e in history.of("RefundedFromBond") if (e.args["epochId"], e.args["index"]) == place]
        closed = contest.closed if contest is not None else None
        ends = None if contest is None else contest.answer_ends
        return ContestView(
            epoch_id=place[0], index=place[1], status=contest_status(self._chain, *place),
            contester=None if contest is None else contest.contester, answer_ends=ends,
            resolve_ends=None if ends is None else ends + self._chain.deployment.constants.resolve_window_s,
            refund_units=sum(event.args["units"] for event in refunds) if refunds else None,
            answer=closed if closed is not None and closed.name == "Answered" else None,
        )  # fmt: skip

    def _read(self, history: History, epoch_id: int, log: LogSource) -> EpochLog:
        posted = history.epochs.get(epoch_id)
        if posted is None:
            raise NotContestable(
                f"there is no epoch {epoch_id}", way_out=f"the newest is {max(history.epochs, default=0)}"
            )
        return read_epoch(LogBook(self._chain.deployment.domain), posted, published_lines(log, posted))

    def _contestable_epochs(self, history: History) -> list[int]:
        """Epochs with rows that were posted within CONTEST_WINDOW, have leaves settled alone, or were contested."""
        since = self._chain.head().timestamp - self._chain.deployment.constants.contest_window_s
        alone = {event.args["epochId"] for event in history.of("LeafSettled")}
        late = alone | {epoch_id for epoch_id, _ in history.contests}
        posted = history.epochs.items()
        return sorted(id_ for id_, epoch in posted if epoch.count and (epoch.timestamp >= since or id_ in late))

    def _is_paid(self, history: History, charge: Charge) -> bool:
        outcomes = ChargedRows(self._chain, history, charge.epoch_id).outcomes
        try:
            status, _ = self._chain.escrow.functions.leafStatus(charge.proof, outcomes).call()
        except Reverted as refused:
            if refused.error == "JobEscrow_LeafNotFinal":
                return False
            raise
        return bool(status == _PAID)

    # ------------------------------------------------------------ money

    def _approve_bond(self, sender: Sender) -> None:
        constants, token = self._chain.deployment.constants, self._chain.token.functions
        wei = constants.contest_bond_units * constants.unit_wei
        owner, spender = sender.address, to_checksum_address(self._chain.contests.address)
        allowance: Any = token.allowance(owner, spender).call()
        if allowance < wei:
            sender.call(token.approve(spender, wei))
