"""Reorgs on a real Anvil: the ledger is the contracts' state again, and what the backend sent happens again."""

import pytest
from sqlmodel import select

from backend.chain.errors import NoCommonAncestor
from backend.chain.indexer import Indexer
from backend.domain import ledger
from backend.store.chain_tables import BlockRow
from contracts.protocol.hashing import to_hex
from tests.integration.backend.worker.bench import KEYS, Bench


def test_an_orphaned_deposit_is_reversed(bench: Bench) -> None:
    """A deposit whose block goes leaves the lane as it was; the ledger keeps both entries. Covers: A41"""
    alice = KEYS["alice"].address
    lane = ledger.lane_account(alice, alice)
    worker = bench.worker()
    bench.call("deployer", bench.chain.escrow.functions.deposit(bench.address("alice"), bench.address("alice"), 77))
    bench.mine(2)
    worker.tick(bench.now)
    assert bench.assert_books_are_right()[lane] == 10**6 + 77
    bench.rpc("anvil_reorg", 3, [])
    bench.drive(worker, 3)
    assert bench.assert_books_are_right()[lane] == 10**6


@pytest.mark.parametrize("depth", [1, 2, 7, 33, 64])
def test_posts_and_settlements_survive_reorgs(bench: Bench, depth: int) -> None:
    """A reorg of up to 64 blocks takes posts and the settlement away: they are sent again, paid once, and ledger =
    contract = log. Covers: A16, A41, A42
    """
    bench.deliver("alice")
    bench.deliver("bob")
    bench.mine(64)  # the deployment stays
    worker = bench.worker()
    bench.settle(worker)
    bench.rpc("anvil_reorg", depth, [])
    bench.drive(worker, 3)
    bench.settle(worker)
    accounts = bench.assert_books_are_right()
    assert accounts[f"operator:{bench.operator_id}"] == 270
    on_chain = bench.chain.events(bench.deployment.first_block, bench.chain.head().number)
    assert [event.name for event in on_chain].count("EpochSettled") == 1
    stored = {(event.block_number, event.log_index, event.block_hash) for event in bench.events("EpochPosted")}
    posts = [event for event in on_chain if event.name == "EpochPosted"]
    assert stored == {(event.block_number, event.log_index, to_hex(event.block_hash)) for event in posts}


def test_another_chain_is_refused(bench: Bench) -> None:
    """When no block that was read exists any more, the indexer says so and keeps what it has. Covers: A44"""
    indexer = Indexer(bench.database, bench.chain, confirmations=0)
    while indexer.step():
        pass
    with bench.database.begin() as session:
        for row in session.exec(select(BlockRow)):
            row.hash = "0x" + "ff" * 32
            session.add(row)
    with pytest.raises(NoCommonAncestor):
        indexer.step()
    assert bench.events("Deposited")


def test_a_stale_endpoint_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that is behind what was read is waited for, not believed. Covers: A44"""
    far, near = Indexer(bench.database, bench.chain, confirmations=0), bench.chain
    while far.step():
        pass
    before = len(bench.events("Deposited"))
    head = near.head
    behind = near.block(near.head().number - 3)
    near.head = lambda: behind  # type: ignore[method-assign]  # an endpoint that lags
    assert not far.step()
    near.head = head  # type: ignore[method-assign]
    assert len(bench.events("Deposited")) == before
    assert "is at block" in caplog.text
