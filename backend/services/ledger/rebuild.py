"""Rebuilds the ledger from the chain's logs alone and compares it with the stored one (`assay ledger rebuild`)."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, select

from backend.chain.indexer import Indexer
from backend.store.chain_tables import LedgerEntryRow
from backend.store.database import Database
from backend.store.facts import newest_block
from backend.store.home import open_database
from backend.store.ledger import net
from contracts.onchain.chain import Chain


@dataclass(frozen=True)
class Rebuilt:
    """`differences`: an entry's place -> (units stored, units replayed). `entries`: how many were replayed."""

    block_number: int
    entries: int
    differences: dict[str, tuple[int, int]]


def rebuild_ledger(kept: Database, chain: Chain, scratch: Path) -> Rebuilt:
    """Indexes the chain into a fresh database under `scratch`, and compares up to the newest stored block."""
    with kept.read() as session:
        tip = newest_block(session)
    newest = 0 if tip is None else tip.number
    fresh = open_database(scratch)
    indexer = Indexer(fresh, chain, confirmations=0)
    while indexer.step():
        pass
    with kept.read() as ours, fresh.read() as replayed:
        found = differences(ours, replayed, newest)
        entries = replayed.exec(select(LedgerEntryRow.id).where(LedgerEntryRow.block_number <= newest)).all()
    fresh.close()
    return Rebuilt(newest, len(entries), found)


def differences(kept: Session, replayed: Session, until_block: int) -> dict[str, tuple[int, int]]:
    """The differences between two databases' ledgers up to a block, as in `Rebuilt`."""
    query = select(LedgerEntryRow).where(LedgerEntryRow.block_number <= until_block)
    stored, again = net(kept.exec(query)), net(replayed.exec(query))
    return {
        f"block {key[0]} ({key[1]}), log {key[2]}, line {key[3]}, {key[4]}": (stored.get(key, 0), again.get(key, 0))
        for key in sorted(stored.keys() | again.keys())
        if stored.get(key, 0) != again.get(key, 0)
    }
