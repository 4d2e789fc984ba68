"""The transaction manager against a node that loses replies, drops, stalls and reorganises. No chain."""

import contextlib
from itertools import pairwise
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from backend.chain.errors import NodeRefused
from backend.chain.tx_manager import TxManager
from backend.chain.tx_state import FEE_CEILING_WEI, Attempt, Fees, Mined, Timeouts, TxStep, TxView, bumped, decide
from backend.store.chain_tables import TxAttemptRow, TxIntentRow, TxReceiptRow
from backend.store.database import Database
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.signing import Signer
from tests.world.database import fresh_database
from tests.world.fake_node import FakeNode
from tests.world.soak import short_or_long

CONFIRMATIONS = 2
TO = "0x" + "11" * 20
SIGNER = Signer(b"\x01" * 32)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return fresh_database(tmp_path / "assay.db")


def manager_of(database: Database, node: FakeNode) -> TxManager:
    return TxManager(database, node, SIGNER, confirmations=CONFIRMATIONS, timeouts=Timeouts(30, 120))


def drive(manager: TxManager, node: FakeNode, start: int, rounds: int = 12, every_s: int = 10) -> int:
    """Steps and mines until the clock has moved `rounds * every_s`; errors of the line are what a worker survives."""
    now = start
    for _ in range(rounds):
        with contextlib.suppress(ChainUnavailable):
            manager.step(now)
        node.mine()
        now += every_s
    return now


def mined(node: FakeNode) -> list[bytes]:
    return [one.data for block in node.blocks for one in block]


def attempts(database: Database) -> list[TxAttemptRow]:
    with database.read() as session:
        return list(session.exec(select(TxAttemptRow)))


def outcome_of(database: Database, key: str) -> TxReceiptRow | None:
    with database.read() as session:
        return session.get(TxReceiptRow, key)


def test_one_intent_a_key(database: Database) -> None:
    """Asking twice for one thing is one transaction, whatever is asked the second time."""
    node = FakeNode()
    manager = manager_of(database, node)
    assert manager.ensure("post:1", TO, b"a", 50_000, now=0)
    assert not manager.ensure("post:1", TO, b"b", 60_000, now=1)
    drive(manager, node, 0)
    assert mined(node) == [b"a"]
    outcome = outcome_of(database, "post:1")
    assert outcome is not None
    assert outcome.error is None


def test_a_new_signer_takes_over_what_the_one_before_left_open(database: Database) -> None:
    """After a rotation the new settler sends what the old one could not, under its own nonce. Covers: A27"""
    node = FakeNode()
    old = manager_of(database, node)
    old.ensure("post:1", TO, b"a", 50_000, now=0)
    drive(old, node, 0)
    old.ensure("post:2", TO, b"b", 50_000, now=1)
    new = TxManager(database, node, Signer(b"\x02" * 32), confirmations=CONFIRMATIONS, timeouts=Timeouts(30, 120))
    assert not new.ensure("post:1", TO, b"a", 50_000, now=2), "what was done is done"
    assert (new.next_key("post:1"), new.next_key("post:2")) == (None, "post:2")
    assert new.ensure("post:2", TO, b"b", 50_000, now=2)
    assert new.next_key("post:2") is None, "it is under way"
    drive(new, node, 2)
    assert mined(node) == [b"a", b"b"]
    with database.read() as session:
        assert session.get_one(TxIntentRow, "post:2").sender == new.address


def test_reply_lost_after_the_node_accepted(database: Database) -> None:
    """The hash is known before the broadcast, so a lost reply costs nothing and doubles nothing. Covers: A43"""
    node = FakeNode(lose_replies=1)
    manager = manager_of(database, node)
    manager.ensure("post:1", TO, b"a", 50_000, now=0)
    with pytest.raises(ChainUnavailable):
        manager.step(0)
    assert len(attempts(database)) == 1
    drive(manager, node, 1)
    assert mined(node) == [b"a"]
    assert len(attempts(database)) == 1
    assert outcome_of(database, "post:1") is not None


def test_dropped_is_sent_again_as_the_same_bytes(database: Database) -> None:
    """A node that forgets a transaction gets the same raw bytes again. Covers: A42, A43"""
    node = FakeNode(drop=2)
    manager = manager_of(database, node)
    manager.ensure("post:1", TO, b"a", 50_000, now=0)
    for now in range(3):
        manager.step(now)
    assert node.sends == 3
    assert len(attempts(database)) == 1
    drive(manager, node, 3)
    assert mined(node) == [b"a"]


