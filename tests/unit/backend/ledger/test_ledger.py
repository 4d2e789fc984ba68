"""The ledger's postings and its copies of the chain through reorgs. No chain."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlmodel import Session, col, select

from backend.domain import ledger
from backend.services.ledger.rebuild import differences
from backend.store.chain_tables import ChainEventRow, LedgerEntryRow, SettlementRow
from backend.store.event_rows import subject_of
from backend.store.ledger import balances, post, reverse
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.merkle import Row
from contracts.protocol.packing import Epoch, LaneGroup, bits, pack
from contracts.protocol.pricing import fee_units
from tests.world.database import fresh_database
from tests.world.replay import assert_replayed
from tests.world.soak import short_or_long

FEE_BPS = DEVELOPMENT.fee_bps
LANES = [("0x" + "aa" * 20, "0x" + "bb" * 20), ("0x" + "cc" * 20, "0x" + "cc" * 20)]
UNITS = st.integers(0, 2**48 - 1)
ROWS = st.lists(
    st.builds(
        lambda lane, operator, amount, digest: Row(*LANES[lane], operator, amount, digest),
        st.integers(0, 1), st.integers(1, 4), UNITS, st.binary(min_size=32, max_size=32),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(rows=ROWS, data=st.data())
def test_settlement_sums_to_zero(rows: list[Row], data: st.DataObject) -> None:
    """An epoch debits lanes by what is paid, credits operators their gross less the floored fee, the rest is fees."""
    index = st.sets(st.integers(0, len(rows) - 1))
    settled = ledger.PostedRows(tuple(rows), frozenset(data.draw(index)), frozenset(data.draw(index)))
    accounts = ledger.balances(ledger.posting("EpochSettled", {}, settled, DEVELOPMENT))
    paid = settled.paid
    assert sum(accounts.values()) == 0
    for lane in LANES:
        charged = sum(row.amount_units for row in paid if (row.requester, row.signer) == lane)
        assert accounts.get(ledger.lane_account(*lane), 0) == -charged
    for operator in range(1, 5):
        gross = sum(row.amount_units for row in paid if row.operator_id == operator)
        assert accounts.get(f"operator:{operator}", 0) == gross - fee_units(gross, FEE_BPS)


def test_void_and_skipped_rows_move_nothing() -> None:
    """What is VOID or skipped is in no account."""
    rows = tuple(Row(*LANES[0], 1, 100, bytes([i]) * 32) for i in range(3))
    settled = ledger.PostedRows(rows, frozenset({0}), frozenset({1}))
    entries = ledger.posting("EpochSettled", {}, settled, DEVELOPMENT)
    assert ledger.balances(entries) == {"fees": 10, ledger.lane_account(*LANES[0]): -100, "operator:1": 90}


def test_slash_passes_through_to_nothing() -> None:
    """A slash, its refund and its rewards leave the clearing account even."""
    lane = {"requester": LANES[0][0], "signer": LANES[0][1]}
    events: list[tuple[str, dict[str, Any]]] = [
        ("Staked", {"id": 1, "units": 100}),
        ("Refunded", {**lane, "units": 30}),
        ("Slashed", {"id": 1, "units": 80, "refundUnits": 30, "rewardUnits": 15, "sunkUnits": 35}),
        ("Rewarded", {"id": 2, "units": 10}),
        ("Swept", {"units": 34}),
    ]
    entries = [entry for name, args in events for entry in ledger.posting(name, args, None, DEVELOPMENT)]
    assert ledger.balances(entries) == {
        ledger.lane_account(**lane): 30, "outside": -100, "rewards": 5, "sink": 34,
        "stake:1": 20, "stake:2": 10, "sunk": 1,
    }  # fmt: skip
    assert ledger.owed_by("StakeManager", ledger.balances(entries)) == 100 - 30 - 34


def test_money_that_comes_goes() -> None:
    """Every way in has its way out, and afterwards the books are empty."""
    lane = {"requester": LANES[0][0], "signer": LANES[0][1]}
    ways = [
        ("Deposited", {**lane, "units": 100}),
        ("SettlerBonded", {"units": 7}),
        ("Staked", {"id": 1, "units": 5}),
        ("LeafSettled", {**lane, "operatorId": 1, "amountUnits": 40, "feeUnits": 4}),
        ("Claimed", {"operatorId": 1, "units": 36}),
        ("FeesWithdrawn", {"units": 4}),
        ("Withdrawn", {**lane, "units": 60}),
        ("SettlerUnbonded", {"units": 7}),
        ("StakeWithdrawn", {"id": 1, "units": 5}),
        *contested("Answered"),
        *contested("ContestResolved"),
        *contested("ContestLapsed"),
    ]
    entries = [entry for name, args in ways for entry in ledger.posting(name, args, None, DEVELOPMENT)]
    assert ledger.balances(entries) == {}


def contested(ending: str) -> list[tuple[str, dict[str, Any]]]:
    """A contest from the contester's bond to its end."""
    bond = {"epochId": 3, "index": 7, "bondUnits": DEVELOPMENT.contest_bond_units}
    return [("Contested", bond), (ending, {**bond, "refundUnits": 0})]


