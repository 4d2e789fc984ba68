// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What the court can bind of a stake.
/// Bounds: the account of a node operator, in any state that the books' invariants leave: what it has is in the total,
/// what is locked is there, and all that is held is below 2^64 units.
contract StakesProof is Symbolic {
    uint32 private constant ID = 7;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(stakes));
    }

    /// @notice Covers: A11. The court locks what it asks for, or all that is free, and never more than is there.
    function check_lock_isAtMostWhatIsThere(uint64 units) public {
        IStakeManager.Operator memory before = given();
        uint64 free = before.stakeUnits + before.unbondingUnits - before.lockedUnits;
        vm.prank(address(court));
        uint64 locked = stakes.lock(ID, units);
        assert(locked == min(units, free));
        assert(stakes.operators(ID).lockedUnits == before.lockedUnits + locked);
        assert(stakes.operators(ID).stakeUnits == before.stakeUnits);
        assert(stakes.operators(ID).unbondingUnits == before.unbondingUnits);
    }

    /// @notice Unlocking frees exactly what it names, and is refused beyond what is locked.
    function check_unlock_isExact(uint64 units) public {
        IStakeManager.Operator memory before = given();
        vm.prank(address(court));
        (bool done,) = address(stakes).call(abi.encodeCall(stakes.unlock, (ID, units)));
        assert(done == (units <= before.lockedUnits));
        assert(stakes.operators(ID).lockedUnits == before.lockedUnits - (done ? units : 0));
    }

    function given() private view returns (IStakeManager.Operator memory operator) {
        operator = stakes.operators(ID);
        uint256 units = uint256(operator.stakeUnits) + operator.unbondingUnits;
        uint256 total = stakes.totalUnits();
        vm.assume(operator.hasNodeKeys && operator.lockedUnits <= units && units <= total);
        vm.assume(total + stakes.rewardsUnits() + stakes.sunkUnits() <= type(uint64).max);
    }

    function min(uint64 a, uint64 b) private pure returns (uint64) {
        return a < b ? a : b;
    }
}
