"""Executes cases whose ruling is known and settles their votes, so that nobody has to remember them. Any party may."""

import logging

from sqlmodel import Session

from backend.chain.escrow_reads import ruling
from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call, open_key
from backend.store import facts
from backend.store.chain_tables import ChainEventRow, SettlementRow, TxIntentRow
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.onchain.structs import named_leaf
from contracts.protocol.hashing import from_hex
from contracts.protocol.rulings import Ruling

_log = logging.getLogger(__name__)


def execute_cases(database: Database, chain: Chain, manager: TxManager, now: int) -> list[str]:
    """Asks for the execution of every case with a ruling whose leaf is final; returns their ids, 0x hex.

    Of a case that somebody else executed without its votes, the votes are settled. A case that the court refuses is
    logged and keeps no other case waiting.
    """
    head = chain.head().timestamp
    with database.read() as session:
        votes = _unsettled(session)
        left = _executed(session) & votes.keys()
        ready = [event for event in _open_cases(session) if _is_ready(session, chain, manager, event, head)]
        calls = {e.args["caseId"]: _execution(session, chain, e, votes.get(e.args["caseId"], [])) for e in ready}
    settle = chain.court.functions.settleVotes
    _ask(
        database,
        manager,
        "votes",
        {case_id: settle(from_hex(case_id), votes[case_id]) for case_id in sorted(left)},
        now,
    )
    return _ask(database, manager, "case", calls, now)


def _ask(database: Database, manager: TxManager, kind: str, calls: dict[str, ContractCall], now: int) -> list[str]:
    asked = []
    for case_id, function in calls.items():
        key = open_key(manager, f"{kind}:{case_id}")
        with database.read() as session:
            if session.get(TxIntentRow, key) is not None:
                continue
        try:
            ensure_call(manager, key, function, now)
            asked.append(case_id)
        except (Reverted, RequestRefused) as error:
            _log.warning("%s %s: %s", kind, case_id, error)
    return asked


def _executed(session: Session) -> set[str]:
    return {event.args["caseId"] for event in facts.events(session, "CaseExecuted")}


def _open_cases(session: Session) -> list[ChainEventRow]:
    done = _executed(session)
    return [event for event in facts.events(session, "CaseOpened") if event.args["caseId"] not in done]


def _unsettled(session: Session) -> dict[str, list[int]]:
    """Case -> verifiers whose votes are not settled."""
    settled = {(e.args["caseId"], e.args["verifierId"]) for e in facts.events(session, "VoteSettled")}
    waiting: dict[str, list[int]] = {}
    for event in facts.events(session, "VerdictCommitted"):
        vote = event.args["caseId"], event.args["verifierId"]
        if vote not in settled:
            waiting.setdefault(vote[0], []).append(vote[1])
    return waiting


def _is_ready(session: Session, chain: Chain, manager: TxManager, event: ChainEventRow, head: int) -> bool:
    epoch_id, case_id = event.args["epochId"], event.args["caseId"]
    if session.get(TxIntentRow, open_key(manager, f"case:{case_id}")) is not None:
        return False
    posted = facts.posts(session, [epoch_id])[epoch_id]
    stranded = head > posted.timestamp + chain.deployment.constants.settle_wait_s
    is_final = stranded or session.get(SettlementRow, epoch_id) is not None
    return is_final and ruling(chain, from_hex(case_id)) is not Ruling.OPEN


def _execution(session: Session, chain: Chain, opened: ChainEventRow, voters: list[int]) -> ContractCall:
    settlement = session.get(SettlementRow, opened.args["epochId"])
    outcomes = (settlement.void_bits, settlement.skipped_bits) if settlement else (b"", b"")
    return chain.court.functions.execute(named_leaf(opened.args), outcomes, voters)
