"""Double entry: what each event of the contracts does to the accounts. Pure; nothing but confirmed events comes in.

Accounts hold what is owed to them, in units: `lane:<requester>:<signer>`, `operator:<id>`, `fees`, `bond`,
`stake:<id>`, `rewards` and `sunk` (slashed, and owed to verifiers or to the sink) and `contest:<epoch>:<index>` (a
contester's bond). `outside` and `sink` are where tokens come from and go to, also when one contract pays another;
`slashed` is what a refund passes through within one transaction. Every posting sums to zero, so the contracts' money is
minus (`outside` + `sink`) at any time.

Money is folded three times, and these three share no code on purpose, so that each catches the mistakes of the others:
here, in `contracts/model` (what the contracts must do) and in `verifier/audit/replay.py` (what they did).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.protocol.constants import Constants
from contracts.protocol.merkle import Row
from contracts.protocol.pricing import fee_units

OUTSIDE, FEES, BOND, SINK, SLASHED = "outside", "fees", "bond", "sink", "slashed"
REWARDS, SUNK = "rewards", "sunk"


@dataclass(frozen=True)
class Entry:
    """One side of a posting: `amount` units more (or less) owed to `account`."""

    account: str
    amount: int


@dataclass(frozen=True)
class PostedRows:
    """An epoch's rows as its settlement's calldata has them, with the rows that were not paid."""

    rows: tuple[Row, ...]
    void: frozenset[int]
    skipped: frozenset[int]

    @property
    def paid(self) -> list[Row]:
        """The rows that were charged and credited."""
        return [row for i, row in enumerate(self.rows) if i not in self.void and i not in self.skipped]


def lane_account(requester: str, signer: str) -> str:
    """A lane's account."""
    return f"lane:{requester}:{signer}"


def operator_account(operator_id: int) -> str:
    """What an operator earned and has not claimed."""
    return f"operator:{operator_id}"


def stake_account(operator_id: int) -> str:
    """An account's stake, what is unbonding included."""
    return f"stake:{operator_id}"


def contest_account(epoch_id: int, index: int) -> str:
    """What the contester of a leaf staked on it, while the contest runs."""
    return f"contest:{epoch_id}:{index}"


def posting(name: str, args: Mapping[str, Any], settled: PostedRows | None, constants: Constants) -> list[Entry]:
    """The entries of one event; none for an event that moves no money. `settled`: for EpochSettled, its rows.

    Entries that are zero are left out; those that remain sum to zero.
    """
    if name == "EpochSettled":
        assert settled is not None, "an EpochSettled without its rows"
        entries = _settlement(settled, constants.fee_bps)
    else:
        rule = _RULES.get(name)
        entries = rule(args, constants) if rule else []
    assert sum(entry.amount for entry in entries) == 0, f"posting of {name} does not sum to zero: {entries}"
    return [entry for entry in entries if entry.amount]


def balances(entries: Iterable[Entry]) -> dict[str, int]:
    """Account -> units, without accounts that are even."""
    totals: dict[str, int] = defaultdict(int)
    for entry in entries:
        totals[entry.account] += entry.amount
    return {account: amount for account, amount in sorted(totals.items()) if amount}


def escrow_owes(accounts: Mapping[str, int]) -> int:
    """Units that JobEscrow owes: lanes, operators' credit, fees, bond."""
    return sum(a for name, a in accounts.items() if name in (FEES, BOND) or name.startswith(("lane:", "operator:")))


def stakes_owed(accounts: Mapping[str, int]) -> int:
    """Units that StakeManager owes: stake, unbonding included, and what was slashed and is still there."""
    return sum(a for name, a in accounts.items() if name in (REWARDS, SUNK) or name.startswith("stake:"))


def contests_owe(accounts: Mapping[str, int]) -> int:
    """Units that Contests owes: the bonds of contests that have not ended."""
    return sum(amount for name, amount in accounts.items() if name.startswith("contest:"))


