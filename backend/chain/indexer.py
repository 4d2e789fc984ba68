"""Copies confirmed blocks' events into the database, and takes them back when the chain changes its mind.

Reads up to `confirmations` blocks behind the head, in order, each range in one database transaction together with its
ledger entries. A block whose parent is not the one that was read means a reorg: everything above the newest block that
both sides know is reversed and forgotten in one transaction, then read again (as Safe's transaction service does).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete
from sqlmodel import Session, col, select

from backend.chain.errors import NoCommonAncestor
from backend.store import ledger
from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow, TxReceiptRow
from backend.store.database import Database
from backend.store.event_rows import to_row
from contracts.onchain.chain import Chain
from contracts.onchain.errors import NotKnown
from contracts.onchain.events import Block, Event
from contracts.protocol.hashing import from_hex, to_hex
from contracts.record.errors import ChainMoved

_log = logging.getLogger(__name__)

RANGE_BLOCKS = 500
"""Blocks read in one go while catching up."""
RECENT_BLOCKS = 128
"""This far behind the newest block every block is stored, so that a reorg is followed to its exact start."""


@dataclass(frozen=True)
class _Settled:
    """What an EpochSettled needs beyond its log."""

    packed: bytes
    gas_used: int


class Indexer:
    """One deployment's events into one database. `step` until it returns False: then all that is confirmed is read."""

    def __init__(self, database: Database, chain: Chain, *, confirmations: int) -> None:
        self._database, self._chain, self._confirmations = database, chain, confirmations

    def step(self) -> bool:
        """Reads one range, or rewinds. Returns whether there may be more. Raises ChainMoved when the range changed
        under the reading; nothing of it is stored then.
        """
        tip, head = self._tip(), self._chain.head().number
        if tip is not None and head < tip.number:
            _log.warning("the endpoint is at block %d, behind block %d that was read; waiting", head, tip.number)
            return False
        if tip is not None and not self._is_canonical(tip):
            self._rewind(tip.number)
            return True
        first = self._chain.deployment.first_block if tip is None else tip.number + 1
        target = head - self._confirmations
        if target < first:
            return False
        last = min(target, first + RANGE_BLOCKS - 1)
        self._read(tip, first, last, target)
        return last < target

    def _tip(self) -> BlockRow | None:
        with self._database.read() as session:
            return session.exec(select(BlockRow).order_by(col(BlockRow.number).desc())).first()

    def _is_canonical(self, row: BlockRow) -> bool:
        try:
            return to_hex(self._chain.block(row.number).hash) == row.hash
        except NotKnown:
            return False

    def _read(self, tip: BlockRow | None, first: int, last: int, target: int) -> None:
        events = self._chain.events(first, last)
        numbers = {first, last, *range(max(first, target - RECENT_BLOCKS), last + 1), *(e.block_number for e in events)}
        blocks = {number: self._chain.block(number) for number in sorted(numbers)}
        settled = {e.tx_hash: self._settlement(e) for e in events if e.name == "EpochSettled"}
        _check_linked(tip, first, blocks, events)
        if self._chain.block(last).hash != blocks[last].hash:
            raise ChainMoved(block_number=last)
        rows = [to_row(event) for event in events]
        with self._database.begin() as session:
            session.add_all(_block_row(block) for block in blocks.values())
            session.add_all(rows)
            session.flush()
            for row in rows:
                if row.name == "EpochSettled":
                    session.add(_settlement_row(row, settled[from_hex(row.tx_hash)]))
            session.flush()
            ledger.post(session, rows, self._chain.deployment.constants)
            _prune(session, last)
        for row in rows:
            _log.info("block %d: %s.%s %s", row.block_number, row.contract, row.name, _short(row))

    def _settlement(self, event: Event) -> _Settled:
        receipt = self._chain.w3.eth.get_transaction_receipt(event.tx_hash)
        return _Settled(self._chain.packed_epoch(event.tx_hash), receipt["gasUsed"])

    def _rewind(self, from_block: int) -> None:
        """Back to the newest stored block that is still on the chain."""
        with self._database.read() as session:
            rows = session.exec(select(BlockRow).order_by(col(BlockRow.number).desc())).all()
        ancestor = next((row.number for row in rows if self._is_canonical(row)), None)
        if ancestor is None:
            raise NoCommonAncestor(lowest_block=rows[-1].number)
        _log.warning("reorg: back from block %d to block %d", from_block, ancestor)
        with self._database.begin() as session:
            ledger.reverse(session, ancestor)
            for table in (SettlementRow, ChainEventRow, TxReceiptRow):
                session.execute(delete(table).where(col(table.block_number) > ancestor))
            session.execute(delete(BlockRow).where(col(BlockRow.number) > ancestor))


def _check_linked(tip: BlockRow | None, first: int, blocks: dict[int, Block], events: Sequence[Event]) -> None:
    """The range continues what was read, and logs and headers tell of the same blocks."""
    if tip is not None and to_hex(blocks[first].parent_hash) != tip.hash:
        raise ChainMoved(block_number=first)
    for number, block in blocks.items():
        parent = blocks.get(number - 1)
        if parent is not None and block.parent_hash != parent.hash:
            raise ChainMoved(block_number=number)
    for event in events:
        if blocks[event.block_number].hash != event.block_hash:
            raise ChainMoved(block_number=event.block_number)


def _block_row(block: Block) -> BlockRow:
    return BlockRow(
        number=block.number, hash=to_hex(block.hash), parent_hash=to_hex(block.parent_hash), timestamp=block.timestamp
    )


def _settlement_row(row: ChainEventRow, settled: _Settled) -> SettlementRow:
    return SettlementRow(
        epoch_id=row.args["id"],
        block_number=row.block_number,
        tx_hash=row.tx_hash,
        packed=settled.packed,
        void_bits=from_hex(row.args["voidBits"]),
        skipped_bits=from_hex(row.args["skippedBits"]),
        gas_used=settled.gas_used,
    )


def _prune(session: Session, last: int) -> None:
    """Forgets headers without events that no reorg reaches any more."""
    old = (col(BlockRow.number) < last - 2 * RECENT_BLOCKS) & (col(BlockRow.number) > last - 4 * RECENT_BLOCKS)
    with_events = select(ChainEventRow.block_number)
    session.execute(delete(BlockRow).where(old, col(BlockRow.number).not_in(with_events)))


def _short(row: ChainEventRow) -> str:
    return " ".join(f"{name}={str(value)[:20]}" for name, value in row.args.items())
