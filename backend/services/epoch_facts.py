"""What the services of the epoch ask of the tables: which epochs stand where, and their rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow
from backend.store.tables import EpochRow, LeafRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row


@dataclass(frozen=True)
class Posted:
    """An epoch's confirmed post."""

    epoch_id: int
    root: bytes
    count: int
    beacon: bytes
    block_number: int
    timestamp: int


def posted_epochs(session: Session, since_s: int) -> dict[int, Posted]:
    """The confirmed posts from a time on, by epoch."""
    query = _posts().where(BlockRow.timestamp >= since_s)
    return {posted.epoch_id: posted for posted in map(_posted, session.exec(query))}


def last_posted(session: Session) -> Posted | None:
    """The newest confirmed post. Ids grow with blocks."""
    found = session.exec(_posts().order_by(col(ChainEventRow.block_number).desc()).limit(1)).first()
    return None if found is None else _posted(found)


def _posts() -> Any:
    return (
        select(ChainEventRow, BlockRow.timestamp)
        .join(BlockRow, col(BlockRow.number) == ChainEventRow.block_number)
        .where(ChainEventRow.name == "EpochPosted")
    )


def _posted(found: Any) -> Posted:
    row, timestamp = found
    root, beacon = from_hex(row.args["root"]), from_hex(row.args["beacon"])
    return Posted(row.args["id"], root, row.args["count"], beacon, row.block_number, timestamp)


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
