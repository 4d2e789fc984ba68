"""The history that a process keeps: read once, taken back with the blocks that carried it."""

from sqlalchemy import delete
from sqlmodel import col

from backend.store.chain_tables import BlockRow, ChainEventRow
from backend.store.event_rows import load_history
from backend.store.record import KeptHistory
from contracts.record.history import History
from tests.unit.backend.world import World


def read(kept: KeptHistory, world: World) -> tuple[History, list[int]]:
    """What is kept, once it was found to be the whole, and the stakes of account 1 in it."""
    with world.database.read() as session, kept.reading(session) as history:
        assert history == load_history(session), "the tables folded from the start"
        return history, [event.args["stakeUnits"] for event in history.of("Staked")]


def test_onlyWhatIsNew_isRead(world: World) -> None:
    """Protects a backend with a million events: a verdict costs what came since the last one, not all there is."""
    kept = KeptHistory()
    world.event("Staked", id=1, stakeUnits=5)
    first, _ = read(kept, world)
    before = list(first.events)
    world.event("Staked", id=1, stakeUnits=7)
    again, stakes = read(kept, world)
    assert stakes == [5, 7]
    assert again is first
    assert all(one is other for one, other in zip(before, again.events, strict=False)), "not read again"


def test_aReorg_takesItBack(world: World) -> None:
    """Protects the sample: after a reorg no event of a block that is gone counts."""
    kept = KeptHistory()
    world.event("Staked", id=1, stakeUnits=5)
    world.event("Staked", id=1, stakeUnits=7)
    read(kept, world)
    with world.database.begin() as session:
        for table in (ChainEventRow, BlockRow):
            number = table.number if table is BlockRow else table.block_number
            session.execute(delete(table).where(col(number) > 1))
    world.event("Unbonding", id=1, stakeUnits=1)
    _, stakes = read(kept, world)
    assert stakes == [5]
