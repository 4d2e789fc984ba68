"""The ledger held against a replay of the events that are stored beside it."""

from sqlmodel import Session, col, select

from backend.store.chain_tables import ChainEventRow, LedgerEntryRow
from backend.store.ledger import lines, net
from contracts.protocol.constants import Constants


def assert_replayed(session: Session, constants: Constants) -> None:
    """Every stored event, posted anew, gives the ledger as it is after reversals."""
    query = select(ChainEventRow).order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
    replayed = net(line for event in session.exec(query).all() for line in lines(session, event, constants))
    kept = {key: amount for key, amount in net(session.exec(select(LedgerEntryRow))).items() if amount}
    assert kept == {key: amount for key, amount in replayed.items() if amount}
