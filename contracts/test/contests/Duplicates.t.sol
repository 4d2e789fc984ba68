// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {Commitment, LeafProof, LeafStatus, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of Contests.tree on charges that are one too many. Covers: A16.
contract DuplicatesTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    LeafProof[] private proofs;
    Outcomes[] private outcomes;
    Commitment[] private commitments;

    /// @notice One order, two charges of two commitments to it: the later one comes back, from the settler's bond.
    function test_contestDuplicate_refundsTheSecondCharge() public {
        chargeAgain("first");
        chargeAgain("second");
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - 2 * AMOUNT);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - AMOUNT);
        (LeafStatus status,) = escrow.leafStatus(proofs[1], outcomes[1]);
        vm.assertTrue(status == LeafStatus.REFUNDED);
        assertConserved();

        vm.expectPartialRevert(IContests.Contests_NotCharged.selector);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
    }

    /// @notice The very same commitment under two roots is charged twice as well.
    function test_contestDuplicate_refundsTheSameCommitmentRootedTwice() public {
        chargeAgain("first");
        chargeAgain("first");
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
    }

    /// @notice Covers: A37.
    function test_contestDuplicate_allowsTheOrdersCopies() public {
        order.terms.copies = 2;
        chargeAgain("first");
        chargeAgain("second");
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_WrongNumberOfLeaves.selector, 2, 3));
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        chargeAgain("third");
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - 2 * AMOUNT);
    }

    /// @notice A leaf of an older epoch that was paid one by one, after the other: it is the one charged last.
    function test_contestDuplicate_refundsTheOneChargedLast() public {
        EpochBuilder.Draft memory stranded = jobDraft(deliver("first"), AMOUNT);
        uint64 id = post(stranded);
        pass(SETTLE_WAIT + 1);
        proofs.push(stranded.proofOf(id, 0, 0));
        outcomes.push(noOutcomes());
        commitments.push(deliver("first"));
        chargeAgain("second");
        pass(CONTEST_WINDOW);
        escrow.settleOne(proofs[0], noOutcomes(), orderProof());

        contests.contestDuplicate(order, proofs, outcomes, commitments);
        (LeafStatus status,) = escrow.leafStatus(proofs[0], outcomes[0]);
        vm.assertTrue(status == LeafStatus.REFUNDED);
    }

    function test_contestDuplicate_refusesALeafTwiceOrOutOfOrder() public {
        chargeAgain("first");
        chargeAgain("second");
        (LeafProof memory second, uint64 firstEpoch) = (proofs[1], proofs[0].epochId);
        proofs[1] = proofs[0];
        commitments[1] = commitments[0];
        outcomes[1] = outcomes[0];
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_NotAscending.selector, firstEpoch, 0));
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        proofs[0] = second;
        commitments[0] = deliver("second");
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_NotAscending.selector, firstEpoch, 0));
        contests.contestDuplicate(order, proofs, outcomes, commitments);
    }

    function test_contestDuplicate_refusesLeavesOfOtherOrders() public {
        chargeAgain("first");
        order.terms.salt = 1;
        chargeAgain("second");
        vm.expectPartialRevert(Evidence.Evidence_WrongOrder.selector);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        commitments[0] = commitments[1];
        vm.expectPartialRevert(Evidence.Evidence_WrongCommitment.selector);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
    }

    function test_contestDuplicate_endsWithItsWindow() public {
        chargeAgain("first");
        chargeAgain("second");
        uint256 endsAt = escrow.epochs(proofs[1].epochId).postedAt + CONTEST_WINDOW;
        vm.warp(endsAt);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_TooLate.selector, endsAt, endsAt));
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        vm.warp(endsAt - 1);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
    }

    function chargeAgain(string memory trace) private {
        commitment = deliver(trace);
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft());
        proofs.push(proof);
        outcomes.push(settled);
        commitments.push(commitment);
    }
}
