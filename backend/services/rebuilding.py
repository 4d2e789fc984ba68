"""The ledger once more, from the chain's logs alone: what `assay ledger rebuild` holds against the kept one."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import col, select

from backend.chain.indexer import Indexer
from backend.services import bookkeeping
from backend.store.chain_tables import BlockRow, LedgerEntryRow
from backend.store.database import Database
from backend.store.home import open_database
from contracts.onchain.chain import Chain


@dataclass(frozen=True)
class Rebuilt:
    """`differences`: an entry's place -> (units kept, units replayed). `entries`: those replayed up to the block."""

    block_number: int
    entries: int
    differences: dict[str, tuple[int, int]]


def rebuild_ledger(kept: Database, chain: Chain, scratch: Path) -> Rebuilt:
    """Indexes the chain into a fresh database under `scratch`, and compares up to the newest block that is kept."""
    with kept.read() as session:
        newest = session.exec(select(BlockRow.number).order_by(col(BlockRow.number).desc())).first() or 0
    fresh = open_database(scratch)
    indexer = Indexer(fresh, chain, confirmations=0)
    while indexer.step():
        pass
    with kept.read() as ours, fresh.read() as replayed:
        found = bookkeeping.differences(ours, replayed, newest)
        entries = replayed.exec(select(LedgerEntryRow.id).where(LedgerEntryRow.block_number <= newest)).all()
    fresh.close()
    return Rebuilt(newest, len(entries), found)