def _settlement(settled: PostedRows, fee_bps: int) -> list[Entry]:
    """Per lane a debit; per operator gross minus floor(gross * fee); the rest is fees (SPEC section 6)."""
    charged: dict[str, int] = defaultdict(int)
    gross: dict[int, int] = defaultdict(int)
    for row in settled.paid:
        charged[lane_account(row.requester, row.signer)] += row.amount_units
        gross[row.operator_id] += row.amount_units
    fees = {operator: fee_units(amount, fee_bps) for operator, amount in gross.items()}
    return [
        *(Entry(lane, -amount) for lane, amount in charged.items()),
        *(Entry(operator_account(operator), amount - fees[operator]) for operator, amount in gross.items()),
        Entry(FEES, sum(fees.values())),
    ]


def _move(source: str, target: str, amount: int) -> list[Entry]:
    return [Entry(source, -amount), Entry(target, amount)]


def _lane(a: Mapping[str, Any]) -> str:
    return lane_account(a["requester"], a["signer"])


def _leaf_settled(a: Mapping[str, Any]) -> list[Entry]:
    credit = a["amountUnits"] - a["feeUnits"]
    return [
        Entry(_lane(a), -a["amountUnits"]), Entry(operator_account(a["operatorId"]), credit), Entry(FEES, a["feeUnits"])
    ]  # fmt: skip


def _slashed(a: Mapping[str, Any]) -> list[Entry]:
    shares = (SLASHED, a["refundUnits"]), (REWARDS, a["rewardUnits"]), (SUNK, a["sunkUnits"])
    return [Entry(stake_account(a["id"]), -a["units"]), *(Entry(account, units) for account, units in shares)]


def _contest(a: Mapping[str, Any]) -> str:
    return contest_account(a["epochId"], a["index"])


_Rule = Callable[[Mapping[str, Any], Constants], list[Entry]]

_RULES: dict[str, _Rule] = {
    "Deposited": lambda a, _: _move(OUTSIDE, _lane(a), a["units"]),
    "Withdrawn": lambda a, _: _move(_lane(a), OUTSIDE, a["units"]),
    "LeafSettled": lambda a, _: _leaf_settled(a),
    "Claimed": lambda a, _: _move(operator_account(a["operatorId"]), OUTSIDE, a["units"]),
    "ClaimedToStake": lambda a, _: _move(operator_account(a["operatorId"]), OUTSIDE, a["units"]),  # a Staked follows
    "SettlerBonded": lambda a, _: _move(OUTSIDE, BOND, a["units"]),
    "SettlerUnbonded": lambda a, _: _move(BOND, OUTSIDE, a["units"]),
    "FeesWithdrawn": lambda a, _: _move(FEES, OUTSIDE, a["units"]),
    "Refunded": lambda a, _: _move(SLASHED, _lane(a), a["units"]),
    "RefundedFromBond": lambda a, _: _move(BOND, _lane(a), a["units"]),
    "Staked": lambda a, _: _move(OUTSIDE, stake_account(a["id"]), a["units"]),
    "StakeWithdrawn": lambda a, _: _move(stake_account(a["id"]), OUTSIDE, a["units"]),
    "Slashed": lambda a, _: _slashed(a),
    "Rewarded": lambda a, _: _move(REWARDS, stake_account(a["id"]), a["units"]),
    "Swept": lambda a, _: _move(SUNK, SINK, a["units"]),
    "Contested": lambda a, _: _move(OUTSIDE, _contest(a), a["bondUnits"]),
    "Answered": lambda a, _: _move(_contest(a), OUTSIDE, a["bondUnits"]),
    # Its event says 0 where the token refused to pay the contester: the bond stays in the contract, owed to nobody.
    "ContestResolved": lambda a, constants: _move(_contest(a), OUTSIDE, constants.contest_bond_units),
    "ContestLapsed": lambda a, _: _move(_contest(a), OUTSIDE, a["bondUnits"]),
}