def test_stuck_is_bumped_with_the_same_nonce(database: Database) -> None:
    """A fee that is too low is raised by at least 10 % a time, until it is mined: once. Covers: A42"""
    node = FakeNode(least_fee_wei=5 * 10**9)
    manager = manager_of(database, node)
    manager.ensure("settle:1", TO, b"a", 50_000, now=0)
    drive(manager, node, 0, rounds=40)
    rows = sorted(attempts(database), key=lambda row: row.max_fee_wei)
    assert mined(node) == [b"a"]
    assert len(rows) > 2
    assert {row.nonce for row in rows} == {0}
    for low, high in pairwise(rows):
        assert high.max_fee_wei * 10 >= low.max_fee_wei * 11
        assert high.tip_wei * 10 >= low.tip_wei * 11
        assert high.sent_at - low.sent_at >= 30


def test_only_the_first_in_the_queue_is_bumped(database: Database) -> None:
    """A transaction that waits for the one before it needs no higher fee."""
    node = FakeNode(least_fee_wei=5 * 10**9)
    manager = manager_of(database, node)
    manager.ensure("first", TO, b"a", 50_000, now=0)
    manager.ensure("second", TO, b"b", 50_000, now=0)
    for now in (0, 31, 62):
        manager.step(now)
    by_key = [row.key for row in attempts(database)]
    assert by_key.count("first") == 3
    assert by_key.count("second") == 1


def test_restart_between_intent_and_send(database: Database) -> None:
    """A process that dies after the intent was durable, or after the attempt was: its successor sends. Covers: A45"""
    node = FakeNode()
    manager_of(database, node).ensure("post:1", TO, b"a", 50_000, now=0)
    second = manager_of(database, node)
    node.drop = 1  # dies between persisting the attempt and the node taking it
    second.step(1)
    third = manager_of(database, node)
    drive(third, node, 2)
    assert mined(node) == [b"a"]
    assert len(attempts(database)) == 1


def test_nonce_gap_is_filled(database: Database) -> None:
    """The node lost the first of two: it is sent again, so the second can be mined. Covers: A42"""
    node = FakeNode()
    manager = manager_of(database, node)
    manager.ensure("first", TO, b"a", 50_000, now=0)
    manager.ensure("second", TO, b"b", 50_000, now=0)
    node.drop = 1
    manager.step(0)
    node.mine()
    assert mined(node) == []
    drive(manager, node, 1)
    assert mined(node) == [b"a", b"b"]


def test_nonce_used_elsewhere(database: Database, tmp_path: Path) -> None:
    """Somebody sent with the same key: the intent moves to a free nonce and still happens once. Covers: A42"""
    node = FakeNode()
    elsewhere = manager_of(fresh_database(tmp_path / "other.db"), node)
    manager = manager_of(database, node)
    manager.ensure("post:1", TO, b"a", 50_000, now=0)
    elsewhere.ensure("bond", TO, b"x", 50_000, now=0)
    elsewhere.step(0)
    node.mine(CONFIRMATIONS + 1)
    drive(manager, node, 1, rounds=20)
    assert mined(node) == [b"x", b"a"]
    assert outcome_of(database, "post:1") is not None


def test_reverted_is_reported_once_and_blocks_nobody(database: Database) -> None:
    """A refusal by the contract is a typed error with its reason; the queue goes on."""
    node = FakeNode(reverting={b"bad"})
    manager = manager_of(database, node)
    manager.ensure("bad", TO, b"bad", 50_000, now=0)
    manager.ensure("good", TO, b"good", 50_000, now=0)
    found = []
    for now in range(8):
        found += manager.step(now)
        node.mine()
    assert [(error.key, error.reason) for error in found] == [("bad", "the contract refused: Fake_Refused()")]
    assert (manager.next_key("good"), manager.next_key("bad"), manager.next_key("other")) == (None, "bad#1", "other")
    good, bad = outcome_of(database, "good"), outcome_of(database, "bad")
    assert good is not None
    assert good.error is None
    assert bad is not None
    assert bad.error == "the contract refused: Fake_Refused()"


@pytest.mark.parametrize("return_to_pool", [True, False])
def test_reorg_takes_it_out_and_it_is_mined_again(database: Database, return_to_pool: bool) -> None:
    """A mined transaction whose block is orphaned is sent again, whether or not the pool has it. Covers: A41, A42"""
    node = FakeNode()
    manager = manager_of(database, node)
    manager.ensure("post:1", TO, b"a", 50_000, now=0)
    manager.step(0)
    node.mine()
    manager.step(1)
    node.reorg(1, return_to_pool=return_to_pool)
    assert mined(node) == []
    drive(manager, node, 2)
    assert mined(node) == [b"a"]


def test_forgotten_receipt_reopens_the_intent(database: Database) -> None:
    """A reorg deeper than the confirmations deletes the receipt's row: the same bytes are sent again. Covers: A41"""
    node = FakeNode()
    manager = manager_of(database, node)
    manager.ensure("post:1", TO, b"a", 50_000, now=0)
    drive(manager, node, 0, rounds=6)
    node.reorg(6, return_to_pool=False)
    with database.begin() as session:
        session.delete(session.get_one(TxReceiptRow, "post:1"))
    drive(manager, node, 60)
    assert mined(node) == [b"a"]


