"""Copies confirmed blocks' events into the database, and reverts them after a reorg.

Reads up to `confirmations` blocks behind the head, in order, each range in one database transaction together with its
ledger entries. A block whose parent is not the one that was read means a reorg: everything above the newest common
block is reversed and deleted in one transaction, then read again (as Safe's transaction service does).
"""

import logging
from collections.abc import Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select

from backend.chain.errors import NoCommonAncestor
from backend.store import ledger
from backend.store.chain_tables import BlockRow, ChainEventRow, SettlementRow, TxReceiptRow
from backend.store.database import Database
from backend.store.event_rows import to_row
from backend.store.facts import newest_block
from contracts.onchain.chain import Chain
from contracts.onchain.errors import NotKnown
from contracts.onchain.events import Block, Event
from contracts.protocol.hashing import to_hex
from contracts.record.errors import ChainMoved

_log = logging.getLogger(__name__)

RANGE_BLOCKS = 500
"""The most blocks that one step reads."""
RECENT_BLOCKS = 128
"""Every block this far behind the newest is stored, so that a reorg's exact start is found."""


class Indexer:
    """Reads one deployment's events into one database. Once `step` returns False, every confirmed event is read."""

    def __init__(self, database: Database, chain: Chain, *, confirmations: int) -> None:
        self._database, self._chain, self._confirmations = database, chain, confirmations

    def step(self) -> bool:
        """Reads one range, or rewinds. Returns whether there may be more. Raises ChainMoved, and stores nothing, if
        the range changed while it was read.
        """
        tip, head = self._tip(), self._chain.head().number
        if tip is not None and head < tip.number:
            _log.warning("the endpoint is at block %d, behind block %d, which was read; waiting", head, tip.number)
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
            return newest_block(session)

    def _is_canonical(self, row: BlockRow) -> bool:
        try:
            return to_hex(self._chain.block(row.number).hash) == row.hash
        except NotKnown:
            return False

    def _read(self, tip: BlockRow | None, first: int, last: int, target: int) -> None:
        events = self._chain.events(first, last)
        numbers = {first, last, *range(max(first, target - RECENT_BLOCKS), last + 1), *(e.block_number for e in events)}
        blocks = {number: self._chain.block(number) for number in sorted(numbers)}
        settled = [self._settlement_row(event) for event in events if event.name == "EpochSettled"]
        _check_linked(tip, first, blocks, events)
        if self._chain.block(last).hash != blocks[last].hash:
            raise ChainMoved(block_number=last)
        rows = [to_row(event) for event in events]
        with self._database.begin() as session:
            session.add_all(_block_row(block) for block in blocks.values())
            session.add_all([*rows, *settled])
            session.flush()
            ledger.post(session, rows, self._chain.deployment.constants)
            _prune(session, last)
        for row in rows:
            _log.info("block %d: %s.%s %s", row.block_number, row.contract, row.name, _short(row))

    def _settlement_row(self, event: Event) -> SettlementRow:
        """An EpochSettled with its transaction's calldata and gas."""
        return SettlementRow(
            epoch_id=event.args["id"],
            block_number=event.block_number,
            tx_hash=to_hex(event.tx_hash),
            packed=self._chain.packed_epoch(event.tx_hash),
            void_bits=event.args["voidBits"],
            skipped_bits=event.args["skippedBits"],
            gas_used=self._chain.w3.eth.get_transaction_receipt(event.tx_hash)["gasUsed"],
        )

    def _rewind(self, from_block: int) -> None:
        """Goes back to the newest stored block that is still on the chain."""
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
    """Raises ChainMoved unless the range continues what was read, and logs and headers are of the same blocks."""
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


def _prune(session: Session, last: int) -> None:
    """Deletes headers without events that are too old for a reorg."""
    old = (col(BlockRow.number) < last - 2 * RECENT_BLOCKS) & (col(BlockRow.number) > last - 4 * RECENT_BLOCKS)
    with_events = select(ChainEventRow.block_number)
    session.execute(delete(BlockRow).where(old, col(BlockRow.number).not_in(with_events)))


def _short(row: ChainEventRow) -> str:
    return " ".join(f"{name}={str(value)[:20]}" for name, value in row.args.items())