def test_a_refund_from_the_bond_fills_the_lane() -> None:
    """What a contest gives back leaves the settler's bond and stands in the lane again; the contester's own bond is
    another account. Covers: A27
    """
    lane = {"requester": LANES[0][0], "signer": LANES[0][1]}
    opened, ended = contested("ContestResolved")
    events: list[tuple[str, dict[str, Any]]] = [
        ("SettlerBonded", {"units": 100}),
        opened,
        ("RefundedFromBond", {**lane, "units": 30, "bondUnits": 70}),
    ]
    entries = [entry for name, args in events for entry in ledger.posting(name, args, None, DEVELOPMENT)]
    accounts = ledger.balances(entries)
    assert (accounts["bond"], accounts[ledger.lane_account(**lane)]) == (70, 30)
    assert ledger.owed_by("Contests", accounts) == DEVELOPMENT.contest_bond_units
    assert ledger.owed_by("JobEscrow", accounts) == 100
    ended[1]["bondUnits"] = 0  # the token refused to pay the contester: its bond is a donation from now on
    accounts = ledger.balances([*entries, *ledger.posting(*ended, None, DEVELOPMENT)])
    assert ledger.owed_by("Contests", accounts) == 0


def test_a_claim_to_stake_moves_between_the_contracts() -> None:
    """What an operator earned leaves the escrow's books and stands in its stake; nothing is left outside."""
    events = [
        ("ClaimedToStake", {"operatorId": 1, "units": 36}),
        ("Staked", {"id": 1, "units": 36}),
    ]
    entries = [entry for name, args in events for entry in ledger.posting(name, args, None, DEVELOPMENT)]
    assert ledger.balances(entries) == {"operator:1": -36, "stake:1": 36}


@pytest.mark.parametrize(
    "name", ["LaneOpened", "NoticeGiven", "Unbonding", "Locked", "EpochPosted", "CaseOpened", "Paused"]
)
def test_events_without_money(name: str) -> None:
    """They leave no entry."""
    assert ledger.posting(name, {}, None, DEVELOPMENT) == []


@dataclass
class Branch:
    """Events of a chain that may change its mind; every block has one event and a hash of its own."""

    events: list[ChainEventRow] = field(default_factory=list)
    settlements: dict[int, SettlementRow] = field(default_factory=dict)
    forks: int = 0

    def block(self) -> tuple[int, str]:
        return len(self.events) + 1, f"0x{self.forks}-{len(self.events) + 1}"

    def add(self, name: str, args: dict[str, Any]) -> ChainEventRow:
        number, block_hash = self.block()
        row = ChainEventRow(
            block_number=number, log_index=0, contract="JobEscrow", name=name, args=args, block_hash=block_hash,
            tx_hash=block_hash, subject=subject_of(name, args), operator_id=None,
        )  # fmt: skip
        self.events.append(row)
        return row

    def settle(self, rows: Sequence[Row]) -> list[ChainEventRow]:
        epoch_id = sum(1 for event in self.events if event.name == "EpochPosted") + 1
        groups = tuple(LaneGroup(row.requester, row.signer, None, (row,)) for row in rows)
        posted = self.add("EpochPosted", {"id": epoch_id, "count": len(rows)})
        settled = self.add("EpochSettled", {"id": epoch_id})
        no_bits = bits(frozenset(), len(rows))
        self.settlements[settled.block_number] = SettlementRow(
            epoch_id=epoch_id, block_number=settled.block_number, tx_hash="0x", packed=pack(Epoch(groups, frozenset())),
            void_bits=no_bits, skipped_bits=no_bits, gas_used=1,
        )  # fmt: skip
        return [posted, settled]


