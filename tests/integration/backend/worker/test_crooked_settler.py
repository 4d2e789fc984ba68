"""A settler that roots what it likes: every charge that nobody ordered or that is one too many comes back, whole."""

from pathlib import Path

import pytest

from backend.chain.indexer import Indexer
from backend.client.contests import Contests
from backend.client.errors import NotContestable
from backend.domain import ledger
from contracts.onchain.errors import Reverted
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.log import CommitmentEntry, LogEntry, OrderEntry, RowEntry, dump_line, log_root
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packed import pack as pack_words
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack
from contracts.protocol.records import Commitment, Order, Terms
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import terms_hash
from contracts.record.charges import ContestStatus
from contracts.record.errors import LogUnavailable, RowUnknown
from contracts.record.log_source import open_source
from tests.integration.backend.worker.bench import FIXED_PRICE, KEYS, MAX_PRICE, PARAMS, UNIT_PRICE, Bench
from tests.world.prompts import root_of

PRICE = FIXED_PRICE + 5 * UNIT_PRICE
OUTPUT = pack_words([[1, 2, 3, 4, 5]])


def order_of(bench: Bench, who: str, salt: int = 1) -> tuple[Order, str]:
    """One order, of one copy, whose cap covers much more, and its signature."""
    terms = Terms(
        workload_id="0x" + "11" * 32, prompt_root="0x" + "22" * 32, texts_hash="0x" + "33" * 32,
        params=PARAMS,
        fixed_price=FIXED_PRICE, unit_price=UNIT_PRICE, max_price=MAX_PRICE, deadline=bench.now + 60, salt=salt,
    )  # fmt: skip
    order = Order(requester=KEYS[who].address, spend_cap=10 * MAX_PRICE, terms=terms)
    return order, KEYS[who].sign(bench.deployment.domain.order_id(order))


def commitment_of(bench: Bench, order: Order, salt: int) -> Commitment:
    return Commitment(
        order_id=to_hex(bench.deployment.domain.order_id(order)), node=KEYS["node"].address,
        output_root=root_of(OUTPUT), trace_commit=to_hex(keccak(bytes([salt]))), units=5,
    )  # fmt: skip


def settle_by_hand(bench: Bench, entries: list[LogEntry], rows: list[Row], order: Order, signature: str) -> None:
    """Posts the rows as epoch 1 with its log, reveals it and settles it, with the order as the lane's voucher."""
    entries = [*entries, *(row_entry(index, row) for index, row in enumerate(rows))]
    lines = [dump_line(entry) for entry in entries]
    folder = bench.home / "log" / "epochs"
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    escrow = bench.chain.escrow.functions
    root = merkle_root([row.leaf() for row in rows])
    bench.call("settler", escrow.postEpoch(1, root, len(rows), bench.beacon.value(1), log_root(lines)))
    bench.mine(bench.constants.seed_blocks + 1)
    bench.call("settler", escrow.postEpoch(2, ZERO32, 0, bench.beacon.value(2), ZERO32))
    bench.wait(bench.constants.check_wait_s)
    cap = CapProof(order.spend_cap, terms_hash(order.terms), *compact(signature))
    group = LaneGroup(order.requester, order.requester, cap, tuple(rows))
    bench.call("settler", escrow.settleEpoch(1, pack(Epoch((group,), frozenset()))))


def row_entry(index: int, row: Row) -> RowEntry:
    return RowEntry(
        index=index, requester=row.requester, signer=row.signer, operator_id=row.operator_id,
        amount_units=row.amount_units, digest=to_hex(row.digest),
    )  # fmt: skip


def test_what_nobody_ordered_and_what_is_one_too_many_comes_back(bench: Bench) -> None:
    """One order of one copy in two rows, and a row behind which there is no order at all: the duplicate is refunded at
    once without a bond, the invented one after nobody could answer, from the chain alone; the honest one cannot be
    contested twice. Afterwards the lane has paid once. Covers: A16, A27, A54
    """
    order, signature = order_of(bench, "alice")
    first, second = (commitment_of(bench, order, salt) for salt in (1, 2))
    domain, alice = bench.deployment.domain, KEYS["alice"].address
    digests = [domain.commitment_digest(first), domain.commitment_digest(second), keccak(b"invented")]
    rows = [Row(alice, alice, bench.operator_id, PRICE, digest) for digest in digests]
    entries: list[LogEntry] = [OrderEntry(order=order, signer=alice, signature=signature)]
    entries += [CommitmentEntry(commitment=c, signature=signature) for c in (first, second)]
    settle_by_hand(bench, entries, rows, order, signature)
    assert lane_balance(bench) == 10**6 - 3 * PRICE

    contests, sender = Contests(bench.chain), Sender(bench.w3, KEYS["alice"])
    log = open_source(str(bench.home / "log"))
    charges = contests.charges_of(to_hex(domain.order_id(order)), log)
    assert [charge.index for charge in charges] == [0, 1]
    refunded = contests.refund_duplicate(sender, charges)
    assert refunded is not None
    assert (refunded.index, refunded.refund_units) == (1, PRICE)
    assert contests.refund_duplicate(sender, charges) is None

    wei = bench.constants.contest_bond_units * bench.constants.unit_wei
    bench.call("deployer", bench.chain.token.functions.transfer(sender.address, wei))
    assert contests.open(sender, 1, 2).status is ContestStatus.OPEN
    bench.wait(bench.constants.answer_window_s)
    assert contests.finish(sender, 1, 2).refund_units == PRICE
    assert lane_balance(bench) == 10**6 - PRICE
    with pytest.raises(NotContestable, match="REFUNDED"):
        contests.finish(sender, 1, 2)
    assert [view.status for view in contests.all()] == [ContestStatus.REFUNDED]

    indexer = Indexer(bench.database, bench.chain, confirmations=0)
    while indexer.step():
        pass
    accounts = bench.assert_books_are_right()
    assert accounts[ledger.lane_account(alice, alice)] == 10**6 - PRICE
    assert accounts["bond"] == 10**7 - 2 * PRICE
    assert_refusals(bench, contests, sender, to_hex(domain.order_id(order)))


