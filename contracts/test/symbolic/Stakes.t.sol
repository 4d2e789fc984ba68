// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What the court can bind of a stake.
/// Bounds: the account of a node operator, in any state that the books' invariants leave: what it has is in the total, and
/// all that is held is below 2^64 units. Of cases that ask for 2^64 units each fewer than 2^15 are open.
contract StakesProof is Symbolic {
    uint32 private constant ID = 7;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(stakes));
    }

    /// @notice Covers: A11, A61. The court locks all that a case asks for, whatever is there or locked before it.
    function check_lock_isAllOfIt(uint64 units) public {
        IStakeManager.Operator memory before = given();
        vm.prank(address(court));
        (bool done,) = address(stakes).call(abi.encodeCall(stakes.lock, (ID, units)));
        assert(done);
        assert(stakes.operators(ID).lockedUnits == before.lockedUnits + units);
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
        vm.assume(operator.hasNodeKeys && operator.lockedUnits < 2 ** 79 && units <= total);
        vm.assume(total + stakes.rewardsUnits() + stakes.sunkUnits() <= type(uint64).max);
    }
}
