"""Contests on the real contracts: the worker answers by itself, others answer from the log, nobody answers."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from sqlmodel import select
from typer.testing import CliRunner

from backend.client.cli import jobs_app
from backend.client.cli_contests import contests_app
from backend.client.contests import Contests
from backend.domain import ledger
from backend.store import facts
from backend.store.home import open_database
from backend.store.tables import CommitmentRow, LeafRow
from backend.worker import Worker
from contracts.onchain.chain import Chain, connect
from contracts.onchain.sender import Sender
from contracts.protocol.packed import unpack
from contracts.protocol.records import VISIBILITY_RESTRICTED, Commitment
from contracts.record.charges import ContestStatus
from tests.integration.backend.worker.bench import KEYS, Bench
from tests.world.fakes import FakeBeacon

PASSWORD = "a password of tests"


def worker_of(bench: Bench, home: Path) -> Worker:
    """A worker with short epochs, on a folder of its own."""
    beacon = FakeBeacon([bench.beacon.value(epoch_id) for epoch_id in range(1, 60)])
    settings = replace(bench.settings(epoch_s=2), home=home)
    return Worker(open_database(home), Chain(connect(bench.url), bench.deployment), beacon, settings)


def settle(bench: Bench) -> Worker:
    """Epoch 1 through to its settlement."""
    worker = worker_of(bench, bench.home)
    bench.settle(worker)
    return worker


def place_of(bench: Bench, row: CommitmentRow) -> tuple[int, int]:
    with bench.database.read() as session:
        leaf = session.exec(select(LeafRow).where(LeafRow.digest == row.digest)).one()
    return leaf.epoch_id, leaf.index


def output_of(row: CommitmentRow) -> str:
    return Commitment.model_validate_json(row.commitment_json).output_root


def contester(bench: Bench, who: str) -> Sender:
    """A key with tokens enough for a bond, and a folder of its own for the commands."""
    wei = bench.constants.contest_bond_units * bench.constants.unit_wei
    bench.call("deployer", bench.chain.token.functions.transfer(bench.address(who), wei))
    key = Account.encrypt(KEYS[who].private_key(), PASSWORD, iterations=2)
    (bench.home / who).mkdir()
    (bench.home / who / "requester.json").write_text(json.dumps(key))
    bench.deployment.save(bench.home / "deployment.json")
    return Sender(bench.w3, KEYS[who])


def run(bench: Bench, app: object, who: str, *arguments: str) -> str:
    """A command in somebody's folder. Returns what it printed."""
    environment = {
        "ASSAY_HOME": str(bench.home / who), "ASSAY_RPC": bench.url, "ASSAY_PASSWORD": PASSWORD, "COLUMNS": "200",
        "ASSAY_DEPLOYMENT": str(bench.home / "deployment.json"), "ASSAY_LOG_URL": str(bench.home / "log"),
    }  # fmt: skip
    result = CliRunner(env=environment).invoke(app, list(arguments))  # type: ignore[arg-type]  # a typer app
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def balance_units(bench: Bench, who: str) -> int:
    return bench.chain.balance_wei(KEYS[who].address) // bench.constants.unit_wei


def test_the_worker_answers_and_the_output_is_on_chain(bench: Bench) -> None:
    """A withheld output is delivered by the answer: the client reads it from calldata and checks its hash. Of a
    restricted order a stranger gets to see nothing, and pays for its curiosity. Covers: A54, A31
    """
    job, secret = bench.deliver("alice"), bench.deliver("bob", visibility=VISIBILITY_RESTRICTED)
    worker, contests = settle(bench), Contests(bench.chain)
    alice = contester(bench, "alice")
    contester(bench, "bob")
    told = run(bench, jobs_app, "alice", "contest", job.order_id)
    assert "is open" in told
    assert "run this again" in told
    bench.call("deployer", bench.chain.token.functions.transfer(alice.address, 10**9 * bench.constants.unit_wei))
    contests.open(alice, *place_of(bench, secret))
    bench.drive(worker, 4)
    answered = contests.view(*place_of(bench, job))
    assert answered.status is ContestStatus.ANSWERED
    assert contests.shown_output(answered) == bench.blobs.get(output_of(job))
    (answer,) = unpack(contests.shown_output(answered))
    told = run(bench, jobs_app, "alice", "contest", job.order_id)
    ids = " ".join(map(str, answer))
    assert f"one line per text, as token ids (or as numbers where no text is generated):\n{ids}" in told
    assert f"`assay jobs show {job.order_id}` prints the same as text" in told
    hidden = contests.view(*place_of(bench, secret))
    assert hidden.status is ContestStatus.ANSWERED
    assert contests.shown_output(hidden) == b""
    assert balance_units(bench, "settler") == 2 * bench.constants.contest_bond_units
    accounts = bench.assert_books_are_right()
    assert ledger.owed_by("Contests", accounts) == 0
    assert accounts["bond"] == 10**7
    bench.drive(worker, 3)
    assert len(bench.events("Answered")) == 2