def assert_refusals(bench: Bench, contests: Contests, sender: Sender, order_id: str) -> None:
    """What cannot be contested is named, with the way out."""
    log = open_source(str(bench.home / "log"))
    with pytest.raises(NotContestable, match="0x" + "77" * 32):
        contests.charges_of("0x" + "77" * 32, log)
    with pytest.raises(LogUnavailable, match="assay contests open EPOCH ROW"):
        contests.charges_of(order_id, open_source(str(Path(bench.home) / "nowhere")))
    with pytest.raises(RowUnknown, match="row 3 of epoch 1: the epoch has 3 rows"):
        contests.open(sender, 1, 3)
    with pytest.raises(RowUnknown, match="it was not charged"):
        contests.open(sender, 2, 0)
    with pytest.raises(NotContestable, match="not contested"):
        contests.answer(sender, 1, 0, log)


def test_a_price_above_the_signed_formula_comes_back(bench: Bench) -> None:
    """A row of one unit more than the order's formula gives, still under the cap: order, output and node's signature
    are all there, and yet it cannot be answered; the whole charge is refunded. The row beside it, at the right price,
    is answered by whoever likes, and its contester pays for that. Covers: A25, A31
    """
    order, signature = order_of(bench, "alice")
    dear, dear_signature = order_of(bench, "alice", salt=2)
    domain, alice = bench.deployment.domain, KEYS["alice"].address
    right, wrong = commitment_of(bench, order, 1), commitment_of(bench, dear, 2)
    entries: list[LogEntry] = []
    for one, signed in ((order, signature), (dear, dear_signature)):
        entries.append(OrderEntry(order=one, signer=alice, signature=signed))
    for c in (right, wrong):
        entries.append(CommitmentEntry(commitment=c, signature=KEYS["node"].sign(domain.commitment_digest(c))))
    rows = [
        Row(alice, alice, bench.operator_id, PRICE + extra, domain.commitment_digest(c))
        for extra, c in ((0, right), (1, wrong))
    ]
    settle_by_hand(bench, entries, rows, order, signature)
    log_folder = bench.home / "log"
    (log_folder / "blobs").mkdir()
    (log_folder / "blobs" / right.output_root).write_bytes(OUTPUT)
    contests, sender, log = Contests(bench.chain), Sender(bench.w3, KEYS["alice"]), open_source(str(log_folder))
    wei = 2 * bench.constants.contest_bond_units * bench.constants.unit_wei
    bench.call("deployer", bench.chain.token.functions.transfer(sender.address, wei))
    for index in (0, 1):
        contests.open(sender, 1, index)
    answerer = Sender(bench.w3, KEYS["bob"])
    assert contests.answer(answerer, 1, 0, log).status is ContestStatus.ANSWERED
    with pytest.raises(Reverted, match=rf"Contests_WrongAmount\({PRICE + 1}, {PRICE}\)"):
        contests.answer(answerer, 1, 1, log)
    bench.wait(bench.constants.answer_window_s)
    assert contests.finish(sender, 1, 1).refund_units == PRICE + 1
    assert lane_balance(bench) == 10**6 - PRICE
    assert bench.chain.balance_wei(KEYS["bob"].address) == wei // 2


def lane_balance(bench: Bench) -> int:
    alice = bench.address("alice")
    return int(bench.chain.escrow.functions.lanes(alice, alice).call()[0])


def test_earnings_fill_the_stake(bench: Bench) -> None:
    """What an operator earned may fill its stake: the ledger moves it between the contracts, and equals its replay."""
    order, signature = order_of(bench, "alice")
    digest = bench.deployment.domain.commitment_digest(commitment_of(bench, order, 1))
    rows = [Row(order.requester, order.requester, bench.operator_id, PRICE, digest)]
    settle_by_hand(bench, [], rows, order, signature)
    credit = PRICE - PRICE * bench.constants.fee_bps // 10_000
    bench.call("owner", bench.chain.escrow.functions.claimToStake(bench.operator_id))
    indexer = Indexer(bench.database, bench.chain, confirmations=0)
    while indexer.step():
        pass
    accounts = bench.assert_books_are_right()
    assert accounts[f"stake:{bench.operator_id}"] == credit
    assert f"operator:{bench.operator_id}" not in accounts
