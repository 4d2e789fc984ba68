"""What the services of the epoch ask of the tables: which epochs stand where, and their rows."""

from collections.abc import Iterable

from sqlmodel import Session, col, select

from backend.store.chain_tables import BlockRow, SettlementRow
from backend.store.tables import EpochRow, LeafRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row


def last_closed(session: Session) -> EpochRow | None:
    """The newest epoch that the backend closed."""
    return session.exec(select(EpochRow).order_by(col(EpochRow.epoch_id).desc())).first()


def indexed_until(session: Session) -> int:
    """Time of the newest block that was read, or 0: everything confirmed up to then is known."""
    return session.exec(select(BlockRow.timestamp).order_by(col(BlockRow.number).desc())).first() or 0


def settled_epochs(session: Session, epoch_ids: Iterable[int]) -> set[int]:
    """Which of these epochs have a confirmed settlement."""
    return set(session.exec(select(SettlementRow.epoch_id).where(col(SettlementRow.epoch_id).in_(list(epoch_ids)))))


def rows_units(session: Session, epoch_ids: Iterable[int]) -> int:
    """What the rows of these epochs come to."""
    return sum(session.exec(select(LeafRow.amount).where(col(LeafRow.epoch_id).in_(list(epoch_ids)))))


def rows_of(session: Session, epoch_id: int) -> list[Row]:
    """An epoch's rows in order."""
    query = select(LeafRow).where(LeafRow.epoch_id == epoch_id).order_by(col(LeafRow.index))
    return [
        Row(leaf.requester, leaf.signer, leaf.operator_id, leaf.amount, from_hex(leaf.digest))
        for leaf in session.exec(query)
    ]
