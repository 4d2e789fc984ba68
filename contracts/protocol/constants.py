"""The contracts' constructor constants, for production and for development (SPEC section 2)."""

from typing import Annotated

from pydantic import Field

from contracts.protocol.records import Record

_Positive = Annotated[int, Field(strict=True, gt=0)]


class Constants(Record):
    """Every number that is fixed at deployment. `_s`: seconds; `_units`: units of the token; `_wei`: base units."""

    unit_wei: _Positive
    fee_bps: Annotated[int, Field(strict=True, ge=0, lt=10_000)]
    order_ttl_s: _Positive
    epoch_max_s: _Positive
    seed_blocks: _Positive
    check_wait_s: _Positive
    settle_wait_s: _Positive
    charge_window_s: _Positive
    notice_s: _Positive
    notice_life_s: _Positive
    unbond_s: _Positive
    payout_delay_s: _Positive
    min_verifier_stake_units: _Positive
    case_window_s: _Positive
    commit_window_s: _Positive
    reveal_window_s: _Positive
    penalty_multiple: _Positive
    case_reward_units: _Positive
    contest_window_s: _Positive
    answer_window_s: _Positive
    resolve_window_s: _Positive
    contest_bond_units: _Positive
    timelock_s: Annotated[int, Field(strict=True, ge=0)]

    def misfits(self) -> list[str]:
        """The rules of the contracts' constructors that these numbers break. Deployment would revert."""
        case_s = 2 * self.commit_window_s + self.reveal_window_s
        above = (
            ("settle_wait_s", ("epoch_max_s", "check_wait_s"), case_s, " + 2 commit_window_s + reveal_window_s"),
            ("notice_s", ("order_ttl_s", "epoch_max_s", "settle_wait_s"), 0, ""),
            ("unbond_s", ("case_window_s", "settle_wait_s"), case_s, " + 2 commit_window_s + reveal_window_s"),
            ("contest_window_s", ("settle_wait_s",), 0, ""),
            ("case_window_s", ("settle_wait_s",), -1, " - 1"),
            ("charge_window_s", ("contest_window_s", "answer_window_s", "resolve_window_s"), -1, " - 1"),
        )
        found = []
        for name, parts, more, words in above:
            bound = sum(getattr(self, part) for part in parts) + more
            if getattr(self, name) <= bound:
                rule = f"{' + '.join(parts)}{words} = {bound}"
                found.append(f"{name} = {getattr(self, name)} must be more than {rule}")
        if self.contest_bond_units >= 2**64:
            found.append(f"contest_bond_units = {self.contest_bond_units} must be below 2^64")
        return found


PRODUCTION = Constants(
    unit_wei=10**9, fee_bps=1000, order_ttl_s=3600, epoch_max_s=3600, seed_blocks=4, check_wait_s=3600,
    settle_wait_s=43_200, charge_window_s=345_600, notice_s=259_200, notice_life_s=86_400, unbond_s=1_209_600,
    payout_delay_s=172_800, min_verifier_stake_units=10**12, case_window_s=259_200, commit_window_s=7200,
    reveal_window_s=7200, penalty_multiple=149, case_reward_units=10**7, contest_window_s=216_000,
    answer_window_s=86_400, resolve_window_s=43_200, contest_bond_units=5 * 10**7, timelock_s=172_800,
)  # fmt: skip

DEVELOPMENT = Constants(
    unit_wei=10**9, fee_bps=1000, order_ttl_s=120, epoch_max_s=60, seed_blocks=2, check_wait_s=40,
    settle_wait_s=300, charge_window_s=600, notice_s=600, notice_life_s=600, unbond_s=1800,
    payout_delay_s=60, min_verifier_stake_units=10**9, case_window_s=400, commit_window_s=15,
    reveal_window_s=10, penalty_multiple=1, case_reward_units=5_000_000, contest_window_s=420, answer_window_s=90,
    resolve_window_s=90, contest_bond_units=5_000_000, timelock_s=1,
)  # fmt: skip
