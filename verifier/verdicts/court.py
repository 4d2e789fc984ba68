"""Acts in court: opens cases, answers those of others, reveals, executes, settles votes (SPEC section 8).

Its only state is when to retry. What to do next follows from the chain's events and time and from the journal, so it
continues after a restart at any point.
"""

import logging
from collections.abc import Callable
from typing import Any

from contracts.onchain.chain import Chain
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.onchain.sender import Sender
from contracts.onchain.structs import commitment_tuple, leaf_proof, order_tuple
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.rulings import Ruling
from contracts.protocol.typed_data import answer_commit
from contracts.record.history import CaseFile, History
from contracts.record.log_book import LogBook
from verifier.verdicts.journal import VerifierAnswer, VerifierJournal

_log = logging.getLogger(__name__)

_RETRY_S = 3


class Court:
    """The duties of one verifier key."""

    def __init__(self, chain: Chain, sender: Sender, journal: VerifierJournal, clock: Callable[[], float]) -> None:
        self._chain, self._sender, self._journal, self._clock = chain, sender, journal, clock
        self._address = sender.signer.address
        self._constants = chain.deployment.constants
        self._not_before: dict[tuple[str, str], float] = {}

    def act(self, history: History, book: LogBook, account: int, now: int) -> None:
        """Does everything that is due. `now`: the head's timestamp, Unix seconds. `account`: this verifier's."""
        for case in history.cases.values():
            if case.executed is None:
                self._attend(case, history, book, account, now)
            elif account in case.unsettled:
                self._send("settleVotes", (case.case_id, [account]), to_hex(case.case_id))
        for answer in self._journal.disagreements():
            if history.case_on(answer.epoch_id, answer.row_index) is None:
                self._open(answer, history, book, now)

    def wants(self, history: History, account: int, now: int) -> list[CaseFile]:
        """Cases that wait for this verifier's answer, the first to close first."""
        minimum = self._constants.min_verifier_stake_units
        waiting = [
            case
            for case in history.cases.values()
            if now < case.commit_ends
            and not said_by(case, "VerdictCommitted", account)
            and account in history.active_verifiers_at(case.snapshot_block, minimum)
            and self._journal.answer(case.commitment_digest) is None
        ]
        return sorted(waiting, key=lambda case: case.commit_ends)

    def _attend(self, case: CaseFile, history: History, book: LogBook, account: int, now: int) -> None:
        reveal_ends = case.commit_ends + self._constants.reveal_window_s
        answer = self._journal.answer(case.commitment_digest)
        committed = said_by(case, "VerdictCommitted", account)
        if now >= reveal_ends:
            if committed:
                self._execute(case, history, now)
        elif answer is None:
            return
        elif now < case.commit_ends:
            if not committed:
                self._commit(case, answer, history, account)
        elif committed and not said_by(case, "VerdictRevealed", account):
            self._reveal(case, answer, book)

    def _open(self, answer: VerifierAnswer, history: History, book: LogBook, now: int) -> None:
        posted = history.epochs.get(answer.epoch_id)  # a reorg may have taken it back
        if posted is None or now > posted.timestamp + self._constants.case_window_s:
            return
        job = book.job_at(answer.epoch_id, answer.row_index)
        if job is None:
            return
        arguments = (
            leaf_proof(answer.epoch_id, answer.row_index, book.epochs[answer.epoch_id].leaves),
            order_tuple(job.order.order),
            commitment_tuple(job.commitment.commitment),
            from_hex(job.commitment.signature),
            answer_commit(answer.opening, answer.commitment_digest, self._address),
        )
        self._send("openCase", arguments, f"epoch {answer.epoch_id} row {answer.row_index}")

    def _commit(self, case: CaseFile, answer: VerifierAnswer, history: History, account: int) -> None:
        minimum = self._constants.min_verifier_stake_units
        if account not in history.active_verifiers_at(case.snapshot_block, minimum):
            return
        hidden = answer_commit(answer.opening, case.commitment_digest, self._address)
        self._send("commitVerdict", (case.case_id, hidden), to_hex(case.case_id))

    def _reveal(self, case: CaseFile, answer: VerifierAnswer, book: LogBook) -> None:
        job = book.job_at(case.epoch_id, case.index)
        if job is None:
            return
        opening = answer.opening
        arguments = (
            case.leaf,
            commitment_tuple(job.commitment.commitment),
            from_hex(opening.trace_hash),
            from_hex(opening.output_root),
            opening.units,
        )
        self._send("reveal", arguments, to_hex(case.case_id))

    def _execute(self, case: CaseFile, history: History, now: int) -> None:
        """Executes a case once there is a ruling; a guilty one also waits until its leaf is settled or stranded."""
        ruling = Ruling(self._chain.court.functions.ruling(case.case_id).call())
        stranded = now > history.epochs[case.epoch_id].timestamp + self._constants.settle_wait_s
        final = case.epoch_id in history.settled or stranded
        if ruling is Ruling.OPEN or (ruling is Ruling.NODE_GUILTY and not final):
            return
        settled = history.settled.get(case.epoch_id)
        outcomes = (b"", b"") if settled is None else (settled.void_bits, settled.skipped_bits)
        self._send("execute", (case.leaf, outcomes, case.voters), f"{to_hex(case.case_id)} ruling {ruling:d}")

    def _send(self, name: str, arguments: tuple[Any, ...], about: str) -> None:
        """Sends a call. A refusal is expected: another verifier was first, or a window closed."""
        if self._clock() < self._not_before.get((name, about), 0.0):
            return
        try:
            receipt = self._sender.call(getattr(self._chain.court.functions, name)(*arguments))
        except (Reverted, RequestRefused) as error:
            _log.warning("%s on %s refused: %s", name, about, error)
            self._not_before[name, about] = self._clock() + _RETRY_S
        else:
            _log.info("%s on %s in block %d", name, about, receipt["blockNumber"])


def said_by(case: CaseFile, name: str, account: int) -> bool:
    """Whether a verifier's account committed or revealed in a case."""
    return any(event.name == name and event.args["verifierId"] == account for event in case.said)
