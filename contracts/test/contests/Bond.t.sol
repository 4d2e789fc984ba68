// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {LeafProof, Outcomes, SettlerBond} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of JobEscrow.tree on what a refund out of the settler's bond leaves of it: the charge that came back no
/// longer counts, so what counts is always covered. Covers: A27.
contract BondTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    struct Charge {
        LeafProof leaf;
        Outcomes outcomes;
        uint256 postedAt;
        bool refunded;
    }

    SettlerBond private books;
    Charge[] private charges;

    // ---------------------------------------------------------------- a settler that answers for everything

    /// @notice Its bond was all charged on and all refunded: nothing is left, nothing counts, and an epoch in which nobody
    /// is charged can still be settled. One in which a unit is charged cannot.
    function test_settler_withoutABondSettlesVoidRows() public {
        shrinkBond(AMOUNT);
        chargeAndRefund("first");
        SettlerBond memory left = escrow.settlerBond();
        vm.assertEq(left.bondUnits, 0);
        vm.assertEq(left.spentPreviousUnits + left.spentCurrentUnits, 0);

        commitment = deliver("second");
        EpochBuilder.Draft memory draft = jobDraft();
        uint64 id = post(draft);
        reveal();
        vm.prank(settler, settler);
        vm.expectRevert(abi.encodeWithSelector(ChargeWindow.ChargeWindow_AboveBond.selector, 0, AMOUNT, 0));
        escrow.settleEpoch(id, draft.pack());
        draft.groups[0].rows[0].isVoid = true;
        settle(id, draft.pack());
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        assertConserved();
    }

    /// @notice Also while other charges stand on what is left of the bond, all of it.
    function test_settler_whoseBondIsAllChargedOnSettlesVoidRows() public {
        shrinkBond(2 * AMOUNT);
        chargeAndRefund("first");
        commitment = deliver("second");
        charge(jobDraft());
        vm.assertEq(escrow.settlerBond().bondUnits, AMOUNT);
        commitment = deliver("third");
        EpochBuilder.Draft memory draft = jobDraft();
        draft.groups[0].rows[0].isVoid = true;
        postAndSettle(draft);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
    }

    /// @notice What counts no longer is no longer in the bond's way out either; what still counts is.
    function test_withdrawBond_onceNothingCounts() public {
        EpochBuilder.Draft[2] memory drafts = [jobDraft(), jobDraft(deliver("second"), 7)];
        uint64[2] memory ids = [post(drafts[0]), post(drafts[1])];
        vm.prank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        for (uint256 i = 0; i < 2; ++i) {
            escrow.settleOne(drafts[i].proofOf(ids[i], 0, 0), noOutcomes(), orderProof());
        }
        refundFromBond(drafts[0].proofOf(ids[0], 0, 0), noOutcomes());
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_ChargedLately.selector, 7));
        escrow.withdrawBond();
        refundFromBond(drafts[1].proofOf(ids[1], 0, 0), noOutcomes());
        vm.prank(settler);
        escrow.withdrawBond();
        vm.assertEq(token.balanceOf(treasury), (BOND - AMOUNT - 7) * UNIT);
        assertConserved();
    }

    // ---------------------------------------------------------------- whatever comes in which order

    /// @notice Covers: A27. Charges, refunds and time in any order: what may still be refunded, and what counts, is always
    /// within the bond that is left, so every refund is in full.
    function testFuzz_bond_coversWhatIsOutstanding(uint256 seed) public {
        uint64 bond = 100;
        shrinkBond(bond);
        for (uint256 i = 0; i < 16; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            pass((random >> 16) % 4 == 0 ? (random >> 24) % 700 : (random >> 24) % 40);
            if (random % 3 == 0 && charges.length > 0) bond -= refundOne(random >> 64);
            else chargeOne(i, uint48(1 + (random >> 64) % 60));
            SettlerBond memory kept = escrow.settlerBond();
            vm.assertEq(kept.bondUnits, bond, "the bond");
            vm.assertLe(outstanding(), bond, "what may still be refunded");
            vm.assertLe(uint256(kept.spentPreviousUnits) + kept.spentCurrentUnits, bond, "what counts");
            assertConserved();
        }
    }

    /// @notice Covers: A27. A charge that came back frees its own bucket, the older one: the newer charge still counts when
    /// the older bucket is forgotten, and has the rest of the bond to itself.
    function test_refund_ofTheOlderChargeLeavesTheNewerCounted() public {
        shrinkBond(100);
        chargeOne(0, 1);
        uint256 bucketStart = escrow.settlerBond().bucketStart;
        chargeOneAt(bucketStart + 500, 1, 60);
        chargeOneAt(bucketStart + 860, 2, 39);
        vm.assertEq(refundOne(1), 60);
        vm.assertEq(escrow.settlerBond().spentPreviousUnits, 1);
        vm.assertEq(escrow.settlerBond().spentCurrentUnits, 39);

        vm.warp(bucketStart + 2 * CHARGE_WINDOW);
        vm.assertEq(outstanding(), 39);
        chargeOne(3, 2);
        vm.assertEq(charges.length, 3, "39 and 2 of 40");
        chargeOne(4, 1);
        vm.assertEq(charges.length, 4, "39 and 1 of 40");
        vm.assertEq(escrow.settlerBond().bondUnits, 40);
    }

    /// @dev Posted then; the charge stands on the bond half a minute later.
    function chargeOneAt(uint256 postedAt, uint256 i, uint48 amount) private {
        vm.warp(postedAt);
        chargeOne(i, amount);
    }

    /// @dev Charged if the bond allows for it.
    function chargeOne(uint256 i, uint48 amount) private {
        commitment = deliver(vm.toString(i));
        EpochBuilder.Draft memory draft = jobDraft(commitment, amount);
        uint64 id = post(draft);
        uint256 postedAt = time();
        reveal();
        vm.prank(settler, settler);
        (bool settled, bytes memory refusal) =
            address(escrow).call(abi.encodeCall(escrow.settleEpoch, (id, draft.pack())));
        if (!settled) {
            vm.assertEq(uint32(bytes4(refusal)), uint32(ChargeWindow.ChargeWindow_AboveBond.selector));
            return;
        }
        Charge storage made = charges.push();
        made.leaf = draft.proofOf(id, 0, 0);
        made.outcomes = outcomesOf(draft);
        made.postedAt = postedAt;
    }

    /// @dev One that may still come back, as contests may have it: within CHARGE_WINDOW of its post.
    function refundOne(uint256 seed) private returns (uint64) {
        Charge storage one = charges[seed % charges.length];
        if (one.refunded || time() >= one.postedAt + CHARGE_WINDOW) return 0;
        one.refunded = true;
        uint64 units = refundFromBond(one.leaf, one.outcomes);
        vm.assertEq(units, one.leaf.amountUnits, "in full");
        return units;
    }

    function outstanding() private view returns (uint256 units) {
        for (uint256 i = 0; i < charges.length; ++i) {
            Charge storage one = charges[i];
            if (!one.refunded && time() < one.postedAt + CHARGE_WINDOW) units += one.leaf.amountUnits;
        }
    }

    // ---------------------------------------------------------------- the books alone

    /// @notice Of any books in which the charges are covered: the bond and what counts go down by the same, the older
    /// bucket first, none below nothing, and the charges stay covered.
    function testFuzz_giveBack_takesFromTheOlderBucketFirst(SettlerBond memory before, uint64 units) public {
        before.spentPreviousUnits %= before.bondUnits / 2 + 1;
        before.spentCurrentUnits %= before.bondUnits / 2 + 1;
        books = before;
        uint64 taken = ChargeWindow.giveBack(books, units);
        vm.assertEq(taken, units < before.bondUnits ? units : before.bondUnits);
        vm.assertEq(books.bondUnits, before.bondUnits - taken);
        uint64 older = taken < before.spentPreviousUnits ? taken : before.spentPreviousUnits;
        uint64 newer = taken - older < before.spentCurrentUnits ? taken - older : before.spentCurrentUnits;
        vm.assertEq(books.spentPreviousUnits, before.spentPreviousUnits - older);
        vm.assertEq(books.spentCurrentUnits, before.spentCurrentUnits - newer);
        uint256 counts = uint256(books.spentPreviousUnits) + books.spentCurrentUnits;
        vm.assertLe(counts, books.bondUnits, "still covered");
        vm.assertEq(books.bucketStart, before.bucketStart);
        vm.assertEq(books.unbondAt, before.unbondAt);
    }

    // ---------------------------------------------------------------- helpers

    function chargeAndRefund(string memory trace) private {
        commitment = deliver(trace);
        (LeafProof memory leaf, Outcomes memory outcomes) = charge(jobDraft());
        refundFromBond(leaf, outcomes);
    }

    function refundFromBond(LeafProof memory leaf, Outcomes memory outcomes) private returns (uint64) {
        vm.prank(address(contests));
        return escrow.refundFromBond(leaf, outcomes);
    }

    function shrinkBond(uint64 units) private {
        vm.startPrank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        escrow.withdrawBond();
        vm.stopPrank();
        order.terms.deadline = uint40(time() + 100);
        commitment = deliver("first");
        pay(settler, units);
        vm.prank(settler);
        escrow.bondSettler(units);
    }
}
