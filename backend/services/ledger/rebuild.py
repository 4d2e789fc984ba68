"""The ledger once more, from the chain's logs alone: what `assay ledger rebuild` holds against the kept one."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from backend.chain.indexer import Indexer
from backend.store.chain_tables import BlockRow, ChainEventRow, LedgerEntryRow
from backend.store.database import Database
from backend.store.home import open_database
from backend.store.ledger import LineKey, lines, net
from contracts.onchain.chain import Chain
from contracts.protocol.constants import Constants


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
        found = differences(ours, replayed, newest)
        entries = replayed.exec(select(LedgerEntryRow.id).where(LedgerEntryRow.block_number <= newest)).all()
    fresh.close()
    return Rebuilt(newest, len(entries), found)


def rebuild(session: Session, constants: Constants) -> dict[str, tuple[int, int]]:
    """Replays every stored event into a ledger of its own and compares line by line.

    Returns what differs: a line's place -> (units in the ledger, units replayed). Empty when they are identical.
    """
    query = select(ChainEventRow).order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
    replayed = net(line for event in session.exec(query).all() for line in lines(session, event, constants))
    return _differences(net(session.exec(select(LedgerEntryRow))), replayed)


def differences(kept: Session, replayed: Session, until_block: int) -> dict[str, tuple[int, int]]:
    """What differs between two databases' ledgers up to a block, as `rebuild` tells it."""
    query = select(LedgerEntryRow).where(LedgerEntryRow.block_number <= until_block)
    return _differences(net(kept.exec(query)), net(replayed.exec(query)))


def _differences(kept: dict[LineKey, int], replayed: dict[LineKey, int]) -> dict[str, tuple[int, int]]:
    return {
        f"block {key[0]} ({key[1]}), log {key[2]}, line {key[3]}, {key[4]}": (kept.get(key, 0), replayed.get(key, 0))
        for key in sorted(kept.keys() | replayed.keys())
        if kept.get(key, 0) != replayed.get(key, 0)
    }
