"""Executes cases whose ruling is known, so that nobody has to remember them. Any party may; the backend does too."""

import logging

from eth_utils.address import to_checksum_address
from sqlmodel import Session

from backend.chain.escrow_reads import Ruling, ruling
from backend.chain.tx_manager import TxManager
from backend.services import epoch_facts
from backend.services.calls import ensure_call, open_key
from backend.store import facts
from backend.store.chain_tables import ChainEventRow, SettlementRow, TxIntentRow
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.errors import Reverted
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import merkle_proof

_log = logging.getLogger(__name__)


def execute_cases(database: Database, chain: Chain, manager: TxManager, now: int) -> list[str]:
    """Asks for the execution of every case with a ruling whose leaf is final; returns their ids, 0x hex.

    A case that the court refuses is logged and keeps no other case waiting.
    """
    head = chain.head().timestamp
    with database.read() as session:
        ready = [event for event in _open_cases(session) if _is_ready(session, chain, manager, event, head)]
    asked = []
    for event in ready:
        try:
            _execute(database, chain, manager, event, now)
            asked.append(str(event.args["caseId"]))
        except Reverted as error:
            _log.warning("case %s: %s", event.args["caseId"], error)
    return asked


def _open_cases(session: Session) -> list[ChainEventRow]:
    done = {event.args["caseId"] for event in facts.events(session, "CaseExecuted")}
    return [event for event in facts.events(session, "CaseOpened") if event.args["caseId"] not in done]


def _is_ready(session: Session, chain: Chain, manager: TxManager, event: ChainEventRow, head: int) -> bool:
    epoch_id, case_id = event.args["epochId"], event.args["caseId"]
    if session.get(TxIntentRow, open_key(manager, f"case:{case_id}")) is not None:
        return False
    posted = facts.posts(session, [epoch_id])[epoch_id]
    stranded = head > posted.timestamp + chain.deployment.constants.settle_wait_s
    is_final = stranded or session.get(SettlementRow, epoch_id) is not None
    return is_final and ruling(chain, from_hex(case_id)) is not Ruling.OPEN


def _execute(database: Database, chain: Chain, manager: TxManager, event: ChainEventRow, now: int) -> None:
    epoch_id, index, case_id = event.args["epochId"], event.args["index"], event.args["caseId"]
    with database.read() as session:
        rows = epoch_facts.rows_of(session, epoch_id)
        settlement = session.get(SettlementRow, epoch_id)
    row = rows[index]
    proof = (
        epoch_id, index, to_checksum_address(row.requester), to_checksum_address(row.signer), row.operator_id,
        row.amount_units, row.digest, merkle_proof([one.leaf() for one in rows], index),
    )  # fmt: skip
    outcomes = (settlement.void_bits, settlement.skipped_bits) if settlement else (b"", b"")
    function = chain.court.functions.execute(from_hex(case_id), proof, outcomes)
    ensure_call(manager, open_key(manager, f"case:{case_id}"), function, now)
