"""The worker killed: at every single write, and as a real process by SIGKILL. Nothing is lost, nothing is doubled."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from eth_account import Account
from sqlmodel import Session, col, select

from backend.store.chain_tables import TxAttemptRow, TxIntentRow
from backend.store.database import Database
from backend.store.tables import LeafRow
from backend.worker import TICK_S
from contracts.onchain.chain import Chain, connect
from deploy.localnet.processes import free_port
from tests.integration.backend.worker.bench import KEYS, Bench
from tests.survival.nursery import Child, Nursery
from tests.world.soak import short_or_long
from tests.world.waiting import eventually
from verifier.beacon.service import create_app

_STARTED, _STOPPED = "worker started", "worker stopped"


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Whence workers come as processes of their own, without the seconds of importing."""
    made = Nursery(tmp_path_factory.mktemp("nursery"))
    yield made
    made.close()


class Killed(BaseException):
    """Stands for the end of the process: nothing in the product catches it."""


@pytest.mark.parametrize("after_commit", [False, True])
def test_killed_at_every_write(bench: Bench, monkeypatch: pytest.MonkeyPatch, after_commit: bool) -> None:
    """Processes die at their first to fourth write, before or after it is durable, until all is settled: one post an
    epoch, one settlement, one mined transaction a key. Covers: A16, A45
    """
    jobs = [bench.deliver("alice"), bench.deliver("bob")]
    deaths = _die_until(bench, monkeypatch, after_commit, lambda: {1, 2} <= bench.posted())
    bench.wait(bench.constants.check_wait_s)
    deaths += _die_until(bench, monkeypatch, after_commit, lambda: bench.settlement(1) is not None)
    assert deaths >= 8
    _assert_once(bench, paid_units=2 * 150)
    with bench.database.read() as session:
        assert {job.digest for job in jobs} == {row.digest for row in session.exec(select(LeafRow))}


def _die_until(bench: Bench, monkeypatch: pytest.MonkeyPatch, after_commit: bool, done: Callable[[], bool]) -> int:
    begin = Database.begin
    deaths, fuse = 0, [0]

    @contextmanager
    def deadly(database: Database) -> Iterator[Session]:
        fuse[0] -= 1
        with begin(database) as session:
            yield session
            if fuse[0] == 0 and not after_commit:
                raise Killed
        if fuse[0] == 0:
            raise Killed

    for life in range(200):
        if done():
            return deaths
        fuse[0] = 1 + life % 4
        with monkeypatch.context() as patch:
            patch.setattr(Database, "begin", deadly)
            try:
                bench.drive(bench.worker(), 2)
            except Killed:
                deaths += 1
        bench.mine()
        bench.now += 3
    raise AssertionError("not done after 200 lives")


def test_sigkill_between_post_and_settle(bench: Bench, nursery: Nursery) -> None:
    """A real worker process is killed with SIGKILL after the post and started again: one payment. Covers: A16, A45"""
    with _beacon(bench) as url:
        _write_keystores(bench)
        bench.deliver()
        bench.deliver("bob")
        first = _start(nursery, bench, url)
        _mine_until(bench, first, lambda: bench.posted() >= {1, 2})
        first.kill()
        assert bench.settlement(1) is None
        bench.wait(bench.constants.check_wait_s)
        second = _start(nursery, bench, url)
        _mine_until(bench, second, lambda: bench.settlement(1) is not None)
        bench.mine(3)
        time.sleep(3 * TICK_S)  # three ticks in which a second payment would be tried
        _end(second)
    _assert_once(bench, paid_units=2 * 150)


def test_sigkill_at_random_points(bench: Bench, nursery: Nursery) -> None:
    """Processes live for shorter and longer moments, through closing, posting and settling. Covers: A45"""
    with _beacon(bench) as url:
        _write_keystores(bench)
        bench.deliver()
        for life_s in short_or_long((0.3, 1.2, 0.7), (0.1, 0.9, 1.6, 0.4, 1.2, 2.3, 0.6, 1.9)):
            process = _start(nursery, bench, url)
            until = time.monotonic() + life_s
            while time.monotonic() < until:
                bench.mine()
                time.sleep(0.1)
            process.kill()
        last = _start(nursery, bench, url)
        _mine_until(bench, last, lambda: bench.posted() >= {1, 2})
        bench.wait(bench.constants.check_wait_s)
        _mine_until(bench, last, lambda: bench.settlement(1) is not None)
        _end(last)
    _assert_once(bench, paid_units=150)


def _assert_once(bench: Bench, *, paid_units: int) -> None:
    bench.drive(bench.worker(), 4)
    on_chain = bench.chain.events(bench.deployment.first_block, bench.chain.head().number)
    settled = [event for event in on_chain if event.name == "EpochSettled"]
    posted = [event.args["id"] for event in on_chain if event.name == "EpochPosted"]
    assert [event.args["chargedUnits"] for event in settled] == [paid_units]
    assert posted == [1, 2]
    assert bench.chain.escrow.functions.operators(bench.operator_id).call()[0] == paid_units * 9 // 10
    nonce = bench.w3.eth.get_transaction_count(bench.address("settler"))
    with bench.database.read() as session:
        intents = session.exec(select(TxIntentRow).order_by(col(TxIntentRow.nonce))).all()
        assert [row.key for row in intents] == ["post:1", "post:2", "settle:1"]
        assert nonce == len(intents)
        assert len({row.key for row in session.exec(select(TxAttemptRow))}) == 3
    bench.assert_books_are_right()


@contextmanager
def _beacon(bench: Bench) -> Iterator[str]:
    port = free_port()
    app = create_app(Chain(connect(bench.url), bench.deployment), bench.beacon)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def _write_keystores(bench: Bench) -> None:
    for name, key in (("settler", KEYS["settler"]), ("treasury", KEYS["session"])):
        encrypted = Account.encrypt(key.private_key(), "bench", kdf="pbkdf2", iterations=2)
        (bench.home / f"{name}.json").write_text(json.dumps(encrypted))
    bench.deployment.save(bench.home / "deployment.json")


def _start(nursery: Nursery, bench: Bench, beacon_url: str) -> Child:
    """`assay worker`, once its loop runs."""
    arguments = [
        "--home", str(bench.home), "--rpc", bench.url, "--beacon", beacon_url,
        "--deployment", str(bench.home / "deployment.json"), "--epoch-seconds", "1", "--confirmations", "1",
    ]  # fmt: skip
    process = nursery.start("worker", "worker", arguments, {"ASSAY_PASSWORD": "bench"})
    eventually(lambda: process.says(_STARTED) or not process.alive, says=process.log_text)
    return process


def _end(process: Child) -> None:
    """As its operator ends it; it must end well."""
    process.send(signal.SIGTERM)
    process.wait()
    assert process.says(_STOPPED), process.log_text()[-3000:]


def _mine_until(bench: Bench, process: Child, done: Callable[[], bool]) -> None:
    def reached() -> bool:
        assert process.alive, process.log_text()[-3000:]
        bench.mine()
        return done()

    eventually(reached, poll_s=0.1, says=process.log_text)