def store(session: Session, branch: Branch, rows: list[ChainEventRow]) -> None:
    for row in rows:
        session.add(ChainEventRow(**row.model_dump()))
        if row.name == "EpochSettled":
            session.add(SettlementRow(**branch.settlements[row.block_number].model_dump()))
    session.flush()
    post(session, rows, DEVELOPMENT)


def rewind(session: Session, branch: Branch, depth: int) -> None:
    ancestor = max(0, len(branch.events) - depth)
    reverse(session, ancestor)
    for table in (SettlementRow, ChainEventRow):
        session.execute(delete(table).where(col(table.block_number) > ancestor))
    session.expire_all()
    del branch.events[ancestor:]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), st.integers(1, 2**40)),
        st.tuples(st.just("stake"), st.integers(1, 2**40)),
        st.tuples(st.just("settle"), ROWS),
        st.tuples(st.just("reorg"), st.integers(1, 8)),
        st.tuples(st.just("return"), st.integers(1, 8)),
    ),
    max_size=14,
)


@settings(max_examples=short_or_long(8, 200))
@given(steps=STEPS)
def test_replay_is_identical_through_reorgs(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    """Whatever the chain does, the ledger equals a replay of the events that stand, and is never edited. Covers: A41"""
    database, branch = fresh_database(tmp_path_factory.mktemp("ledger") / "assay.db"), Branch()
    before: list[LedgerEntryRow] = []
    for kind, value in steps:
        with database.begin() as session:
            _apply(session, branch, kind, value)
        with database.read() as session:
            assert_replayed(session, DEVELOPMENT)
            entries = list(session.exec(select(LedgerEntryRow).order_by(col(LedgerEntryRow.id))))
            assert sum(balances(session).values()) == 0
        assert [row.model_dump() for row in entries[: len(before)]] == [row.model_dump() for row in before]
        before = entries


def _apply(session: Session, branch: Branch, kind: str, value: Any) -> None:
    if kind == "deposit":
        lane = {"requester": LANES[0][0], "signer": LANES[0][1]}
        store(session, branch, [branch.add("Deposited", {**lane, "units": value})])
    elif kind == "stake":
        store(session, branch, [branch.add("Staked", {"id": 1, "units": value})])
    elif kind == "settle":
        store(session, branch, branch.settle(value))
    elif kind == "reorg":
        branch.forks += 1
        rewind(session, branch, value)
    else:  # the orphaned blocks come back with the same hashes
        orphaned = branch.events[max(0, len(branch.events) - value) :]
        kept = [ChainEventRow(**row.model_dump()) for row in orphaned]
        rewind(session, branch, value)
        branch.events += kept
        store(session, branch, kept)


def test_rebuild_names_what_differs(tmp_path: Path) -> None:
    """An entry that no event explains is found, with its place."""
    kept, fresh, branch = fresh_database(tmp_path / "kept.db"), fresh_database(tmp_path / "fresh.db"), Branch()
    theft = LedgerEntryRow(
        block_number=9, block_hash="0xbad", log_index=0, line=0, reversal=False, account="fees", amount=1,
        reason="theft",
    )  # fmt: skip
    with kept.begin() as session:
        _apply(session, branch, "deposit", 5)
        session.add(theft)
    with fresh.begin() as session:
        store(session, branch, branch.events)
    with kept.read() as ours, fresh.read() as replayed:
        assert differences(ours, replayed, 8) == {}
        assert differences(ours, replayed, 9) == {"block 9 (0xbad), log 0, line 0, fees": (1, 0)}
