"""The pure rules of the epoch: what it takes, in which order, when it closes, what it may cost."""

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.epochs import (
    MAX_PACKED_BYTES,
    MAX_ROWS,
    MAX_SETTLE_GAS,
    Bond,
    RowCandidate,
    budget_units,
    by_lane,
    choose,
    is_due,
    lane_runs,
    settle_gas,
)
from contracts.protocol.exposure import exposure_units
from contracts.protocol.merkle import Row
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack

WINDOW_S = 600


def candidate(lane: int = 0, amount: int = 10, received_at: int = 0, tag: int = 0) -> RowCandidate:
    address = "0x" + f"{lane:02x}" * 20
    return RowCandidate(Row(address, address, 1, amount, tag.to_bytes(32, "big")), "job", received_at)


CANDIDATES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 20)), max_size=30).map(
    lambda items: [candidate(lane, amount, at, tag) for tag, (lane, amount, at) in enumerate(items)]
)


@given(candidates=CANDIDATES, budget=st.integers(0, 500), max_rows=st.integers(0, 30))
def test_chosen_rows_fit_and_stand_by_lane(candidates: list[RowCandidate], budget: int, max_rows: int) -> None:
    """Never more than the bond covers, never too many, and each lane once, its rows in order of arrival. Covers: A27"""
    chosen = choose(candidates, budget, max_rows)
    assert sum(c.row.amount_units for c in chosen) <= budget
    assert len(chosen) <= max_rows
    runs = lane_runs([c.row for c in chosen])
    assert len({chosen[start].row.requester for start, _ in runs}) == len(runs)
    for start, end in runs:
        times = [c.received_at for c in chosen[start:end]]
        assert times == sorted(times)
    if len(chosen) < min(max_rows, len(candidates)):
        left = budget - sum(c.row.amount_units for c in chosen)
        assert all(c.row.amount_units > left for c in candidates if c not in chosen)


def test_order_does_not_depend_on_the_query() -> None:
    """The same facts in another order make the same epoch."""
    facts = [candidate(lane, 10, at, tag) for tag, (lane, at) in enumerate([(0, 5), (1, 3), (0, 1), (1, 3)])]
    assert choose(facts, 100, 10) == choose(list(reversed(facts)), 100, 10)
    assert [c.row.digest[-1] for c in choose(facts, 100, 10)] == [2, 0, 1, 3]


def test_a_row_too_large_holds_nobody_up() -> None:
    """What exceeds the bond waits; those behind it do not."""
    facts = [candidate(0, 1000, 0, 1), candidate(0, 10, 1, 2)]
    assert [c.row.digest[-1] for c in choose(facts, 100, 10)] == [2]


def test_a_settlement_fits_into_one_transaction() -> None:
    """As many rows as bytes and gas carry: 2,900 of few lanes, fewer when every row has a lane and operator of its own.
    Covers: A37
    """
    same = [candidate(lane=i % 9, tag=i) for i in range(4000)]
    assert len(choose(same, 10**9)) == MAX_ROWS
    apart = [
        RowCandidate(Row(f"0x{i:040x}", f"0x{i:040x}", i, 1, i.to_bytes(32, "big")), "job", 0) for i in range(1, 1000)
    ]
    chosen = choose(apart, 10**9)
    proof = CapProof(2**64 - 1, b"\xff" * 32, b"\xff" * 32, b"\xff" * 32)
    groups = tuple(LaneGroup(c.row.requester, c.row.signer, proof, (c.row,)) for c in chosen)
    packed = pack(Epoch(groups, frozenset()))
    assert len(packed) <= MAX_PACKED_BYTES
    assert 200 < len(chosen) < 1000
    assert settle_gas(packed, [c.row for c in chosen]) <= MAX_SETTLE_GAS


def test_budget_follows_the_two_buckets() -> None:
    """What was charged in this bucket and the one before counts, as the chain rolls them. Covers: A27"""
    bond = Bond(bond=100, bucket_start=1000, spent_previous=30, spent_current=20)
    assert budget_units(bond, 1599, WINDOW_S, 5) == 45
    assert budget_units(bond, 1600, WINDOW_S, 5) == 75
    assert budget_units(bond, 2199, WINDOW_S, 5) == 75
    assert budget_units(bond, 2200, WINDOW_S, 5) == 95
    assert budget_units(bond, 1599, WINDOW_S, 80) == -30


def test_due_by_age_or_number() -> None:
    """An epoch closes when its oldest row has waited long enough, or at the goal; never without rows."""
    assert not is_due([], 10**9, 30, 5)
    assert not is_due([candidate(received_at=100)], 129, 30, 5)
    assert is_due([candidate(received_at=100)], 130, 30, 5)
    assert is_due([candidate(received_at=100, tag=i) for i in range(5)], 100, 30, 5)


def test_gas_is_never_below_the_calldata_floor() -> None:
    """EIP-7623: 40 gas a non-zero byte and 10 a zero byte, over 21000."""
    rows = [candidate(tag=i).row for i in range(3)]
    assert settle_gas(b"\x01" * 100_000, []) == 21_000 + 40 * 100_000
    assert settle_gas(b"\x00" * 100_000, []) >= 21_000 + 10 * 100_000
    assert settle_gas(b"", rows) > settle_gas(b"", rows[:2])


def test_by_lane_keeps_every_row() -> None:
    """Grouping moves rows, it loses none."""
    facts = [candidate(lane % 3, 1, 0, lane) for lane in range(9)]
    assert sorted(by_lane(facts), key=lambda c: c.row.digest) == facts


def test_exposure_counts_what_is_still_in_its_check_period() -> None:
    """SPEC section 10: epochs m <= n with postedAt[m+1] + CHECK_WAIT > postedAt[n], and n itself. Covers: A05"""
    rows = {1: [(7, 100), (8, 1)], 2: [(7, 10)], 3: [(7, 1)], 4: [(7, 1000)]}
    posted = {1: 0, 2: 50, 3: 90, 4: 200}
    assert exposure_units(7, 3, rows, posted, 40) == 11
    assert exposure_units(7, 3, rows, posted, 41) == 111
    assert exposure_units(7, 1, rows, posted, 41) == 100
    assert exposure_units(9, 3, rows, posted, 41) == 0
