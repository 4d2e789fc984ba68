"""Double entry: the effect of each confirmed event of the contracts on the accounts. Pure.

Accounts hold what is owed to them, in units: `lane:<requester>:<signer>`, `operator:<id>`, `fees`, `bond`,
`stake:<id>`, `rewards` and `sunk` (slashed, and owed to verifiers or to the sink) and `contest:<epoch>:<index>` (a
contester's bond). Tokens enter and leave through `outside` and `sink`, also when one contract pays another; a refund
passes through `slashed` within one transaction. Every posting sums to zero, so the contracts' money is minus
(`outside` + `sink`) at any time.

Money is folded three times, on purpose without shared code, so that each fold catches the mistakes of the others: here,
in `contracts/model` (what the contracts must do) and in `verifier/audit/replay.py` (what they did).
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

_HOLDS = {
    "JobEscrow": ("lane", "operator", FEES, BOND), "StakeManager": ("stake", REWARDS, SUNK), "Contests": ("contest",),
}  # fmt: skip
"""Contract -> the kinds of accounts whose tokens it holds."""


@dataclass(frozen=True)
class Entry:
    """One side of a posting: `amount` more units owed to `account`; fewer if negative."""

    account: str
    amount: int


@dataclass(frozen=True)
class PostedRows:
    """An epoch's rows from its settlement's calldata, and which of them were not paid."""

    rows: tuple[Row, ...]
    void: frozenset[int]
    skipped: frozenset[int]

    @property
    def paid(self) -> list[Row]:
        return [row for i, row in enumerate(self.rows) if i not in self.void and i not in self.skipped]


def lane_account(requester: str, signer: str) -> str:
    return f"lane:{requester}:{signer}"


def posting(name: str, args: Mapping[str, Any], settled: PostedRows | None, constants: Constants) -> list[Entry]:
    """The entries of one event. They sum to zero; none is zero. `settled`: the rows of an EpochSettled."""
    if name == "EpochSettled":
        assert settled is not None, "an EpochSettled without its rows"
        entries = _settlement(settled, constants.fee_bps)
    else:
        rule = _RULES.get(name)
        entries = rule(args, constants) if rule else []
    assert sum(entry.amount for entry in entries) == 0, f"posting of {name} does not sum to zero: {entries}"
    return [entry for entry in entries if entry.amount]


def balances(entries: Iterable[Entry]) -> dict[str, int]:
    """Account -> units, without accounts at zero."""
    totals: dict[str, int] = defaultdict(int)
    for entry in entries:
        totals[entry.account] += entry.amount
    return {account: amount for account, amount in sorted(totals.items()) if amount}


def owed_by(contract: str, accounts: Mapping[str, int]) -> int:
    """Units that a contract owes: the sum of its accounts."""
    return sum(amount for name, amount in accounts.items() if name.split(":")[0] in _HOLDS[contract])


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
        *(Entry(f"operator:{operator}", amount - fees[operator]) for operator, amount in gross.items()),
        Entry(FEES, sum(fees.values())),
    ]


def _move(source: str, target: str, amount: int) -> list[Entry]:
    return [Entry(source, -amount), Entry(target, amount)]


def _lane(a: Mapping[str, Any]) -> str:
    return lane_account(a["requester"], a["signer"])


def _operator(a: Mapping[str, Any]) -> str:
    """An operator's unclaimed earnings."""
    return f"operator:{a['operatorId']}"


def _stake(a: Mapping[str, Any]) -> str:
    """An account's stake, also while unbonding."""
    return f"stake:{a['id']}"


def _contest(a: Mapping[str, Any]) -> str:
    """A contester's bond, while the contest runs."""
    return f"contest:{a['epochId']}:{a['index']}"


def _leaf_settled(a: Mapping[str, Any]) -> list[Entry]:
    amount, fee = a["amountUnits"], a["feeUnits"]
    return [Entry(_lane(a), -amount), Entry(_operator(a), amount - fee), Entry(FEES, fee)]


def _slashed(a: Mapping[str, Any]) -> list[Entry]:
    shares = (SLASHED, a["refundUnits"]), (REWARDS, a["rewardUnits"]), (SUNK, a["sunkUnits"])
    return [Entry(_stake(a), -a["units"]), *(Entry(account, units) for account, units in shares)]


_Rule = Callable[[Mapping[str, Any], Constants], list[Entry]]

_RULES: dict[str, _Rule] = {
    "Deposited": lambda a, _: _move(OUTSIDE, _lane(a), a["units"]),
    "Withdrawn": lambda a, _: _move(_lane(a), OUTSIDE, a["units"]),
    "LeafSettled": lambda a, _: _leaf_settled(a),
    "Claimed": lambda a, _: _move(_operator(a), OUTSIDE, a["units"]),
    "ClaimedToStake": lambda a, _: _move(_operator(a), OUTSIDE, a["units"]),  # a Staked follows
    "SettlerBonded": lambda a, _: _move(OUTSIDE, BOND, a["units"]),
    "SettlerUnbonded": lambda a, _: _move(BOND, OUTSIDE, a["units"]),
    "FeesWithdrawn": lambda a, _: _move(FEES, OUTSIDE, a["units"]),
    "Refunded": lambda a, _: _move(SLASHED, _lane(a), a["units"]),
    "RefundedFromBond": lambda a, _: _move(BOND, _lane(a), a["units"]),
    "Staked": lambda a, _: _move(OUTSIDE, _stake(a), a["units"]),
    "StakeWithdrawn": lambda a, _: _move(_stake(a), OUTSIDE, a["units"]),
    "Slashed": lambda a, _: _slashed(a),
    "Rewarded": lambda a, _: _move(REWARDS, _stake(a), a["units"]),
    "Swept": lambda a, _: _move(SUNK, SINK, a["units"]),
    "Contested": lambda a, _: _move(OUTSIDE, _contest(a), a["bondUnits"]),
    "Answered": lambda a, _: _move(_contest(a), OUTSIDE, a["bondUnits"]),
    # Its event says 0 if the token refused to pay the contester: the bond stays in the contract, owed to nobody.
    "ContestResolved": lambda a, constants: _move(_contest(a), OUTSIDE, constants.contest_bond_units),
    "ContestLapsed": lambda a, _: _move(_contest(a), OUTSIDE, a["bondUnits"]),
}
