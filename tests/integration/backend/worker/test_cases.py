"""Settlement and the court: an epoch waits for its cases, voids what was ruled wrong, and the case is executed."""

from backend.domain import ledger
from backend.store import facts
from contracts.protocol.hashing import to_hex
from tests.integration.backend.worker.bench import KEYS, Bench
from tests.integration.backend.worker.court import Court


def test_a_guilty_row_is_void_and_its_case_executed(court: Court) -> None:
    """An undecided case holds the settlement; a guilty one voids its row alone and is executed; the books hold."""
    bench = court.bench
    wrong, right = bench.deliver("alice"), bench.deliver("bob")
    worker = bench.worker()
    bench.drive_until(worker, lambda: bench.posted() == {1, 2})
    case_id = court.accuse(1, wrong)
    bench.wait(bench.constants.commit_window_s)
    court.reveal(case_id, wrong)
    bench.wait(bench.constants.check_wait_s - bench.constants.commit_window_s)
    undecided = bench.chain.court.functions.ruling(case_id).call() == 0
    bench.drive(worker, 3)
    assert undecided == (bench.settlement(1) is None)
    bench.wait(bench.constants.reveal_window_s + bench.constants.commit_window_s)
    bench.drive(worker, 12)
    settlement = bench.settlement(1)
    assert settlement is not None
    with bench.database.read() as session:
        rows = facts.rows_of(session, 1)
    void = [to_hex(row.digest) for i, row in enumerate(rows) if settlement.void_bits[0] >> i & 1]
    assert void == [wrong.digest]
    assert right.digest not in void
    (executed,) = bench.events("CaseExecuted")
    assert executed.args["caseId"] == to_hex(case_id)
    assert executed.args["ruling"] == 3
    accounts = bench.assert_books_are_right()
    assert accounts[ledger.lane_account(KEYS["alice"].address, KEYS["alice"].address)] == 10**6
    assert ledger.SLASHED not in accounts
    assert accounts[f"stake:{bench.operator_id}"] < 10**6


def test_votes_that_a_stranger_left_out_are_settled(court: Court) -> None:
    """Anyone may execute a case and name no verifier: the worker sees to their money. Covers: A37"""
    bench = court.bench
    job = bench.deliver()
    worker = bench.worker()
    bench.drive_until(worker, lambda: bench.posted() == {1, 2})
    bench.wait(bench.constants.check_wait_s - 4)
    case_id = court.accuse(1, job)
    bench.wait(2 * bench.constants.commit_window_s + bench.constants.reveal_window_s)
    court.execute(case_id, [])
    assert bench.events("VoteSettled") == []
    bench.drive(worker, 8)
    settled = [event.args for event in bench.events("VoteSettled")]
    assert [args["penaltyUnits"] for args in settled] == [bench.constants.case_reward_units] * 2
    assert len({args["verifierId"] for args in settled}) == 2
    bench.assert_books_are_right()


def test_settlement_is_held_while_a_case_is_undecided(court: Court) -> None:
    """The check period is over, but a ruling is due: nothing is settled until it is known."""
    bench = court.bench
    job = bench.deliver()
    worker = bench.worker()
    bench.drive_until(worker, lambda: bench.posted() == {1, 2})
    bench.wait(bench.constants.check_wait_s - 4)
    court.accuse(1, job)
    bench.wait(5)
    bench.drive(worker, 4)
    assert bench.settlement(1) is None
    bench.wait(2 * bench.constants.commit_window_s + bench.constants.reveal_window_s)
    bench.drive(worker, 8)
    assert bench.settlement(1) is not None
    assert [event.args["ruling"] for event in bench.events("CaseExecuted")] == [1]
    bench.assert_books_are_right()


def test_a_stranded_epoch_is_left_to_single_claims(bench: Bench) -> None:
    """The worker was away longer than SETTLE_WAIT: it goes on with the next epoch. Covers: A29"""
    bench.deliver()
    worker = bench.worker()
    bench.drive_until(worker, lambda: bench.posted() == {1, 2})
    bench.wait(bench.constants.settle_wait_s + 1)
    bench.drive(worker, 4)
    assert bench.settlement(1) is None
    bench.deliver("bob")
    bench.settle(worker, 3)
    bench.assert_books_are_right()
