"""JobEscrow (SPEC section 6): epochs, payments and the settler's bond. Lanes are in the base class."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from contracts.model.base import U64, ZERO_ADDRESS, add64, refuse_if
from contracts.model.epochs import Group, read_epoch
from contracts.model.lanes import Lanes
from contracts.model.proofs import LeafProof, Outcomes, is_set, leaf_hash, root_from_proof
from contracts.protocol.hashing import ZERO32, keccak
from contracts.protocol.merkle import merkle_root
from contracts.protocol.packing import CapProof, bits, outcomes_hash

if TYPE_CHECKING:
    from contracts.model.stakes import Stakes

ONE_BPS = 10_000


class EpochStatus(IntEnum):
    """Derived from facts and time."""

    OPEN = 0
    POSTED = 1
    REVEALED = 2
    SETTLED = 3
    STRANDED = 4


class LeafStatus(IntEnum):
    """The status of a leaf in a settled or stranded epoch."""

    UNCHARGED = 0
    PAID = 1
    VOID = 2
    CLOSED = 3
    REFUNDED = 4


@dataclass
class Epoch:
    """A posted epoch. `outcomes` is 0 until it is settled."""

    root: bytes = ZERO32
    count: int = 0
    posted_at: int = 0
    posted_block: int = 0
    outcomes: int = 0


@dataclass
class Leaf:
    """What happened to a leaf apart from its epoch."""

    paid_at: int = 0
    closed: bool = False
    refunded: int = 0


@dataclass
class Credit:
    """What an operator earned and claimed, modulo 2^64."""

    earned: int = 0
    claimed: int = 0


@dataclass
class SettlerBond:
    """The bond and the two buckets of the charge window."""

    bond: int = 0
    bucket_start: int = 0
    spent_previous: int = 0
    spent_current: int = 0
    unbond_at: int = 0

    def roll(self, now: int, window: int) -> None:
        """Moves the buckets on to the current time."""
        if now >= self.bucket_start + 2 * window:
            self.spent_previous, self.spent_current, self.bucket_start = 0, 0, now
        elif now >= self.bucket_start + window:
            self.spent_previous, self.spent_current = self.spent_current, 0
            self.bucket_start += window

    def give_back(self, units: int) -> int:
        """Takes a refund out of the bond and out of the buckets, the older one first."""
        taken = min(units, self.bond)
        self.bond -= taken
        from_previous = min(taken, self.spent_previous)
        self.spent_previous -= from_previous
        self.spent_current -= min(taken - from_previous, self.spent_current)
        return taken


@dataclass(kw_only=True)
class Escrow(Lanes):
    """The contract's state and functions."""

    stakes: "Stakes"
    settler: str
    treasury: str
    governor: str
    guardian: str
    court: str
    contests: str
    tip: bytes
    epochs: dict[int, Epoch] = field(default_factory=dict)
    leaves: dict[tuple[int, int], Leaf] = field(default_factory=dict)
    credits: dict[int, Credit] = field(default_factory=dict)
    bond: SettlerBond = field(default_factory=SettlerBond)
    last_epoch: int = 0

    # ---- settler

    def post_epoch(self, caller: str, epoch_id: int, root: bytes, count: int, beacon: bytes, log_root: bytes) -> None:
        """Posts the next epoch's root. Its beacon reveals the previous epoch's seed."""
        self._require_settler(caller)
        refuse_if(epoch_id != self.last_epoch + 1, "JobEscrow_WrongEpochId", epoch_id, self.last_epoch + 1)
        refuse_if(keccak(beacon) != self.tip, "JobEscrow_WrongBeacon", beacon, self.tip)
        previous = self.epoch(self.last_epoch)
        seed_block = previous.posted_block + self.constants.seed_blocks
        ahead = previous.count != 0 and self.chain.block <= seed_block
        refuse_if(ahead, "JobEscrow_SeedBlockAhead", self.chain.block, seed_block)
        refuse_if((root == ZERO32) != (count == 0), "JobEscrow_RootAndCountDiffer", root, count)
        if count != 0:
            refuse_if(self.paused, "JobEscrow_IsPaused")
            refuse_if(self.bond.unbond_at != 0, "JobEscrow_SettlerIsUnbonding", self.bond.unbond_at)
        self.tip = beacon
        self.last_epoch = epoch_id
        self.epochs[epoch_id] = Epoch(root, count, self.chain.now, self.chain.block)
        self._emit("EpochPosted", epoch_id, root, count, beacon, log_root)

    def settle_epoch(self, caller: str, epoch_id: int, packed: bytes) -> None:
        """Settles a whole epoch and skips lanes that fail."""
        self._require_settler(caller)
        refuse_if(caller != self.chain.origin, "JobEscrow_NotDirect", caller)
        epoch = self.epoch(epoch_id)
        self._require_settleable(epoch_id, epoch)
        record = read_epoch(packed, epoch.count)
        gross = dict.fromkeys(range(len(record.operator_ids)), 0)
        skipped: set[int] = set()
        charged = 0
        for group in record.groups:
            reason = self._charge(group.requester, group.signer, group.sum_units, group.proof)
            if reason is None:
                charged += group.sum_units
                for row in group.paid_rows:
                    gross[row.op_index] += row.amount_units
            else:
                skipped |= set(group.indices)
                self._emit("LaneSkipped", epoch_id, group.requester, group.signer, int(reason), group.sum_units)
        root = merkle_root(_leaves_of(record.groups, record.operator_ids))
        refuse_if(root != epoch.root, "JobEscrow_WrongRoot", root, epoch.root)
        fees = sum(self._credit(record.operator_ids[index], units) for index, units in gross.items())
        self._book(charged, fees)
        skipped_bits = bits(skipped, epoch.count)
        epoch.outcomes = outcomes_hash(record.void_bits, skipped_bits)
        self._emit("EpochSettled", epoch_id, charged, fees, record.void_bits, skipped_bits)

    def bond_settler(self, caller: str, units: int) -> None:
        """Adds to the bond. If the settler itself pays, an unbonding ends."""
        self.bond.bond = add64(self.bond.bond, units)
        if caller == self.settler:
            self.bond.unbond_at = 0
        self._emit("SettlerBonded", caller, units, self.bond.bond)
        self._unit_token.pull(caller, units)

    def unbond_settler(self, caller: str) -> None:
        """Starts the wait before the bond goes to the treasury."""
        self._require_settler(caller)
        self.bond.unbond_at = self.chain.now
        self._emit("SettlerUnbonding", self.chain.now)

    def withdraw_bond(self, caller: str) -> None:
        """Pays the bond to the treasury if nothing was charged lately."""
        self._require_settler(caller)
        ends_at = self.bond.unbond_at + self.constants.unbond_s
        locked = self.bond.unbond_at == 0 or self.chain.now < ends_at
        refuse_if(locked, "JobEscrow_BondLocked", self.bond.unbond_at, self.chain.now)
        rolled = SettlerBond(**vars(self.bond))
        rolled.roll(self.chain.now, self.constants.charge_window_s)
        spent = rolled.spent_previous + rolled.spent_current
        refuse_if(spent != 0, "JobEscrow_ChargedLately", spent)
        units, self.bond.bond = self.bond.bond, 0
        self._emit("SettlerUnbonded", units)
        self._unit_token.push(self.treasury, units)

    # ---- guardian, governor

    def pause(self, caller: str) -> None:
        """Stops new rows and deposits."""
        refuse_if(caller != self.guardian, "JobEscrow_NotGuardian", caller)
        self.paused = True
        self._emit("Paused")

    def unpause(self, caller: str) -> None:
        """Ends a pause."""
        refuse_if(caller not in (self.guardian, self.governor), "JobEscrow_NotGuardian", caller)
        self.paused = False
        self._emit("Unpaused", caller)

    def set_settler(self, caller: str, settler: str) -> None:
        """Names another settler. The bond stays."""
        refuse_if(caller != self.governor, "JobEscrow_NotGovernor", caller)
        refuse_if(settler == ZERO_ADDRESS, "JobEscrow_MissingParam")
        self._emit("SettlerChanged", self.settler, settler)
        self.settler = settler
        self.bond.unbond_at = 0

    def reset_beacon(self, caller: str, tip: bytes) -> None:
        """Starts another hash chain, while no row waits for a seed."""
        refuse_if(caller != self.governor, "JobEscrow_NotGovernor", caller)
        last = self.epoch(self.last_epoch)
        pending = last.count != 0 and self.epoch_status(self.last_epoch) != EpochStatus.STRANDED
        refuse_if(pending, "JobEscrow_SeedIsPending", self.last_epoch)
        self.tip = tip
        self._emit("BeaconReset", tip)

    # ---- anyone

    def settle_one(self, caller: str, proof: LeafProof, outcomes: Outcomes, cap: CapProof) -> None:
        """Pays a leaf that its epoch did not pay."""
        status, _ = self.leaf_status(proof, outcomes)
        payable = status == LeafStatus.UNCHARGED
        refuse_if(not payable, "JobEscrow_LeafNotPayable", proof.epoch_id, proof.index, int(status))
        self.leaves.setdefault((proof.epoch_id, proof.index), Leaf()).paid_at = self.chain.now
        reason = self._charge(proof.requester, proof.signer, proof.amount_units, cap)
        if reason is not None:
            refuse_if(True, "JobEscrow_LaneDoesNotCover", proof.requester, proof.signer, int(reason))
        fees = self._credit(proof.operator_id, proof.amount_units)
        self._book(proof.amount_units, fees)
        self._emit(
            "LeafSettled", proof.epoch_id, proof.index, proof.requester, proof.signer,
            proof.operator_id, proof.amount_units, fees,
        )  # fmt: skip

    def claim(self, caller: str, operator_id: int) -> None:
        """Pays what an operator earned to its payout address."""
        payout = self.stakes.payout_of(operator_id)
        units = self._take_credit(operator_id)
        self._emit("Claimed", operator_id, payout, units)
        self._unit_token.push(payout, units)

    def claim_to_stake(self, caller: str, operator_id: int) -> None:
        """Moves what an operator earned into its stake."""
        owner = self.stakes.owner_of(operator_id)
        refuse_if(caller != owner, "JobEscrow_NotOwner", caller, operator_id)
        units = self._take_credit(operator_id)
        self._emit("ClaimedToStake", operator_id, units)
        self.token.approve(self.address, self.stakes.address, units * self.constants.unit_wei)
        self.stakes.stake(self.address, operator_id, units)

    def withdraw_fees(self, caller: str) -> None:
        """Pays the fees to the treasury."""
        units, self.fees_units = self.fees_units, 0
        self._emit("FeesWithdrawn", units)
        self._unit_token.push(self.treasury, units)

    # ---- court, contests

    def refund(self, caller: str, proof: LeafProof, outcomes: Outcomes, limit: int) -> int:
        """Refunds a leaf's remaining charge, at most `limit`, or closes an uncharged leaf. The court has checked it."""
        refuse_if(caller != self.court, "JobEscrow_NotCourt", caller)
        status, _ = self._leaf_status(proof, outcomes)
        leaf = self.leaves.setdefault((proof.epoch_id, proof.index), Leaf())
        if status == LeafStatus.UNCHARGED:
            leaf.closed = True
        units = min(proof.amount_units - leaf.refunded, limit) if status == LeafStatus.PAID else 0
        if units > 0:
            leaf.refunded += units
            self._add_balance(proof.requester, proof.signer, units)
            self._emit("Refunded", proof.epoch_id, proof.index, proof.requester, proof.signer, units)
        return units

    def refund_from_bond(self, caller: str, proof: LeafProof, outcomes: Outcomes) -> int:
        """Refunds the rest of a leaf's charge, as far as the bond reaches."""
        refuse_if(caller != self.contests, "JobEscrow_NotContests", caller)
        status, _ = self.leaf_status(proof, outcomes)
        if status != LeafStatus.PAID:
            return 0
        leaf = self.leaves.setdefault((proof.epoch_id, proof.index), Leaf())
        units = self.bond.give_back(proof.amount_units - leaf.refunded)
        leaf.refunded += units
        self._add_balance(proof.requester, proof.signer, units)
        self._emit(
            "RefundedFromBond", proof.epoch_id, proof.index, proof.requester, proof.signer, units, self.bond.bond
        )
        return units

    # ---- views

    def epoch(self, epoch_id: int) -> Epoch:
        """An epoch; all zero if it was not posted."""
        return self.epochs.get(epoch_id, Epoch())

    def epoch_status(self, epoch_id: int) -> EpochStatus:
        """Open, posted, revealed, settled or stranded."""
        epoch = self.epoch(epoch_id)
        if epoch.posted_at == 0:
            return EpochStatus.OPEN
        if epoch.outcomes != 0:
            return EpochStatus.SETTLED
        if self.chain.now > epoch.posted_at + self.constants.settle_wait_s:
            return EpochStatus.STRANDED
        return EpochStatus.REVEALED if epoch_id < self.last_epoch else EpochStatus.POSTED

    def require_leaf(self, proof: LeafProof) -> None:
        """Refuses a leaf that is not under its epoch's root."""
        epoch = self.epoch(proof.epoch_id)
        leaf = leaf_hash(proof.requester, proof.signer, proof.operator_id, proof.amount_units, proof.digest)
        root = root_from_proof(leaf, proof.index, epoch.count, proof.siblings)
        refuse_if(root != epoch.root, "JobEscrow_LeafNotInEpoch", proof.epoch_id, proof.index)

    def leaf_status(self, proof: LeafProof, outcomes: Outcomes) -> tuple[LeafStatus, int]:
        """A leaf's status, and when its lane was charged (0: never)."""
        self.require_leaf(proof)
        return self._leaf_status(proof, outcomes)

    def _leaf_status(self, proof: LeafProof, outcomes: Outcomes) -> tuple[LeafStatus, int]:
        epoch, status = self.epoch(proof.epoch_id), self.epoch_status(proof.epoch_id)
        final = status in (EpochStatus.SETTLED, EpochStatus.STRANDED)
        refuse_if(not final, "JobEscrow_LeafNotFinal", proof.epoch_id, proof.index)
        own = self.leaves.get((proof.epoch_id, proof.index), Leaf())
        charged_at = own.paid_at
        if status == EpochStatus.SETTLED:
            size = (epoch.count + 7) // 8
            whole = len(outcomes.void_bits) == len(outcomes.skipped_bits) == size
            same = whole and outcomes_hash(outcomes.void_bits, outcomes.skipped_bits) == epoch.outcomes
            refuse_if(not same, "JobEscrow_WrongOutcomes", proof.epoch_id)
            if is_set(outcomes.void_bits, proof.index):
                return LeafStatus.VOID, 0
            if not is_set(outcomes.skipped_bits, proof.index):
                charged_at = epoch.posted_at
        if not charged_at:
            return (LeafStatus.CLOSED if own.closed else LeafStatus.UNCHARGED), 0
        whole = 0 < own.refunded == proof.amount_units
        return (LeafStatus.REFUNDED if whole else LeafStatus.PAID), charged_at

    def held(self) -> int:
        """Base units owed: balances, credits, fees, bond."""
        return (self._held_units() + self.bond.bond) * self.constants.unit_wei

    def donated(self) -> int:
        """Base units beyond what is owed."""
        return max(0, self.token.balance_of(self.address) - self.held())

    # ---- inside

    def _require_settler(self, caller: str) -> None:
        refuse_if(caller != self.settler, "JobEscrow_NotSettler", caller)

    def _require_settleable(self, epoch_id: int, epoch: Epoch) -> None:
        now = self.chain.now
        refuse_if(epoch.outcomes != 0, "JobEscrow_AlreadySettled", epoch_id)
        stranded_at = epoch.posted_at + self.constants.settle_wait_s
        refuse_if(now > stranded_at, "JobEscrow_EpochStranded", epoch_id, now, stranded_at)
        revealed_at = self.epoch(epoch_id + 1).posted_at
        checked_at = revealed_at + self.constants.check_wait_s
        runs = revealed_at == 0 or now < checked_at
        refuse_if(runs, "JobEscrow_CheckPeriodRuns", epoch_id, now, checked_at)

    def _credit(self, operator_id: int, gross: int) -> int:
        """Credits an operator without the fee, and returns the fee."""
        fee = gross * self.constants.fee_bps // ONE_BPS
        credit = self.credits.setdefault(operator_id, Credit())
        credit.earned = (credit.earned + gross - fee) & U64
        return fee

    def _take_credit(self, operator_id: int) -> int:
        credit = self.credits.setdefault(operator_id, Credit())
        units = (credit.earned - credit.claimed) & U64
        refuse_if(units == 0, "JobEscrow_NothingToClaim", operator_id)
        credit.claimed = credit.earned
        self.credits_units -= units
        return units

    def _book(self, charged: int, fees: int) -> None:
        """Books a charge from balances to credits and fees, within the charge window."""
        bond = SettlerBond(**vars(self.bond))
        bond.roll(self.chain.now, self.constants.charge_window_s)
        spent = bond.spent_previous + bond.spent_current
        refuse_if(spent + charged > bond.bond, "ChargeWindow_AboveBond", spent, charged, bond.bond)
        bond.spent_current += charged
        self.bond = bond
        self.balances_units -= charged
        self.credits_units += charged - fees
        self.fees_units += fees


def _leaves_of(groups: list[Group], operator_ids: list[int]) -> list[bytes]:
    return [
        leaf_hash(group.requester, group.signer, operator_ids[row.op_index], row.amount_units, row.digest)
        for group in groups
        for row in group.rows
    ]
