"""A settler's key is replaced through the timelock while an epoch is open on chain."""

from dataclasses import replace

import pytest

from backend.errors import Misconfigured
from backend.worker import Worker
from contracts.onchain.chain import Chain, connect
from tests.integration.backend.worker.bench import KEYS, Bench
from tests.world.fakes import FakeBeacon


def through_timelock(bench: Bench, new: str) -> None:
    """The governor makes `new` the settler, after its delay."""
    governor, delay = bench.chain.governor.functions, bench.constants.timelock_s
    data = bench.chain.escrow.encode_abi("setSettler", [bench.address(new)])
    call = (bench.chain.escrow.address, 0, data, bytes(32), bytes(32))
    bench.call("deployer", governor.schedule(*call, delay))
    bench.wait(delay + 1)
    bench.call("deployer", governor.execute(*call))


def worker_of(bench: Bench, who: str) -> Worker:
    """A worker that holds this key."""
    beacon = FakeBeacon([bench.beacon.value(epoch_id) for epoch_id in range(1, 60)])
    settings = replace(bench.settings(), settler=KEYS[who])
    return Worker(bench.database, Chain(connect(bench.url), bench.deployment), beacon, settings)


def test_the_new_settler_settles_what_the_old_one_posted(bench: Bench) -> None:
    """A stolen or lost settler key is rotated away: it can do nothing more, and every job it had rooted is paid by the
    next. Covers: A27, A29
    """
    bench.deliver("alice")
    bench.drive(worker_of(bench, "settler"), 14)
    assert bench.posted() == {1}
    through_timelock(bench, "bob")
    with pytest.raises(Misconfigured, match=KEYS["bob"].address):
        worker_of(bench, "settler")
    new = worker_of(bench, "bob")
    bench.settle(new)
    assert bench.assert_books_are_right()[f"operator:{bench.operator_id}"] == 135
