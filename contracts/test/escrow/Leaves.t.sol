// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {Merkle} from "src/libraries/Merkle.sol";
import {UnitToken} from "src/libraries/UnitToken.sol";
import {LeafProof, LeafStatus, Outcomes, SkipReason} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of JobEscrow.tree on single leaves, claims and refunds.
contract LeavesTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    address private alice = addressOf("alice");
    address private bob = addressOf("bob");
    uint32 private operator;

    function setUp() public override {
        super.setUp();
        operator = registerOperator("operator", 0);
        fund(alice, alice, 1000);
        fund(bob, bob, 1000);
    }

    // ---------------------------------------------------------------- settleOne: stranded

    /// @notice Covers: A29. Posted, then the settler is gone: the node is paid leaf by leaf, claims, and the
    /// requester takes the rest; stake leaves too. Nobody but the users calls anything.
    function test_settlerDead_everybodyGetsOut() public {
        address owner = addressOf("operator");
        pay(owner, STAKE);
        vm.prank(owner);
        stakes.stake(operator, STAKE);
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        pass(SETTLE_WAIT + 1);

        for (uint256 i = 0; i < 3; ++i) {
            escrow.settleOne(draft.proofOf(id, 0, i), noOutcomes(), draft.groups[0].capProof);
        }
        escrow.settleOne(draft.proofOf(id, 1, 0), noOutcomes(), draft.groups[1].capProof);
        escrow.claim(operator);
        vm.assertEq(token.balanceOf(owner), (60 + 20) * UNIT * 9 / 10);

        vm.prank(owner);
        stakes.unbond(STAKE);
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        vm.prank(alice);
        escrow.withdraw(alice, 940, alice);
        vm.assertEq(token.balanceOf(alice), 940 * UNIT);
        pass(UNBOND);
        vm.prank(owner);
        stakes.withdrawStake(owner);
        assertTotals(980, 0, 8);
        assertConserved();
    }

    /// @notice Covers: A29. Even with nothing posted a requester leaves with all of its money.
    function test_settlerDeadBeforePosting_requesterLeavesWhole() public {
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.withdraw(alice, 1000, alice);
        vm.assertEq(token.balanceOf(alice), 1000 * UNIT);
    }

    function test_settleOne_refusesAnEpochThatIsNotFinal() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        pass(SETTLE_WAIT);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotFinal.selector, id, 0));
        escrow.settleOne(proof, noOutcomes(), draft.groups[0].capProof);
    }

    /// @notice Covers: A16. A leaf is paid once, one by one.
    function test_settleOne_once() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 2);
        pass(SETTLE_WAIT + 1);
        escrow.settleOne(proof, noOutcomes(), draft.groups[0].capProof);
        vm.assertEq(escrow.leaves(id, 2).paidAt, time());
        vm.assertEq(escrow.leaves(id, 1).paidAt, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotPayable.selector, id, 2, LeafStatus.PAID));
        escrow.settleOne(proof, noOutcomes(), draft.groups[0].capProof);
    }

    /// @notice Covers: A24. What is paid one by one is a leaf of its epoch, and not what somebody says.
    function test_settleOne_refusesALeafOfNoEpoch() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 2);
        proof.amountUnits -= 1;
        pass(SETTLE_WAIT + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotInEpoch.selector, id, 2));
        escrow.settleOne(proof, noOutcomes(), draft.groups[0].capProof);
    }

    function test_settleOne_refusesALeafItsLaneDoesNotCover() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 2);
        pass(SETTLE_WAIT + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IJobEscrow.JobEscrow_LaneDoesNotCover.selector, alice, alice, SkipReason.CAP)
        );
        escrow.settleOne(proof, noOutcomes(), noCap());
    }

    function test_settleOne_countsInTheChargeWindow() public {
        vm.startPrank(settler);
        escrow.unbondSettler();
        vm.stopPrank();
        pass(UNBOND);
        vm.prank(settler);
        escrow.withdrawBond();
        pay(settler, 25);
        vm.prank(settler);
        escrow.bondSettler(25);

        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        pass(SETTLE_WAIT + 1);
        escrow.settleOne(draft.proofOf(id, 0, 0), noOutcomes(), draft.groups[0].capProof);
        LeafProof memory proof = draft.proofOf(id, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(ChargeWindow.ChargeWindow_AboveBond.selector, 10, 20, 25));
        escrow.settleOne(proof, noOutcomes(), draft.groups[0].capProof);
    }

    // ---------------------------------------------------------------- settleOne: skipped

    /// @notice Covers: A14, A16. A skipped lane's rows are paid once it covers them; void and paid ones never.
    function test_settleOne_paysSkippedRowsOnly() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        draft.groups[0].rows[1].isVoid = true;
        draft.groups[0].capProof = noCap();
        uint64 id = postAndSettle(draft);
        vm.assertEq(lane(alice, alice).chargedUnits, 0);
        Outcomes memory outcomes = Outcomes(draft.voidBits(), draft.groupBits(0));

        escrow.settleOne(draft.proofOf(id, 0, 0), outcomes, signCap(keyOf("alice"), alice, 60));
        vm.assertEq(lane(alice, alice).chargedUnits, 10);
        expectNotPayable(draft.proofOf(id, 0, 1), outcomes, LeafStatus.VOID);
        expectNotPayable(draft.proofOf(id, 1, 0), outcomes, LeafStatus.PAID);
        assertConserved();
    }

    function test_settleOne_refusesOtherOutcomesThanSettled() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = postAndSettle(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        Outcomes[3] memory forged;
        forged[0] = Outcomes(draft.voidBits(), draft.groupBits(0));
        forged[1] = noOutcomes();
        forged[2] = Outcomes("", abi.encodePacked(draft.voidBits(), draft.voidBits()));
        for (uint256 i = 0; i < forged.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_WrongOutcomes.selector, id));
            escrow.settleOne(proof, forged[i], draft.groups[0].capProof);
        }
    }

    function expectNotPayable(LeafProof memory proof, Outcomes memory outcomes, LeafStatus status) private {
        vm.expectRevert(
            abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotPayable.selector, proof.epochId, proof.index, status)
        );
        escrow.settleOne(proof, outcomes, noCap());
    }

    // ---------------------------------------------------------------- proofs

    function testFuzz_requireLeaf_takesEveryLeafAndNoOther(uint256 seed, uint256 count, uint256 index) public {
        EpochBuilder.Draft memory draft = randomRows(seed, 1 + count % 70);
        index %= draft.count();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, index);
        escrow.requireLeaf(proof);
        proof.amountUnits ^= 1;
        vm.expectPartialRevert(IJobEscrow.JobEscrow_LeafNotInEpoch.selector);
        escrow.requireLeaf(proof);
    }

    /// @notice Covers: A24. An inner node has 64 bytes behind it and a leaf 96: the bytes of one are never the other's,
    /// and a proof one level short, as an inner node would need it, is refused by its length.
    function test_requireLeaf_refusesAnInnerNode() public {
        EpochBuilder.Draft memory draft = randomRows(7, 4);
        uint64 id = post(draft);
        bytes32[] memory leaves = draft.leaves();
        bytes32 inner = keccak256(abi.encode(leaves[0], leaves[1]));
        bytes32[] memory oneLevel = new bytes32[](1);
        oneLevel[0] = keccak256(abi.encode(leaves[2], leaves[3]));
        vm.assertEq(keccak256(abi.encode(inner, oneLevel[0])), draft.root());

        // The two children as the leaf's first two words, the third word missing: nothing hashes to the inner node.
        vm.assertTrue(inner != Merkle.leaf(leaves[0], 0, 0, leaves[1]));
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        proof.digest = leaves[1];
        proof.siblings = oneLevel;
        vm.expectRevert(abi.encodeWithSelector(Merkle.Merkle_WrongProofLength.selector, 2, 1));
        escrow.requireLeaf(proof);
    }

    /// @notice Covers: A24.
    function test_requireLeaf_refusesAPositionOutsideAndAProofTooLong() public {
        EpochBuilder.Draft memory draft = randomRows(7, 5);
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 4);
        vm.assertEq(proof.siblings.length, 1);
        escrow.requireLeaf(proof);
        proof.siblings = new bytes32[](2);
        vm.expectRevert(abi.encodeWithSelector(Merkle.Merkle_WrongProofLength.selector, 1, 2));
        escrow.requireLeaf(proof);
        proof.index = 5;
        vm.expectRevert(abi.encodeWithSelector(Merkle.Merkle_IndexOutOfRange.selector, 5, 5));
        escrow.requireLeaf(proof);
    }

    // ---------------------------------------------------------------- claim

    /// @notice Covers: A15. However claims and epochs interleave, an operator gets its credit once.
    function testFuzz_claim_paysEachCreditOnce(uint256 seed) public {
        uint256 earned = 0;
        for (uint256 i = 0; i < 12; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            if (random % 2 == 0) {
                uint48 amount = uint48(1 + random % 80);
                if (amount > lane(alice, alice).balanceUnits) continue;
                postAndSettle(draftOf("alice", operator, amount));
                earned += amount - uint256(amount) / 10;
            } else {
                bool due = earned * UNIT > token.balanceOf(addressOf("operator"));
                (bool paid,) = address(escrow).call(abi.encodeCall(escrow.claim, (operator)));
                vm.assertTrue(paid == due);
                vm.assertEq(token.balanceOf(addressOf("operator")), earned * UNIT);
            }
        }
        assertConserved();
    }

    function test_claim_refusesNothingAndNobody() public {
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NothingToClaim.selector, operator));
        escrow.claim(operator);
        postAndSettle(draftOf("alice", 77, 10));
        vm.expectRevert(abi.encodeWithSelector(UnitToken.UnitToken_ZeroReceiver.selector));
        escrow.claim(77);
    }

    // ---------------------------------------------------------------- refund

    /// @notice Covers: A28.
    function test_refund_isTheCourtsOnly() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = postAndSettle(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotCourt.selector, address(this)));
        escrow.refund(proof, noOutcomes(), 1);
    }

    function test_refund_givesBackAPaidLeafUpToTheLimit() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = postAndSettle(draft);
        Outcomes memory outcomes = Outcomes(draft.voidBits(), new bytes(1));
        vm.assertEq(refund(draft.proofOf(id, 0, 2), outcomes, 100), 30);
        vm.assertEq(refund(draft.proofOf(id, 0, 1), outcomes, 5), 5);
        vm.assertEq(lane(alice, alice).balanceUnits, 1000 - 60 + 35);
        vm.assertEq(lane(alice, alice).chargedUnits, 60);
    }

    function test_refund_givesNothingForAVoidLeaf() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        draft.groups[0].rows[0].isVoid = true;
        uint64 id = postAndSettle(draft);
        vm.assertEq(refund(draft.proofOf(id, 0, 0), Outcomes(draft.voidBits(), new bytes(1)), 100), 0);
    }

    /// @notice An unpaid leaf of a stranded epoch is closed: its node cannot come back for it.
    function test_refund_closesALeafThatWaits() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        pass(SETTLE_WAIT + 1);
        LeafProof memory unpaid = draft.proofOf(id, 0, 0);
        vm.assertEq(refund(unpaid, noOutcomes(), 100), 0);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotPayable.selector, id, 0, LeafStatus.CLOSED));
        escrow.settleOne(unpaid, noOutcomes(), draft.groups[0].capProof);

        LeafProof memory paid = draft.proofOf(id, 0, 1);
        escrow.settleOne(paid, noOutcomes(), draft.groups[0].capProof);
        vm.assertEq(refund(paid, noOutcomes(), 100), 20);
    }

    function test_refund_waitsUntilTheLeafIsFinal() public {
        EpochBuilder.Draft memory draft = mixedDraft();
        uint64 id = post(draft);
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_LeafNotFinal.selector);
        refund(proof, noOutcomes(), 1);
    }

    // ---------------------------------------------------------------- helpers

    function refund(LeafProof memory proof, Outcomes memory outcomes, uint64 limit) private returns (uint64) {
        vm.prank(address(court));
        return escrow.refund(proof, outcomes, limit);
    }

    /// @dev Alice: rows of 10, 20 and 30 units; bob: one of 20.
    function mixedDraft() private view returns (EpochBuilder.Draft memory draft) {
        draft.operatorIds = new uint32[](1);
        draft.operatorIds[0] = operator;
        draft.groups = new EpochBuilder.Group[](2);
        draft.groups[0] = groupOf("alice", 60);
        draft.groups[0].rows = new EpochBuilder.Row[](3);
        for (uint48 i = 0; i < 3; ++i) {
            draft.groups[0].rows[i] = EpochBuilder.Row(0, 10 * (i + 1), keccak256(abi.encode(i)), false);
        }
        draft.groups[1] = groupOf("bob", 20);
    }

    function randomRows(uint256 seed, uint256 count) private view returns (EpochBuilder.Draft memory draft) {
        draft = draftOf("alice", operator, 0);
        draft.groups[0].rows = new EpochBuilder.Row[](count);
        for (uint256 i = 0; i < count; ++i) {
            bytes32 digest = keccak256(abi.encode(seed, i));
            draft.groups[0].rows[i] = EpochBuilder.Row(0, uint48(uint256(digest)), digest, false);
        }
    }
}
