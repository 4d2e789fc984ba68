// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {LeafProof, LeafStatus, Outcomes} from "src/libraries/Types.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A63. The settler's own stranger contests a charge that cannot be answered, and lets it lapse, so
/// that the requester's contest came too late. A lapse bars nobody.
contract LapseTest is Job {
    address private sock = addressOf("sock");
    LeafProof private leaf;
    Outcomes private outcomes;

    function setUp() public override {
        super.setUp();
        pay(sock, 2 * CONTEST_BOND);
        pay(alice, CONTEST_BOND);
        // not the price ordered: no answer is possible
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft(commitment, AMOUNT + 1));
        (leaf, outcomes) = (proof, settled);
    }

    /// @notice Covers: A63.
    function test_contest_byTheRequesterAfterAStrangersLapse() public {
        lapseBySock();
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        IContests.Contest memory kept = contests.contests(leaf.epochId, 0);
        vm.assertEq(kept.contester, alice);
        vm.assertEq(kept.contestedAt, time());
        vm.assertTrue(contests.contestStatus(leaf.epochId, 0) == IContests.ContestStatus.OPEN);
        vm.assertEq(contests.openContests(), 1);
        pass(ANSWER_WINDOW);
        contests.resolve(leaf, outcomes);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS, "the charge came back");
        vm.assertEq(token.balanceOf(alice), CONTEST_BOND * UNIT, "and the bond");
        vm.assertEq(contests.openContests(), 0);
        (LeafStatus status,) = escrow.leafStatus(leaf, outcomes);
        vm.assertTrue(status == LeafStatus.REFUNDED);
        assertConserved();
    }

    /// @notice Covers: A63. It opens no time beyond the window: what may be refunded stays what the bond covers.
    function test_contest_afterALapseEndsWithTheWindowToo() public {
        lapseBySock();
        vm.warp(escrow.epochs(leaf.epochId).postedAt + CONTEST_WINDOW);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_TooLate.selector, time(), time()));
        contests.contest(leaf, outcomes);
    }

    /// @notice Covers: A63. Only a lapse does: while a contest is open, unanswered or overdue there is one, and an
    /// answer or a refund ends it.
    function test_contest_oneAtATime() public {
        vm.prank(sock);
        contests.contest(leaf, outcomes);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(IContests.Contests_AlreadyContested.selector, leaf.epochId, 0));
            contests.contest(leaf, outcomes);
            pass(i == 0 ? ANSWER_WINDOW : RESOLVE_WINDOW);
        }
    }

    function lapseBySock() private {
        vm.startPrank(sock);
        contests.contest(leaf, outcomes);
        pass(ANSWER_WINDOW + RESOLVE_WINDOW);
        contests.lapse(leaf.epochId, 0);
        vm.stopPrank();
        vm.assertTrue(time() < escrow.epochs(leaf.epochId).postedAt + CONTEST_WINDOW, "the requester's time still runs");
    }
}
