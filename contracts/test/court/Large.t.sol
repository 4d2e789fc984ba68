// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Network} from "../utils/Network.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice A network whose reward for a case needs more than 32 bits.
abstract contract LargeReward is Network {
    uint64 internal constant LARGE = 2 ** 32 + 5;

    function setUp() public virtual override {
        super.setUp();
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address courtAt = vm.computeCreateAddress(address(this), nonce + 2);
        address contestsAt = vm.computeCreateAddress(address(this), nonce + 3);
        IStakeManager.Params memory ofStakes = stakeParams(escrowAt, courtAt);
        ISlashingCourt.Params memory ofCourt = courtParams(escrowAt, stakesAt);
        (ofStakes.minVerifierStake, ofCourt.caseReward) = (LARGE, LARGE);
        escrow = IJobEscrow(vm.deployCode("JobEscrow.sol", abi.encode(escrowParams(stakesAt, courtAt, contestsAt))));
        stakes = IStakeManager(vm.deployCode("StakeManager.sol", abi.encode(ofStakes)));
        court = ISlashingCourt(vm.deployCode("SlashingCourt.sol", abi.encode(ofCourt)));
        contests = IContests(vm.deployCode("Contests.sol", abi.encode(contestParams(escrowAt, stakesAt))));
    }
}

/// @notice Numbers that outgrow the narrow types beside those they are kept in.
contract LargeTest is LargeReward, Trial {
    function setUp() public override(LargeReward, Trial) {
        super.setUp();
    }

    function test_execute_takesALargeRewardWhole() public {
        bytes32 caseId = openCase(0, wrong);
        pass(COMMIT_WINDOW + REVEAL_WINDOW);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE - LARGE);
    }

    function test_openCase_keepsALateBlockWhole() public {
        vm.roll(2 ** 33);
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        vm.assertEq(court.cases(caseId).snapshotBlock, vm.getBlockNumber());
    }
}
