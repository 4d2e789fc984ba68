"""Watches for cases against this node's operator, and appeals those on answers that the journal holds.

An appeal costs only gas. After it, only an answer opened by more than half of all active verifier stake can convict
(SPEC section 8), so two lying verifiers can no longer slash a node while the others are silent. An honest node
therefore always appeals. Runs in its own thread, since an answer window may be shorter than a job.
"""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from contracts.onchain.chain import Chain
from contracts.onchain.errors import ChainError, RequestRefused, Reverted
from contracts.onchain.events import Event
from contracts.onchain.sender import Sender
from contracts.onchain.structs import named_leaf
from contracts.protocol.hashing import to_hex
from node_agent.errors import JournalError
from node_agent.session.gas import appeal_wei, balance_wei
from node_agent.session.journal import NodeJournal

log = logging.getLogger(__name__)

_STEP_BACK_BLOCKS = 1000
_REREAD_BLOCKS = 16
"""Read again each time, in case blocks were replaced."""
_LOOKS_A_WINDOW, _LONGEST_PAUSE_S = 10, 30.0

RULINGS = ("open", "dismissed", "node upheld", "node guilty")
"""Order of ISlashingCourt.Ruling."""


@dataclass(frozen=True)
class Accusation:
    """A case against an operator. Times in Unix seconds. `penalty_units`: the most stake that it can take. `leaf`: the
    court's argument."""

    case_id: bytes
    leaf: tuple[Any, ...]
    epoch_id: int
    index: int
    digest: bytes
    penalty_units: int
    commit_ends: int
    reveal_ends: int
    appealed: bool
    executed: bool
    ruling: str

    def in_words(self, now_s: int) -> str:
        where = f"case {to_hex(self.case_id)[:10]} on epoch {self.epoch_id}, leaf {self.index}"
        if self.executed:
            return f"{where}: {self.ruling}, closed"
        appeal = "appealed: only a majority of all verifiers' stake can convict"
        if not self.appealed:
            appeal = "NOT appealed: two verifiers that agree can convict"
        if now_s < self.commit_ends:
            left = f"answers are taken for {self.commit_ends - now_s} s more"
        elif now_s < self.reveal_ends:
            left = f"answers are opened for {self.reveal_ends - now_s} s more"
        else:
            left = f"ruling: {self.ruling}; anyone may execute it"
        return f"{where}: {self.penalty_units} units asked for; {left}; {appeal}"


def read_accusation(chain: Chain, opened: Event) -> Accusation:
    """A case's present state. Raises ChainError."""
    case_id = opened.args["caseId"]
    file, ruling = (chain.court.functions[name](case_id).call() for name in ("cases", "ruling"))
    return Accusation(
        case_id=case_id, epoch_id=opened.args["epochId"], index=opened.args["index"], leaf=named_leaf(opened.args),
        digest=bytes(opened.args["commitmentDigest"]), penalty_units=file.penaltyUnits, commit_ends=file.commitEnds,
        reveal_ends=file.commitEnds + chain.deployment.constants.reveal_window_s, appealed=file.appealed,
        executed=file.executed, ruling=RULINGS[ruling],
    )  # fmt: skip


class CourtWatch:
    """Appeals for one operator. `sender`: the node's hot key, on this thread's connection."""

    def __init__(self, chain: Chain, journal: NodeJournal, sender: Sender, operator_id: int) -> None:
        self._chain, self._journal, self._sender, self._operator_id = chain, journal, sender, operator_id
        self._read_until: int | None = None
        self._open: dict[bytes, Event] = {}
        self._told: set[tuple[bytes, str]] = set()

    def run(self, stop: threading.Event) -> None:
        """Watches until told to stop, also while the chain does not answer."""
        window_s = self._chain.deployment.constants.commit_window_s
        pause_s, failing = min(_LONGEST_PAUSE_S, window_s / _LOOKS_A_WINDOW), ""
        while not stop.is_set():
            try:
                self.step()
                failing = ""
            except (ChainError, JournalError) as error:
                if str(error) != failing:
                    log.error("cannot watch for cases now, trying again: %s", error)
                failing = str(error)
            stop.wait(pause_s)

    def step(self) -> list[bytes]:
        """Reads new cases and appeals the open ones. Returns the cases appealed now. Raises ChainError."""
        self._read()
        done = []
        for case_id, opened in list(self._open.items()):
            case = read_accusation(self._chain, opened)
            if case.appealed or case.executed or self._chain.head().timestamp >= case.commit_ends:
                del self._open[case_id]
            elif self._appeal(case):
                done.append(case_id)
        return done

    def _read(self) -> None:
        head = self._chain.head().number
        first = self._start(head) if self._read_until is None else self._read_until + 1 - _REREAD_BLOCKS
        for event in self._chain.events(max(self._chain.deployment.first_block, first), head):
            if event.name == "CaseOpened" and event.args["operatorId"] == self._operator_id:
                case_id = event.args["caseId"]
                if case_id not in self._open and (case_id, "opened") not in self._told:
                    self._open[case_id] = event
                    self._tell(logging.WARNING, case_id, "opened", "a case was opened against this operator")
        self._read_until = head

    def _start(self, head: int) -> int:
        """A block before which no case can be appealed any more."""
        horizon = self._chain.block(head).timestamp - self._chain.deployment.constants.commit_window_s
        number = head
        while number > self._chain.deployment.first_block and self._chain.block(number).timestamp >= horizon:
            number = max(self._chain.deployment.first_block, number - _STEP_BACK_BLOCKS)
        return number

    def _appeal(self, case: Accusation) -> bool:
        if not self._is_mine(case.digest):
            words = "is on a commitment that this journal does not hold: another node of this operator must answer"
            self._tell(logging.ERROR, case.case_id, "foreign", words)
            return False
        held, needed = balance_wei(self._chain, self._sender.address), appeal_wei(self._chain)
        if held < needed:
            words = f"cannot be appealed: send {needed - held} wei for gas to the hot key {self._sender.signer.address}"
            self._tell(logging.ERROR, case.case_id, "gas", words)
            return False
        try:
            self._sender.call(self._chain.court.functions.appeal(case.leaf))
        except (Reverted, RequestRefused) as error:  # e.g. the owner was faster, or the window closed
            self._tell(logging.WARNING, case.case_id, str(error), f"was not appealed: {error}")
            return False
        self._tell(logging.WARNING, case.case_id, "appealed", "was appealed: only a majority can convict now")
        return True

    def _is_mine(self, digest: bytes) -> bool:
        domain = self._chain.deployment.domain
        return any(domain.commitment_digest(answer.commitment) == digest for answer in self._journal.signed())

    def _tell(self, level: int, case_id: bytes, what: str, words: str) -> None:
        """Logs each matter of a case once."""
        if (case_id, what) not in self._told:
            self._told.add((case_id, what))
            log.log(level, "case %s %s", to_hex(case_id), words)
