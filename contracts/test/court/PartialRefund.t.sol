// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LeafStatus, Outcomes} from "src/libraries/Types.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A64. A refund of a part of a charge closes nothing: what is owed stays owed, by court and by
/// contest.
contract PartialRefundTest is Trial {
    /// @notice Covers: A64. A settler charges an order that alice never signed. Two verifiers of its own convict an
    /// accomplice that has one unit left, so the court gives back one unit. The contest gives back the rest, out of the
    /// settler's bond.
    function test_resolve_givesBackWhatTheCourtLeft() public {
        leaveOnly(operator, 1);
        chargedWithoutAnOrder();
        pay(alice, CONTEST_BOND);
        Outcomes memory settled = outcomes();
        vm.prank(alice);
        contests.contest(leaf, settled);
        convictBy(2);
        executeWith(everyone());
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT + 1, "the court's unit");
        expectStatus(LeafStatus.PAID);

        vm.warp(contests.contests(leaf.epochId, leaf.index).contestedAt + ANSWER_WINDOW);
        contests.resolve(leaf, settled);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS, "all of it");
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - (AMOUNT - 1), "the rest, of the settler's bond");
        expectStatus(LeafStatus.REFUNDED);
        assertConserved();
    }

    /// @notice Covers: A64. The same the other way round: who contests after the court's refund is not too late.
    function test_contest_isOpenToWhatTheCourtLeft() public {
        leaveOnly(operator, 1);
        chargedWithoutAnOrder();
        convictBy(2);
        executeWith(everyone());
        pay(alice, CONTEST_BOND);
        Outcomes memory settled = outcomes();
        vm.prank(alice);
        contests.contest(leaf, settled);
        pass(ANSWER_WINDOW);
        contests.resolve(leaf, settled);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        expectStatus(LeafStatus.REFUNDED);
        assertConserved();
    }

    /// @notice Covers: A64. However a charge comes back, in what parts and by whom: never more than it was, and to the
    /// unit.
    function testFuzz_refunds_addUpToTheCharge(uint64 first, uint64 second, bool contestBetween) public {
        settleJob();
        (first, second) = (first % (2 * AMOUNT), second % (2 * AMOUNT));
        Outcomes memory settled = outcomes();
        uint64 back = refundByCourt(settled, first);
        vm.assertEq(back, min(first, AMOUNT), "as far as the limit reaches");
        if (contestBetween) {
            vm.prank(address(contests));
            vm.assertEq(escrow.refundFromBond(leaf, settled), AMOUNT - back, "the rest");
            back = AMOUNT;
        }
        uint64 more = refundByCourt(settled, second);
        vm.assertEq(more, min(second, AMOUNT - back), "what is left, as far as the limit reaches");
        back += more;
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT + back);
        vm.assertEq(escrow.leaves(epochId, 0).refundedUnits, back);
        expectStatus(back == AMOUNT ? LeafStatus.REFUNDED : LeafStatus.PAID);
    }

    // ---------------------------------------------------------------- steps

    function chargedWithoutAnOrder() private {
        order.terms.salt = 78; // nobody signed it
        nodeAnswered(right);
        settleJob();
    }

    /// @dev So many verifiers say that the node's answer was another, and nobody opens anything else.
    function convictBy(uint256 openers) private {
        bytes32 caseId = openCase(0, wrong);
        for (uint256 i = 1; i < openers; ++i) {
            answer(caseId, i, wrong);
        }
        toReveal(caseId);
        for (uint256 i = 0; i < openers; ++i) {
            open(i, wrong);
        }
        pass(REVEAL_WINDOW);
    }

    function refundByCourt(Outcomes memory settled, uint64 limit) private returns (uint64 units) {
        token.mint(address(escrow), uint256(min(limit, AMOUNT)) * UNIT); // the slash that comes with it
        vm.prank(address(court));
        return escrow.refund(leaf, settled, limit);
    }

    function expectStatus(LeafStatus expected) private view {
        (LeafStatus status,) = escrow.leafStatus(leaf, outcomes());
        vm.assertTrue(status == expected);
    }

    function min(uint64 a, uint64 b) private pure returns (uint64) {
        return a < b ? a : b;
    }
}
