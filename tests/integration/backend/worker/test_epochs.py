"""Epochs from delivery to settlement on the real contracts, and the books against them."""

from sqlmodel import col, select
from typer.testing import CliRunner

from backend.cli_worker import ledger_app
from backend.domain import ledger
from backend.services.ledger.reconcile import reconcile
from backend.services.record import PublicRecord
from backend.store.chain_tables import LedgerEntryRow
from backend.store.tables import LeafRow, VerdictRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.log import VerdictEntry, log_root, parse_line
from contracts.protocol.packing import unpack
from tests.integration.backend.worker.bench import KEYS, Bench


def test_an_epoch_is_closed_posted_revealed_and_settled(bench: Bench) -> None:
    """The whole way: amounts, fees, ledger = contract totals, unexplained wei 0, log as its root says."""
    jobs = [bench.deliver("alice"), bench.deliver("bob", units=7), bench.deliver("alice", units=90)]
    bench.settle(bench.worker())
    settlement = bench.settlement(1)
    assert settlement is not None
    assert settlement.void_bits == settlement.skipped_bits == b"\0"
    rows = unpack(settlement.packed, 3).rows
    assert sorted(row.digest for row in rows) == sorted(from_hex(job.digest) for job in jobs)
    accounts = bench.assert_books_are_right()
    alice, bob = (KEYS[who].address for who in ("alice", "bob"))
    assert accounts[ledger.lane_account(alice, alice)] == 10**6 - 150 - 1000
    assert accounts[ledger.lane_account(bob, bob)] == 10**6 - 170
    assert accounts["fees"] == 132
    assert accounts[f"operator:{bench.operator_id}"] == 1320 - 132
    balances, credits, fees = bench.chain.escrow.functions.totals().call()
    assert (credits, fees) == (1188, 132)
    assert balances + credits + fees + 10**7 == ledger.owed_by("JobEscrow", accounts)
    lines = (bench.home / "log" / "epochs" / "1.jsonl").read_bytes().splitlines()
    assert log_root(lines) == from_hex(bench.events("EpochPosted")[0].args["logRoot"])


def test_an_idle_network_stops_posting(bench: Bench) -> None:
    """One empty epoch reveals the sample of the last rows; after that nothing is posted."""
    bench.deliver()
    bench.settle(bench.worker())
    bench.drive(bench.worker(), 30)
    assert [event.args["count"] for event in bench.events("EpochPosted")] == [1, 0]


def test_a_check_is_paid_once_from_the_treasurys_lane(bench: Bench) -> None:
    """The first opened verdict on a sampled row becomes a row of the treasury's lane, with a cap it signed. An operator
    without stake is always checked. Covers: A25
    """
    job = bench.deliver()
    bench.settle(bench.worker())
    bench.check(1, job)
    worker = bench.worker()
    bench.settle(worker, 3)
    settlement = bench.settlement(3)
    assert settlement is not None
    (row,) = unpack(settlement.packed, 1).rows
    assert (row.requester, row.signer) == (KEYS["treasury"].address, KEYS["session"].address)
    assert (row.operator_id, row.amount_units) == (bench.verifier_id, 50)
    assert bench.assert_books_are_right()[f"operator:{bench.verifier_id}"] == 45
    bench.drive(worker, 20)
    assert [event.args["count"] for event in bench.events("EpochPosted")] == [1, 0, 1, 0]
    lines = (bench.home / "log" / "epochs" / "3.jsonl").read_bytes().splitlines()
    assert any(isinstance(parse_line(line), VerdictEntry) for line in lines)


