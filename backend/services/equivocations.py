"""Brings to the court what a node signed twice. Any party may; the backend is the one that has both answers."""

import logging

from sqlmodel import Session, col, select

from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call, open_key
from backend.store.chain_tables import TxIntentRow
from backend.store.database import Database
from backend.store.facts import events
from backend.store.tables import CommitmentRow, EquivocationRow, OrderRow
from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.onchain.structs import commitment_tuple, order_tuple
from contracts.protocol.hashing import from_hex
from contracts.protocol.records import Commitment, Order
from contracts.protocol.signing import compact

_log = logging.getLogger(__name__)


def bring_equivocations(database: Database, chain: Chain, manager: TxManager, now: int) -> list[str]:
    """Asks the court to slash for every order that was answered twice; returns their ids, 0x hex.

    One that the court refuses, e.g. since somebody was faster, is logged and keeps no other waiting.
    """
    with database.read() as session:
        done = {event.args["orderId"] for event in events(session, "Equivocated")}
        rows = [row for row in session.exec(select(EquivocationRow)) if row.order_id not in done]
        found = {f"equivocation:{row.order_id}": _call(session, chain, row) for row in rows}
        known = set(session.exec(select(TxIntentRow.key).where(col(TxIntentRow.key).in_(found))))
    brought = []
    for key in sorted(found.keys() - known):
        try:
            ensure_call(manager, open_key(manager, key), found[key], now)
            brought.append(key.partition(":")[2])
        except (Reverted, RequestRefused) as error:
            _log.warning("%s: %s", key, error)
    return brought


def _call(session: Session, chain: Chain, row: EquivocationRow) -> ContractCall:
    first = session.exec(select(CommitmentRow).where(CommitmentRow.order_id == row.order_id)).one()
    order = session.get_one(OrderRow, row.order_id)
    return chain.court.functions.equivocation(
        order_tuple(Order.model_validate_json(order.order_json)),
        *compact(order.signature),
        commitment_tuple(Commitment.model_validate_json(first.commitment_json)),
        from_hex(first.signature),
        commitment_tuple(Commitment.model_validate_json(row.commitment_json)),
        from_hex(row.signature),
    )