def test_answers_need_the_published_log_alone(bench: Bench, tmp_path: Path) -> None:
    """The settler lost database and blobs: it answers from the log's folder; anyone else with a copy does too, and gets
    the contester's bond for it. Covers: A54
    """
    jobs = [bench.deliver("alice"), bench.deliver("alice", units=7)]
    settle(bench)
    alice, contests = contester(bench, "alice"), Contests(bench.chain)
    contester(bench, "bob")
    wei = bench.constants.contest_bond_units * bench.constants.unit_wei
    bench.call("deployer", bench.chain.token.functions.transfer(alice.address, wei))
    first, second = (place_of(bench, job) for job in jobs)
    contests.open(alice, *first)
    assert "1" in run(bench, contests_app, "bob", "list")
    told = run(bench, contests_app, "bob", "answer", str(first[0]), str(first[1]))
    assert "is answered" in told
    assert balance_units(bench, "bob") == 2 * bench.constants.contest_bond_units
    contests.open(alice, *second)
    fresh = tmp_path / "fresh"
    shutil.copytree(bench.home / "log", fresh / "log")
    bench.drive(worker_of(bench, fresh), 6)
    assert contests.view(*second).status is ContestStatus.ANSWERED


def test_a_lapse_bars_nobody_and_the_worker_answers_the_next_contest(bench: Bench) -> None:
    """A stranger contests first and lets it lapse: the requester contests all the same, and gets an answer, whatever
    became of the first. Covers: A63
    """
    job = bench.deliver("alice")
    worker, contests = settle(bench), Contests(bench.chain)
    stranger = contester(bench, "bob")
    contester(bench, "alice")
    place = place_of(bench, job)
    contests.open(stranger, *place)
    bench.wait(bench.constants.answer_window_s + bench.constants.resolve_window_s)
    assert contests.finish(stranger, *place).status is ContestStatus.LAPSED
    bench.drive(worker, 3)
    assert len(bench.events("ContestLapsed")) == 1
    assert "is open" in run(bench, jobs_app, "alice", "contest", job.order_id)
    bench.drive(worker, 4)
    assert contests.view(*place).status is ContestStatus.ANSWERED
    assert balance_units(bench, "settler") == balance_units(bench, "bob") == bench.constants.contest_bond_units
    assert ledger.owed_by("Contests", bench.assert_books_are_right()) == 0


def test_nobody_answers_and_the_lane_gets_its_money_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An output that is nowhere any more cannot be shown: the charge comes back out of the settler's bond, whole, and
    the ledger, the contracts and the log agree on it. Covers: A54, A27
    """
    job, other = bench.deliver("alice"), bench.deliver("bob")
    worker, contests = settle(bench), Contests(bench.chain)
    contester(bench, "alice")
    bob = contester(bench, "bob")
    for folder in ("blobs", "log/blobs"):
        (bench.home / folder / output_of(job)).unlink()
    run(bench, jobs_app, "alice", "contest", job.order_id)
    with caplog.at_level(logging.ERROR):
        bench.drive(worker, 4)
    assert f"row {place_of(bench, job)[1]} of epoch 1" in caplog.text
    assert output_of(job) in caplog.text
    contests.open(bob, *place_of(bench, other))
    bench.wait(bench.constants.answer_window_s)
    told = run(bench, jobs_app, "alice", "contest", job.order_id)
    assert "is refunded: 0.00000015 ADEV" in told
    bench.wait(bench.constants.resolve_window_s)
    assert "is lapsed" in run(bench, jobs_app, "bob", "contest", other.order_id)
    bench.drive(worker, 3)
    accounts = bench.assert_books_are_right()
    alice = KEYS["alice"].address
    assert accounts[ledger.lane_account(alice, alice)] == 10**6
    assert accounts["bond"] == bench.chain.escrow.functions.settlerBond().call()[0] == 10**7 - 150
    assert ledger.owed_by("Contests", accounts) == 0
    with bench.database.read() as session:
        refunded = {found.order.order_id: found.refunded for found in facts.jobs(session)}
    assert refunded == {job.order_id: 150, other.order_id: 0}
    assert balance_units(bench, "alice") == balance_units(bench, "bob") == bench.constants.contest_bond_units
