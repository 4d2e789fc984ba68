// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a stake can lose, to whom, and that the rest can be had.
/// Bounds: an account with any stake, of which any part is unbonding and any part locked, and an account that is
/// rewarded. No verifiers, so that no checkpoints are written. Time below 2^32 seconds.
contract StakesProof is Symbolic {
    address private constant OWNER = address(0x09E2);
    address private constant OTHER = address(0x07E2);
    uint32 private id;
    uint32 private otherId;

    function setUp() public override {
        super.setUp();
        vm.prank(OWNER);
        id = stakes.register(OWNER);
        vm.prank(OTHER);
        otherId = stakes.register(OTHER);
    }

    /// @notice Covers: A11. The court locks what it asks for, or all that is free, and never more than is there.
    function check_lock_isAtMostWhatIsThere(uint64 units, uint64 unbonding, uint64 first, uint64 second) public {
        given(units, unbonding, first);
        vm.prank(address(court));
        uint64 locked = stakes.lock(id, second);

        uint64 free = units - min(first, units);
        assert(locked == min(second, free));
        assert(stakes.operators(id).lockedUnits == min(first, units) + locked);
        assert(stakes.operators(id).lockedUnits <= units);
    }

    /// @notice Unlocking frees exactly what it names, and no more than is locked.
    function check_unlock_isExact(uint64 units, uint64 unbonding, uint64 lockedUnits, uint64 freed) public {
        IStakeManager.Operator memory before = given(units, unbonding, lockedUnits);
        vm.prank(address(court));
        (bool done,) = address(stakes).call(abi.encodeCall(stakes.unlock, (id, freed)));
        assert(done == (freed <= before.lockedUnits));
        IStakeManager.Operator memory now_ = stakes.operators(id);
        assert(now_.lockedUnits == before.lockedUnits - (done ? freed : 0));
        assert(now_.stakeUnits == before.stakeUnits && now_.unbondingUnits == before.unbondingUnits);
    }

    /// @notice Covers: A12. A slash works whenever it was locked, takes exactly its units and not one more, from stake
    /// first; and what it takes is refunded, rewarded or sunk, to the unit.
    function check_slash_takesWhatWasLockedAndConserves(
        uint64 units,
        uint64 unbonding,
        uint64 lockedUnits,
        uint64 slashed,
        uint64 refund,
        uint64 reward
    ) public {
        IStakeManager.Operator memory before = given(units, unbonding, lockedUnits);
        vm.assume(slashed <= before.lockedUnits);
        uint32[] memory rewarded = new uint32[](1);
        rewarded[0] = otherId;
        bytes memory data = abi.encodeCall(stakes.slash, (id, slashed, refund, rewarded, reward));
        vm.prank(address(court));
        (bool done,) = address(stakes).call(data);
        assert(done);

        IStakeManager.Operator memory now_ = stakes.operators(id);
        assert(now_.stakeUnits == before.stakeUnits - min(slashed, before.stakeUnits));
        assert(uint256(now_.stakeUnits) + now_.unbondingUnits + slashed == units);
        assert(now_.lockedUnits == before.lockedUnits - slashed);
        uint256 refunded = token.balanceOf(address(escrow));
        uint256 sunk = token.balanceOf(SINK);
        assert(refunded == min(refund, slashed) * UNIT);
        assert(stakes.stakeOf(otherId) == min(reward, slashed - min(refund, slashed)));
        assert(refunded + sunk + stakes.stakeOf(otherId) * UNIT == slashed * UNIT);
        assert(token.balanceOf(address(stakes)) == stakes.held());
    }

    /// @notice Covers: A10, A28. What is unbonding leaves after UNBOND, whoever else is dead; what is locked beyond the
    /// rest of the stake stays, to the unit.
    function check_withdrawStake_isAlwaysThereAfterUnbond(
        uint64 units,
        uint64 unbonding,
        uint64 lockedUnits,
        uint32 time,
        address to
    ) public {
        IStakeManager.Operator memory before = given(units, unbonding, lockedUnits);
        uint64 stays = before.lockedUnits - min(before.lockedUnits, before.stakeUnits);
        vm.assume(time >= before.unbondAt + UNBOND && before.unbondingUnits > stays);
        vm.assume(to != address(0) && to != address(stakes));
        vm.warp(time);
        vm.prank(OWNER);
        (bool done,) = address(stakes).call(abi.encodeCall(stakes.withdrawStake, (to)));
        assert(done);
        assert(token.balanceOf(to) == (before.unbondingUnits - stays) * UNIT);
        assert(stakes.operators(id).unbondingUnits == stays);
        assert(token.balanceOf(address(stakes)) == stakes.held());
    }

    /// @notice Covers: A10. Nothing leaves before UNBOND is over, and what is locked stays covered.
    function check_withdrawStake_neverEarlyAndNeverWhatIsLocked(
        uint64 units,
        uint64 unbonding,
        uint64 lockedUnits,
        uint32 time
    ) public {
        IStakeManager.Operator memory before = given(units, unbonding, lockedUnits);
        vm.warp(time);
        vm.prank(OWNER);
        (bool done,) = address(stakes).call(abi.encodeCall(stakes.withdrawStake, (OWNER)));
        vm.assume(done);
        IStakeManager.Operator memory now_ = stakes.operators(id);
        assert(time >= before.unbondAt + UNBOND);
        assert(uint256(now_.stakeUnits) + now_.unbondingUnits >= now_.lockedUnits);
    }

    /// @dev An account with `units`, of which `unbonding` are; and as much of them locked as there are.
    function given(uint64 units, uint64 unbonding, uint64 lockedUnits) private returns (IStakeManager.Operator memory) {
        vm.assume(unbonding <= units);
        token.mint(OWNER, units * UNIT);
        vm.startPrank(OWNER);
        token.approve(address(stakes), units * UNIT);
        stakes.stake(id, units);
        stakes.unbond(unbonding);
        vm.stopPrank();
        vm.prank(address(court));
        stakes.lock(id, lockedUnits);
        return stakes.operators(id);
    }

    function min(uint64 a, uint64 b) private pure returns (uint64) {
        return a < b ? a : b;
    }
}
