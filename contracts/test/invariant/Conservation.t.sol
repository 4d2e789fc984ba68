// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {vm} from "../utils/Vm.sol";
import {Actions} from "./Actions.sol";

/// @notice Invariants of SPEC section 12, listed in words in README.md beside this file. Checked after every action.
contract ConservationTest {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    string[18] private always = [
        "fundLane",
        "donate",
        "postRows",
        "postNothing",
        "settleOldest",
        "bond",
        "pauseAndRotate",
        "settleOne",
        "claim",
        "moveStake",
        "contest",
        "answer",
        "resolve",
        "refundDuplicate",
        "accuse",
        "rule",
        "equivocate",
        "wait"
    ];
    uint256 private constant FULL_RUN = 500;

    Actions private actions;

    function setUp() public {
        actions = new Actions();
        actions.setUp();
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[24] memory moves = [
            Actions.fundLane.selector,
            Actions.withdraw.selector,
            Actions.donate.selector,
            Actions.postRows.selector,
            Actions.postRows.selector,
            Actions.postNothing.selector,
            Actions.settleOldest.selector,
            Actions.settleOldest.selector,
            Actions.bond.selector,
            Actions.pauseAndRotate.selector,
            Actions.settleOne.selector,
            Actions.settleOne.selector,
            Actions.claim.selector,
            Actions.moveStake.selector,
            Actions.contest.selector,
            Actions.contest.selector,
            Actions.endContest.selector,
            Actions.refundDuplicate.selector,
            Actions.refundDuplicate.selector,
            Actions.accuse.selector,
            Actions.rule.selector,
            Actions.endContest.selector,
            Actions.equivocate.selector,
            Actions.wait.selector
        ];
        targets = new Selectors[](1);
        targets[0] = Selectors(address(actions), new bytes4[](moves.length));
        for (uint256 i = 0; i < moves.length; ++i) {
            targets[0].selectors[i] = moves[i];
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actions);
    }

    /// @notice Covers: A36, A35. What each contract holds is what it owes and what was donated, to the wei.
    function invariant_everythingHolds() external view {
        actions.assertBooks();
        vm.assertEq(actions.balancesOfLanes(), actions.totalBalances(), "balances add up");
        vm.assertEq(actions.chargedByLanes(), actions.chargedUnits(), "charged leaf by leaf");
        actions.assertChargedWithinCaps();
        actions.assertEachLeafOnce();
        vm.assertLe(actions.refundableUnits(), actions.bondUnits(), "refundable charges are within the bond");
        actions.assertStakesAnswerForCases();
    }

    /// @notice A run in which some action never did anything shows nothing about it. A failure that is replayed or shrunk
    /// is shorter than a run.
    function afterInvariant() external view {
        if (actions.turns() < FULL_RUN) return;
        string memory counts = "";
        bool all = true;
        for (uint256 i = 0; i < always.length; ++i) {
            uint256 times = actions.done(always[i]);
            counts = string.concat(counts, " ", always[i], " ", vm.toString(times));
            all = all && times > 0;
        }
        vm.assertTrue(all, string.concat("some move never did anything:", counts));
    }
}
