"""Executes cases that have a ruling and settles their votes. Any party may."""

import logging

from backend.chain.escrow_reads import ruling
from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call
from backend.services.record import PublicRecord
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.protocol.hashing import to_hex
from contracts.protocol.rulings import Ruling
from contracts.record.history import CaseFile, History

_log = logging.getLogger(__name__)


def execute_cases(database: Database, record: PublicRecord, chain: Chain, manager: TxManager, now: int) -> None:
    """Asks for the execution of every case with a ruling whose leaf is final.

    Settles the votes of a case that somebody else executed without them. A call that the court refuses is logged and
    does not hold up the others.
    """
    head = chain.head().timestamp
    with database.read() as session, record.history(session) as history:
        due = [_due_call(history, case, chain, manager, head) for case in history.cases.values()]
    for key, function in filter(None, due):
        try:
            ensure_call(manager, key, function, now)
        except (Reverted, RequestRefused) as error:
            _log.warning("%s: %s", key, error)


def _due_call(
    history: History, case: CaseFile, chain: Chain, manager: TxManager, head: int
) -> tuple[str, ContractCall] | None:
    """The call that a case needs now, and its key."""
    court, case_id = chain.court.functions, to_hex(case.case_id)
    if case.executed is not None:
        key = manager.next_key(f"votes:{case_id}") if case.unsettled else None
        return None if key is None else (key, court.settleVotes(case.case_id, case.unsettled))
    settled = history.settled.get(case.epoch_id)
    is_stranded = head > history.epochs[case.epoch_id].timestamp + chain.deployment.constants.settle_wait_s
    key = manager.next_key(f"case:{case_id}") if settled is not None or is_stranded else None
    if key is None or ruling(chain, case.case_id) is Ruling.OPEN:
        return None
    outcomes = (b"", b"") if settled is None else (settled.void_bits, settled.skipped_bits)
    return key, court.execute(case.leaf, outcomes, case.unsettled)