def test_a_lane_whose_cap_is_too_low_is_skipped_alone(bench: Bench) -> None:
    """The chain charges nobody above what was signed, and the other lane pays as ever. Covers: A25"""
    bench.deliver("alice", cap=149)
    bench.deliver("bob")
    bench.settle(bench.worker())
    settlement = bench.settlement(1)
    assert settlement is not None
    rows = unpack(settlement.packed, 2).rows
    skipped = {rows[i].requester for i in range(2) if settlement.skipped_bits[0] >> i & 1}
    assert skipped == {KEYS["alice"].address}
    accounts = bench.assert_books_are_right()
    assert accounts[ledger.lane_account(KEYS["alice"].address, KEYS["alice"].address)] == 10**6
    assert accounts[f"operator:{bench.operator_id}"] == 135


def test_rows_beyond_the_bond_wait(bench: Bench) -> None:
    """No epoch charges more than the settler's bond allows; the rest waits for the next. Covers: A27"""
    bond = bench.chain.escrow.functions.settlerBond().call()[0]
    jobs = [bench.deliver() for _ in range(3)]
    with bench.database.begin() as session:
        for job in jobs:
            job.amount = bond // 2
            session.add(job)
    bench.drive(bench.worker(), 20)
    assert bench.events("EpochPosted")[0].args["count"] == 2


def test_a_verdict_on_a_row_outside_the_sample_is_logged_and_not_paid(bench: Bench) -> None:
    """Only what the sample picked is paid: an operator with ample stake is checked less, and whoever verifies more
    does it for nothing.
    """
    bench.call("deployer", bench.chain.stakes.functions.stake(bench.operator_id, 10**9))
    jobs = [bench.deliver() for _ in range(12)]
    bench.settle(bench.worker())
    for job in jobs:
        bench.check(1, job)
    with bench.database.read() as session:
        record = PublicRecord(bench.blobs, bench.constants, bench.chain.block_hash)
        leaves = session.exec(select(LeafRow).where(LeafRow.epoch_id == 1)).all()
        sampled = {leaf.digest for leaf in leaves if (drawn := record.drawn(session, leaf)) and drawn.sampled}
    bench.deliver("bob")
    bench.drive(bench.worker(), 20)
    with bench.database.read() as session:
        query = select(VerdictRow.commitment_digest).join(LeafRow, col(LeafRow.digest) == VerdictRow.digest)
        assert set(session.exec(query)) == sampled
    lines = (bench.home / "log" / "epochs" / "3.jsonl").read_bytes().splitlines()
    assert sum(isinstance(parse_line(line), VerdictEntry) for line in lines) == 12


def test_the_ledger_commands(bench: Bench) -> None:
    """`assay ledger show` and `rebuild` succeed on right books, and fail when an entry has no event behind it."""
    bench.deliver()
    bench.settle(bench.worker())
    bench.deployment.save(bench.home / "deployment.json")
    options = ["--home", str(bench.home), "--deployment", str(bench.home / "deployment.json")]
    shown = CliRunner().invoke(ledger_app, ["show", *options, "--rpc", bench.url])
    assert shown.exit_code == 0, shown.output
    assert "unexplained 0" in shown.output
    assert CliRunner().invoke(ledger_app, ["rebuild", *options, "--rpc", bench.url]).exit_code == 0
    with bench.database.begin() as session:
        session.add(
            LedgerEntryRow(
                block_number=1, block_hash="0x", log_index=0, line=0, reversal=False, account="fees", amount=1,
                reason="theft",
            )
        )  # fmt: skip
    assert CliRunner().invoke(ledger_app, ["show", *options, "--rpc", bench.url]).exit_code == 1
    assert CliRunner().invoke(ledger_app, ["rebuild", *options, "--rpc", bench.url]).exit_code == 1


def test_a_donation_is_shown_apart(bench: Bench) -> None:
    """Tokens sent to the escrow past its functions are nobody's: donated, and nothing is unexplained. Covers: A36"""
    worker = bench.worker()
    bench.call("deployer", bench.chain.token.functions.transfer(bench.chain.escrow.address, 12_345))
    bench.drive(worker, 3)
    _, (escrow, *_) = reconcile(bench.database, bench.chain)
    assert (escrow.donated_wei, escrow.unexplained_wei) == (12_345, 0)
