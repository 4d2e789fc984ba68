// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A62. Who commits a lie and sees by the others' openings that it loses saves nothing by silence.
contract SilenceTest is Trial {
    uint64 private constant EXPOSURE = 3e8;

    function setUp() public override {
        super.setUp();
        order.terms.maxPrice = EXPOSURE / 3;
        order.terms.salt = 5;
    }

    /// @notice Covers: A62. An honest node is accused; three of four stand up for it. The accuser loses the same,
    /// opened or silent.
    function test_settleVotes_silenceCostsTheAccuserWhatItsLieDoes() public {
        nodeAnswered(right);
        bytes32 caseId = openCase(0, wrong);
        for (uint256 i = 1; i < 4; ++i) {
            answer(caseId, i, right);
        }
        toReveal(caseId);
        for (uint256 i = 1; i < 4; ++i) {
            open(i, right);
        }
        uint256 state = vm.snapshotState();
        for (uint256 silent = 0; silent < 2; ++silent) {
            if (silent == 0) open(0, wrong);
            pass(REVEAL_WINDOW);
            vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.NODE_UPHELD);
            settleJob();
            executeWith(everyone());
            vm.assertEq(worth(verifiers[0]), STAKE - EXPOSURE, silent == 0 ? "opened" : "silent");
            vm.assertEq(worth(operator), STAKE, "the node loses nothing");
            assertSunk(EXPOSURE);
            vm.revertToState(state);
        }
    }

    /// @notice Covers: A62. A cheat is convicted; its friend committed to the lie and keeps silent. It loses its
    /// exposure all the same.
    function test_settleVotes_silenceCostsTheFriendOfAConvictWhatItsLieDoes() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        answer(caseId, 3, wrong);
        toReveal(caseId);
        for (uint256 i = 0; i < 3; ++i) {
            open(i, right);
        }
        settleJob();
        execute(caseId);
        vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.NODE_GUILTY);
        vm.assertEq(worth(verifiers[3]), STAKE - EXPOSURE);
        vm.assertEq(worth(verifiers[0]), STAKE + CASE_REWARD);
        assertNothingLocked();
    }

    /// @notice Covers: A62. Where nothing is upheld, a lie costs nothing and silence CASE_REWARD: never less than the
    /// lie.
    function test_settleVotes_silenceCostsAReward_whereNothingIsUpheld() public {
        nodeAnswered(right);
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        toReveal(caseId);
        open(1, right);
        open(2, right);
        settleJob();
        execute(caseId);
        vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.DISMISSED);
        vm.assertEq(worth(verifiers[0]), STAKE - CASE_REWARD);
        assertSunk(CASE_REWARD);
    }
}