FAULTS = st.sampled_from(["none", "lose", "drop", "forget", "restart", "reorg", "dear", "cheap"])


@settings(max_examples=short_or_long(10, 300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, min_size=1, max_size=25))
def test_exactly_one_mined_a_key(tmp_path_factory: pytest.TempPathFactory, faults: list[str]) -> None:
    """Any sequence of faults: every key is mined exactly once in the end. Covers: A16, A42, A43, A45"""
    database, node = fresh_database(tmp_path_factory.mktemp("tx") / "assay.db"), FakeNode()
    manager = manager_of(database, node)
    now = 0
    for number, fault in enumerate(faults):
        key = b"job %d" % (number // 3)
        manager.ensure(key.decode(), TO, key, 50_000, now=now)
        _inject(node, fault)
        if fault == "restart":
            manager = manager_of(database, node)
        now = drive(manager, node, now, rounds=1, every_s=35)
    node.least_fee_wei, node.drop, node.lose_replies = 0, 0, 0
    drive(manager, node, now, rounds=20)
    expected = [b"job %d" % number for number in range((len(faults) + 2) // 3)]
    assert sorted(mined(node)) == sorted(expected)
    with database.read() as session:
        assert len(session.exec(select(TxReceiptRow)).all()) == len(session.exec(select(TxIntentRow)).all())


def _inject(node: FakeNode, fault: str) -> None:
    if fault == "lose":
        node.lose_replies += 1
    elif fault == "drop":
        node.drop += 1
    elif fault == "forget":
        node.forget_pool()
    elif fault == "reorg" and len(node.blocks) > CONFIRMATIONS:
        node.reorg(CONFIRMATIONS - 1, return_to_pool=False)
    elif fault in ("dear", "cheap"):
        node.least_fee_wei = 6 * 10**9 if fault == "dear" else 0


def view(**changes: object) -> TxView:
    attempt = Attempt("0x1", b"raw", Fees(10, 1), sent_at=100)
    base: dict[str, object] = {
        "nonce": 5, "attempts": [attempt], "mined": None, "known": True, "mined_nonce": 5, "confirmed_nonce": 5,
        "confirmed_block": 50,
    }  # fmt: skip
    return TxView(**(base | changes))  # type: ignore[arg-type]  # named fields of one dataclass


@pytest.mark.parametrize(
    ("changes", "now", "expected"),
    [
        ({"attempts": []}, 0, TxStep.SIGN),
        ({"known": False}, 100, TxStep.RESEND),
        ({}, 129, TxStep.WAIT),
        ({}, 130, TxStep.BUMP),
        ({"mined_nonce": 4}, 999, TxStep.WAIT),
        ({"mined": Mined("0x1", 51, True, 1), "mined_nonce": 6}, 999, TxStep.WAIT),
        ({"mined": Mined("0x1", 50, True, 1), "mined_nonce": 6}, 100, TxStep.CONFIRM),
        ({"mined_nonce": 6}, 999, TxStep.WAIT),
        ({"mined_nonce": 6, "confirmed_nonce": 6}, 219, TxStep.WAIT),
        ({"mined_nonce": 6, "confirmed_nonce": 6}, 220, TxStep.RENUMBER),
        ({"mined_nonce": 6, "confirmed_nonce": 6, "attempts": []}, 0, TxStep.RENUMBER),
    ],
)
def test_decide(changes: dict[str, object], now: int, expected: TxStep) -> None:
    """The state machine of one intent, edge by edge."""
    assert decide(view(**changes), now, Timeouts(30, 120)) is expected


def test_bump_stops_at_the_ceiling() -> None:
    """A chain that stands still for hours does not drive the fee without bound."""
    fees: Fees | None = Fees(10**9, 10**9)
    while fees is not None:
        last, fees = fees, bumped(fees, Fees(10**9, 10**9))
    assert last.max_fee_wei <= FEE_CEILING_WEI
    assert bumped(Fees(FEE_CEILING_WEI, 1), Fees(3 * FEE_CEILING_WEI, 1)) is not None


def test_fake_refuses_what_a_node_refuses() -> None:
    """The fake is no easier than a node: it takes nothing twice."""
    node = FakeNode()
    raw = signed_transfer()
    node.send(raw)
    with pytest.raises(NodeRefused, match="already known"):
        node.send(raw)
    node.mine()
    with pytest.raises(NodeRefused, match="nonce too low"):
        node.send(raw)


def signed_transfer() -> bytes:
    fields = {
        "type": 2, "chainId": 31337, "nonce": 0, "to": "0x" + "11" * 20, "value": 0, "data": "0x", "gas": 21000,
        "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 10**9,
    }  # fmt: skip
    return bytes(Account.sign_transaction(fields, SIGNER.private_key()).raw_transaction)
