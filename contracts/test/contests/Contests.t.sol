// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {PackedWords} from "src/libraries/PackedWords.sol";
import {CapProof, Commitment, LeafProof, LeafStatus, Order, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {Vm, vm} from "../utils/Vm.sol";

/// @notice Branches of Contests.tree. One charged job of alice's; anybody contests, anybody answers.
contract ContestsTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    address private anybody = addressOf("anybody");
    address private helper = addressOf("helper");
    LeafProof private leaf;
    Outcomes private outcomes;

    function setUp() public override {
        super.setUp();
        pay(anybody, 10 * CONTEST_BOND);
        pay(alice, 10 * CONTEST_BOND);
    }

    // ---------------------------------------------------------------- contest

    /// @notice Covers: A31.
    function test_contest_takesTheBondAndIsOpen() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        expectStatus(IContests.ContestStatus.OPEN);
        vm.assertEq(contests.contests(leaf.epochId, 0).contester, anybody);
        vm.assertEq(contests.held(), CONTEST_BOND * UNIT);
        assertConserved();
    }

    function test_contest_refusesALeafThatWasNotCharged() public {
        EpochBuilder.Draft memory draft = jobDraft();
        draft.groups[0].rows[0].isVoid = true;
        (leaf, outcomes) = charge(draft);
        expectNotCharged(LeafStatus.VOID);

        commitment = deliver("second");
        draft = jobDraft();
        draft.groups[0].capProof = noCap();
        uint64 id = postAndSettle(draft);
        (leaf, outcomes) = (draft.proofOf(id, 0, 0), Outcomes(draft.voidBits(), draft.groupBits(0)));
        expectNotCharged(LeafStatus.UNCHARGED);
        vm.prank(address(court));
        escrow.refund(leaf, outcomes, AMOUNT);
        expectNotCharged(LeafStatus.CLOSED);

        commitment = deliver("third");
        settleJob(AMOUNT);
        vm.prank(address(court));
        escrow.refund(leaf, outcomes, AMOUNT);
        expectNotCharged(LeafStatus.REFUNDED);
    }

    function test_contest_refusesTheTreasurysLane() public {
        fund(treasury, treasury, FUNDS);
        (leaf, outcomes) = charge(draftOf("treasury", operator, AMOUNT));
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_TreasuryLane.selector, leaf.epochId, 0));
        contests.contest(leaf, outcomes);
    }

    /// @notice Covers: A40. To the second, from the post of the epoch that paid it.
    function testFuzz_contest_endsWithItsWindow(uint256 waited) public {
        waited %= 2 * CONTEST_WINDOW;
        settleJob(AMOUNT);
        uint256 postedAt = escrow.epochs(leaf.epochId).postedAt;
        if (postedAt + waited > time()) vm.warp(postedAt + waited);
        bool late = time() >= postedAt + CONTEST_WINDOW;
        if (late) {
            vm.expectRevert(
                abi.encodeWithSelector(IContests.Contests_TooLate.selector, time(), postedAt + CONTEST_WINDOW)
            );
        }
        contestBy(anybody);
        expectStatus(late ? IContests.ContestStatus.NONE : IContests.ContestStatus.OPEN);
    }

    function test_contest_ofALeafPaidOneByOneCountsFromItsPayment() public {
        EpochBuilder.Draft memory draft = jobDraft();
        uint64 id = post(draft);
        pass(10 * CONTEST_WINDOW);
        (leaf, outcomes) = (draft.proofOf(id, 0, 0), noOutcomes());
        escrow.settleOne(leaf, outcomes, orderProof());
        uint256 paidAt = time();
        pass(CONTEST_WINDOW - 1);
        uint256 state = vm.snapshotState();
        contestBy(anybody);
        vm.revertToState(state);
        pass(1);
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_TooLate.selector, time(), paidAt + CONTEST_WINDOW));
        contests.contest(leaf, outcomes);
    }

    function test_contest_onceALeafEver() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        expectContestedBefore();
        answer();
        expectContestedBefore();
    }

    // ---------------------------------------------------------------- answer

    /// @notice Covers: A31, A54. Who contests what was delivered has the output delivered, and pays for it.
    function test_answer_paysTheBondToTheAnswererAndCloses() public {
        settleJob(AMOUNT);
        uint256 before = token.balanceOf(anybody);
        contestBy(anybody);
        answer();
        expectStatus(IContests.ContestStatus.ANSWERED);
        vm.assertEq(token.balanceOf(helper), CONTEST_BOND * UNIT);
        vm.assertEq(token.balanceOf(anybody), before - CONTEST_BOND * UNIT);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND);
        assertConserved();
    }

    function test_answer_onlyWhileOpen() public {
        settleJob(AMOUNT);
        expectRefusedAnswer(wrongStatus(IContests.ContestStatus.NONE, IContests.ContestStatus.OPEN));
        contestBy(anybody);
        pass(ANSWER_WINDOW);
        expectRefusedAnswer(wrongStatus(IContests.ContestStatus.UNANSWERED, IContests.ContestStatus.OPEN));
    }

    function test_answer_refusesAnotherCommitmentOrderOrRequester() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        Commitment memory delivered = commitment;
        commitment.units = 41;
        expectPartlyRefusedAnswer(Evidence.Evidence_WrongCommitment.selector);
        commitment = delivered;
        order.terms.salt = 1;
        expectPartlyRefusedAnswer(Evidence.Evidence_WrongOrder.selector);

        order.requester = addressOf("bob");
        commitment = deliver("for bob");
        settleJob(AMOUNT);
        contestBy(anybody);
        expectPartlyRefusedAnswer(Evidence.Evidence_WrongRequester.selector);
    }

    /// @notice Covers: A54. An order that the lane's signer did not sign is no order.
    function test_answer_refusesAnOrderThatTheSignerDidNotSign() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        CapProof memory forged = orderProof();
        forged.r = bytes32(uint256(forged.r) ^ 1);
        vm.expectPartialRevert(IContests.Contests_NotSignedBySigner.selector);
        contests.answer(leaf, order, forged.r, forged.vs, commitment, nodeSignature, output);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_NotSignedBySigner.selector, address(0), alice));
        contests.answer(leaf, order, 0, 0, commitment, nodeSignature, output);
    }

    /// @notice Covers: A54.
    function test_answer_refusesACommitmentThatTheNodeDidNotSign() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        CapProof memory proof = orderProof();
        bytes memory forged = sign("settler", contests.hashCommitment(commitment));
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_NotSignedByNode.selector, node, settler, operator));
        contests.answer(leaf, order, proof.r, proof.vs, commitment, forged, output);
    }

    /// @notice Covers: A25. A charge above what the order's price comes to cannot be answered: it comes back from the
    /// settler's bond, all of it.
    function testFuzz_answer_refusesAnotherAmountThanThePrice(uint48 amount) public {
        amount = 1 + amount % 2e6;
        vm.assume(amount != AMOUNT);
        settleJob(amount);
        contestBy(anybody);
        expectRefusedAnswer(abi.encodeWithSelector(IContests.Contests_WrongAmount.selector, amount, AMOUNT));
        pass(ANSWER_WINDOW);
        contests.resolve(leaf, outcomes);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - amount);
        assertConserved();
    }

    function test_answer_takesThePriceUpToTheMaximumWithoutOverflow() public {
        order.terms.fixedPrice = type(uint64).max;
        order.terms.unitPrice = type(uint64).max;
        commitment = deliver("dear");
        settleJob(uint48(MAX_PRICE));
        contestBy(anybody);
        answer();
        expectStatus(IContests.ContestStatus.ANSWERED);
    }

    function test_answer_refusesAnEpochPostedAfterTheDeadline() public {
        order.terms.deadline = uint40(time());
        commitment = deliver("late");
        pass(escrow.EPOCH_MAX() + 1);
        uint256 latest = order.terms.deadline + escrow.EPOCH_MAX();
        settleJob(AMOUNT);
        contestBy(anybody);
        expectRefusedAnswer(
            abi.encodeWithSelector(
                IContests.Contests_PastDeadline.selector, escrow.epochs(leaf.epochId).postedAt, latest
            )
        );
    }

    /// @notice Covers: A54.
    function test_answer_refusesAnotherOutput() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        output = hex"00000001000000020000000700000003";
        expectRefusedAnswer(
            abi.encodeWithSelector(IContests.Contests_WrongOutput.selector, outputRoot(), commitment.outputRoot)
        );
    }

    /// @notice A stranger cannot have a restricted output put on chain by contesting it; its requester can.
    function test_answer_showsARestrictedOutputToItsRequesterOnly() public {
        order.terms.visibility = 1;
        commitment = deliver("restricted");
        settleJob(AMOUNT);
        uint256 state = vm.snapshotState();
        contestBy(anybody);
        output = "";
        answer();
        expectStatus(IContests.ContestStatus.ANSWERED);

        vm.revertToState(state);
        contestBy(alice);
        output = "";
        expectPartlyRefusedAnswer(PackedWords.PackedWords_NotPacked.selector);
        output = hex"00000001000000020000000700000002";
        answer();
    }

    // ---------------------------------------------------------------- where the output is shown

    /// @notice A transaction of the answerer's own shows the output in its data: it costs nothing to say it again.
    function test_answer_directlyIsNotSaidAgain() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        vm.assertEq(deliveries(helper, helper), 0);
        expectStatus(IContests.ContestStatus.ANSWERED);
    }

    /// @notice Behind another contract no transaction's data need show it, so the log does.
    function test_answer_throughAContractIsDelivered() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        uint256 state = vm.snapshotState();
        vm.assertEq(deliveries(helper, anybody), 1);
        vm.revertToState(state);
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        vm.prank(helper, anybody);
        vm.expectEmit(address(contests));
        emit IContests.Delivered(leaf.epochId, 0, output);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, nodeSignature, output);
    }

    /// @notice What need not be shown is not checked, so nothing is logged as delivered, whatever the answerer gave.
    function test_answer_ofARestrictedOutputToAStrangerIsNotDelivered() public {
        order.terms.visibility = 1;
        commitment = deliver("restricted");
        settleJob(AMOUNT);
        contestBy(anybody);
        output = hex"00000001000000020000000700000003";
        vm.assertEq(deliveries(helper, anybody), 0);
        expectStatus(IContests.ContestStatus.ANSWERED);
    }

    function deliveries(address caller, address origin) private returns (uint256 count) {
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        vm.recordLogs();
        vm.prank(caller, origin);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, nodeSignature, output);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IContests.Delivered.selector) ++count;
        }
    }

    // ---------------------------------------------------------------- resolve, lapse

    /// @notice Covers: A54. A charge that nobody can account for comes back from the settler's bond.
    function test_resolve_refundsFromTheSettlersBond() public {
        settleJob(AMOUNT);
        uint256 before = token.balanceOf(anybody);
        contestBy(anybody);
        pass(ANSWER_WINDOW);
        expectStatus(IContests.ContestStatus.UNANSWERED);
        contests.resolve(leaf, outcomes);
        expectStatus(IContests.ContestStatus.REFUNDED);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - AMOUNT);
        vm.assertEq(token.balanceOf(anybody), before);
        (LeafStatus status,) = escrow.leafStatus(leaf, outcomes);
        vm.assertTrue(status == LeafStatus.REFUNDED);
        assertConserved();
    }

    function testFuzz_resolveAndLapse_eachInItsTime(uint256 waited) public {
        waited %= 2 * (ANSWER_WINDOW + RESOLVE_WINDOW);
        settleJob(AMOUNT);
        contestBy(anybody);
        pass(waited);
        uint256 state = vm.snapshotState();
        bool resolvable = waited >= ANSWER_WINDOW && waited < ANSWER_WINDOW + RESOLVE_WINDOW;
        if (!resolvable) vm.expectPartialRevert(IContests.Contests_WrongStatus.selector);
        contests.resolve(leaf, outcomes);
        vm.revertToState(state);
        bool overdue = waited >= ANSWER_WINDOW + RESOLVE_WINDOW;
        if (!overdue) vm.expectPartialRevert(IContests.Contests_WrongStatus.selector);
        contests.lapse(leaf.epochId, 0);
        vm.assertEq(contests.openContests(), overdue ? 0 : 1);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
        assertConserved();
    }

    function test_lapse_returnsTheBondAndRefundsNothing() public {
        settleJob(AMOUNT);
        uint256 before = token.balanceOf(anybody);
        contestBy(anybody);
        pass(ANSWER_WINDOW + RESOLVE_WINDOW);
        expectStatus(IContests.ContestStatus.OVERDUE);
        contests.lapse(leaf.epochId, 0);
        expectStatus(IContests.ContestStatus.LAPSED);
        vm.assertEq(token.balanceOf(anybody), before);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND);
        vm.expectRevert(wrongStatus(IContests.ContestStatus.LAPSED, IContests.ContestStatus.OVERDUE));
        contests.lapse(leaf.epochId, 0);
    }

    /// @notice A charge comes back once: what the court gave back, a contest does not give back again.
    function test_resolve_refundsNothingThatTheCourtRefunded() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        vm.prank(address(court));
        vm.assertEq(escrow.refund(leaf, outcomes, AMOUNT), AMOUNT);
        pass(ANSWER_WINDOW);
        contests.resolve(leaf, outcomes);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(contests.openContests(), 0);
    }

    /// @notice Nor the other way round.
    function test_refund_refundsNothingThatAContestRefunded() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        pass(ANSWER_WINDOW);
        contests.resolve(leaf, outcomes);
        vm.prank(address(court));
        vm.assertEq(escrow.refund(leaf, outcomes, AMOUNT), 0);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
    }

    /// @notice Covers: A34. A contester that the token blocks holds nobody's refund up.
    function test_resolve_survivesAContesterThatTheTokenRefuses() public {
        settleJob(AMOUNT);
        contestBy(anybody);
        pass(ANSWER_WINDOW);
        bytes memory transfer = abi.encodeCall(token.transfer, (anybody, CONTEST_BOND * UNIT));
        vm.mockCallRevert(address(token), transfer, "blocked");
        contests.resolve(leaf, outcomes);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(contests.donated(), CONTEST_BOND * UNIT);
    }

    // ---------------------------------------------------------------- helpers

    function settleJob(uint48 amount) private {
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft(commitment, amount));
        (leaf, outcomes) = (proof, settled);
    }

    function contestBy(address who) private {
        vm.prank(who);
        contests.contest(leaf, outcomes);
    }

    function answer() private {
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        vm.prank(helper);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, nodeSignature, output);
    }

    function expectRefusedAnswer(bytes memory refusal) private {
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        vm.expectRevert(refusal);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, nodeSignature, output);
    }

    function expectPartlyRefusedAnswer(bytes4 selector) private {
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        vm.expectPartialRevert(selector);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, nodeSignature, output);
    }

    function expectNotCharged(LeafStatus status) private {
        vm.prank(anybody);
        vm.expectRevert(
            abi.encodeWithSelector(IContests.Contests_NotCharged.selector, leaf.epochId, leaf.index, status)
        );
        contests.contest(leaf, outcomes);
    }

    function expectContestedBefore() private {
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(IContests.Contests_AlreadyContested.selector, leaf.epochId, 0));
        contests.contest(leaf, outcomes);
    }

    function expectStatus(IContests.ContestStatus expected) private view {
        vm.assertEq(uint256(contests.contestStatus(leaf.epochId, 0)), uint256(expected));
    }

    function wrongStatus(IContests.ContestStatus status, IContests.ContestStatus needed)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IContests.Contests_WrongStatus.selector, status, needed);
    }
}
