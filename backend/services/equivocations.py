"""Reports nodes that signed two commitments for one order to the court. Any party may; the backend has both of them."""

import logging

from sqlmodel import Session, select

from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call
from backend.store.database import Database
from backend.store.facts import events
from backend.store.tables import CommitmentRow, EquivocationRow, OrderRow
from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.errors import RequestRefused, Reverted
from contracts.onchain.structs import commitment_tuple, order_tuple
from contracts.protocol.hashing import from_hex
from contracts.protocol.signing import compact

_log = logging.getLogger(__name__)


def report_equivocations(database: Database, chain: Chain, manager: TxManager, now: int) -> None:
    """Asks the court to slash for every order that was answered twice.

    A report that the court refuses, e.g. because somebody was faster, is logged and does not hold up the others.
    """
    with database.read() as session:
        rows = session.exec(select(EquivocationRow).order_by(EquivocationRow.order_id)).all()
        done = {event.args["orderId"] for event in events(session, "Equivocated", [row.order_id for row in rows])}
        calls = {row.order_id: _call(session, chain, row) for row in rows if row.order_id not in done}
    for order_id, function in calls.items():
        key = manager.next_key(f"equivocation:{order_id}")
        if key is None:
            continue
        try:
            ensure_call(manager, key, function, now)
        except (Reverted, RequestRefused) as error:
            _log.warning("%s: %s", key, error)


def _call(session: Session, chain: Chain, row: EquivocationRow) -> ContractCall:
    first = session.exec(select(CommitmentRow).where(CommitmentRow.order_id == row.order_id)).one()
    order = session.get_one(OrderRow, row.order_id)
    one, other = ((commitment_tuple(each.record), from_hex(each.signature)) for each in (first, row))
    return chain.court.functions.equivocation(order_tuple(order.record), *compact(order.signature), *one, *other)
