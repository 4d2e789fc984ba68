// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {EpochStatus, LeafProof, LeafStatus, OperatorCredit, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of Exits.tree. The backend is gone from `silence` on: what follows are calls of alice's, of the
/// operator's and its node's, of two verifiers' and a contester's, and everyone ends with exactly what is theirs.
contract ExitsTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    /// @dev What each has in its wallet at the end, in units.
    struct Left {
        uint256 alice;
        uint256 operator;
        uint256 contester;
        uint256 verifier; // each of the two
        uint256 treasury;
        uint256 sink;
        uint256 settlersBond; // stays: only the settler could have it sent to the treasury
    }

    uint64 private constant PENALTY = 3 * MAX_PRICE;
    uint64 private constant FEE = uint64(AMOUNT) / 10;

    address private contester = addressOf("contester");
    address private operatorOwner = addressOf("operator");
    address[2] private verifiers = [addressOf("verifier0"), addressOf("verifier1")];
    address[2] private verifierOwners = [addressOf("owner0"), addressOf("owner1")];
    LeafProof private leaf;
    Outcomes private outcomes;
    bool private nodeAnswers;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 2; ++i) {
            uint32 id = registerOperator(i == 0 ? "owner0" : "owner1", STAKE);
            vm.prank(governor);
            stakes.admitVerifier(id, verifiers[i]);
        }
        pay(contester, CONTEST_BOND);
        pass(12);
    }

    // ---------------------------------------------------------------- nothing on chain but the deposit

    /// @notice Covers: A29. Deposited, and never ordered.
    function test_deposited() public {
        silence();
        everybodyLeaves(untouched());
    }

    /// @notice Covers: A29. Ordered: the signature is worth nothing without a root.
    function test_ordered() public {
        sign("alice", contests.hashOrder(order));
        silence();
        everybodyLeaves(untouched());
    }

    /// @notice Covers: A29. Leased to the node, which stops when its lease ends.
    function test_leased() public {
        silence();
        pass(order.terms.deadline - time());
        everybodyLeaves(untouched());
    }

    /// @notice Covers: A29. Delivered and not rooted: the one thing that is lost, the node's work of an epoch (SPEC 13).
    function test_deliveredNotRooted() public {
        LeafProof memory unrooted = jobDraft().proofOf(1, 0, 0);
        silence();
        pass(SETTLE_WAIT + 1);
        bytes memory data = abi.encodeCall(escrow.settleOne, (unrooted, noOutcomes(), orderProof()));
        (bool taken,) = address(escrow).call(data);
        vm.assertFalse(taken);
        everybodyLeaves(untouched());
    }

    // ---------------------------------------------------------------- rooted

    /// @notice Covers: A29. Posted, its seed never revealed.
    function test_posted() public {
        postJob();
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Revealed, in the check period.
    function test_revealed() public {
        postJob();
        post(bytes32(0), 0);
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Stranded before anybody noticed.
    function test_stranded() public {
        postJob();
        pass(SETTLE_WAIT + 1);
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Settled, nothing drawn.
    function test_settled() public {
        settleJob();
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Settled, but the lane was skipped for want of a cap, which the node has in its order.
    function test_skipped() public {
        EpochBuilder.Draft memory draft = jobDraft();
        draft.groups[0].capProof = noCap();
        uint64 id = postAndSettle(draft);
        leaf = draft.proofOf(id, 0, 0);
        outcomes = Outcomes(draft.voidBits(), draft.groupBits(0));
        silence();
        everybodyLeaves(paid());
    }

    // ---------------------------------------------------------------- contested

    /// @notice Covers: A29, A54. Contested: the node shows order, commitment and output itself.
    function test_contested_nodeAnswers() public {
        settleJob();
        contest();
        nodeAnswers = true;
        silence();
        Left memory left = paid();
        (left.operator, left.contester) = (left.operator + CONTEST_BOND, 0);
        everybodyLeaves(left);
    }

    /// @notice Covers: A29, A54. Contested, and nobody answers: the dead settler's bond refunds alice.
    function test_contested_nobodyAnswers() public {
        settleJob();
        contest();
        silence();
        everybodyLeaves(refunded());
    }

    /// @notice Covers: A29. Contested, unanswered when the backend falls silent.
    function test_contestUnanswered() public {
        settleJob();
        contest();
        pass(ANSWER_WINDOW);
        silence();
        everybodyLeaves(refunded());
    }

    /// @notice Covers: A29. Contested, and nobody resolved it in time: the bond goes back, the charge stands.
    function test_contestOverdue() public {
        settleJob();
        contest();
        pass(ANSWER_WINDOW + RESOLVE_WINDOW);
        silence();
        everybodyLeaves(paid());
    }

    // ---------------------------------------------------------------- accused

    /// @notice Covers: A29. A case open by one verifier, which nobody joins: dismissed.
    function test_caseOpen() public {
        settleJob();
        openCase();
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Both answers committed, none opened, the epoch not settled: the leaf is closed, never charged.
    function test_answersCommitted() public {
        postJob();
        openCase();
        commit();
        silence();
        everybodyLeaves(guiltyUncharged());
    }

    /// @notice Covers: A29. Both answers committed after the charge: alice's money comes out of the node's stake.
    function test_answersCommitted_afterTheCharge() public {
        settleJob();
        openCase();
        commit();
        silence();
        everybodyLeaves(guiltyCharged());
    }

    /// @notice Covers: A29. Ruled and not executed.
    function test_ruled() public {
        settleJob();
        openCase();
        commit();
        revealBoth();
        pass(REVEAL_WINDOW);
        vm.assertEq(uint256(court.ruling(caseId())), uint256(ISlashingCourt.Ruling.NODE_GUILTY));
        silence();
        everybodyLeaves(guiltyCharged());
    }

    /// @notice Covers: A29. Contested and accused at once: alice gets the charge back once.
    function test_contestedAndAccused() public {
        settleJob();
        contest();
        openCase();
        commit();
        silence();
        everybodyLeaves(guiltyCharged()); // the case ends first, so the settler's bond has nothing to refund any more
    }

    // ---------------------------------------------------------------- on the way out

    /// @notice Covers: A29. Half of the stake was unbonding.
    function test_unbonding() public {
        settleJob();
        vm.prank(operatorOwner);
        stakes.unbond(STAKE / 2);
        pass(UNBOND / 2);
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. Notice was given, and is not mature.
    function test_noticeGiven() public {
        settleJob();
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE / 2);
        silence();
        everybodyLeaves(paid());
    }

    /// @notice Covers: A29. A matured notice expired unused: another one is given.
    function test_noticeExpired() public {
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE + NOTICE_LIFE);
        silence();
        everybodyLeaves(untouched());
    }

    /// @notice Covers: A29. The settler was taking its bond out: it stays, since only the settler could finish.
    function test_settlerUnbonding() public {
        settleJob();
        vm.prank(settler);
        escrow.unbondSettler();
        silence();
        everybodyLeaves(paid());
    }

    // ---------------------------------------------------------------- what is left in the end

    function untouched() private pure returns (Left memory) {
        return Left(FUNDS, STAKE, CONTEST_BOND, STAKE, 0, 0, BOND);
    }

    function paid() private pure returns (Left memory left) {
        left = untouched();
        left.alice -= AMOUNT;
        left.operator += AMOUNT - FEE;
        left.treasury = FEE;
    }

    function refunded() private pure returns (Left memory left) {
        left = paid();
        left.alice += AMOUNT;
        left.settlersBond -= AMOUNT;
    }

    function guiltyUncharged() private pure returns (Left memory left) {
        left = untouched();
        left.operator -= PENALTY;
        left.verifier += CASE_REWARD;
        left.sink = PENALTY - 2 * CASE_REWARD;
    }

    function guiltyCharged() private pure returns (Left memory left) {
        left = guiltyUncharged();
        left.sink -= AMOUNT;
        left.operator += AMOUNT - FEE;
        left.treasury = FEE;
    }

    // ---------------------------------------------------------------- leaving

    /// @dev From here on the backend does nothing; before it does nothing, the guardian may have paused.
    function silence() internal virtual {}

    function everybodyLeaves(Left memory expected) private {
        endCase();
        endContest();
        payLeaf();
        draw();
        withdrawLane();
        withdrawStakes();

        vm.assertEq(token.balanceOf(alice), expected.alice * UNIT, "alice");
        vm.assertEq(token.balanceOf(operatorOwner), expected.operator * UNIT, "the operator");
        vm.assertEq(token.balanceOf(contester), expected.contester * UNIT, "the contester");
        vm.assertEq(token.balanceOf(verifierOwners[0]), expected.verifier * UNIT, "the first verifier");
        vm.assertEq(token.balanceOf(verifierOwners[1]), expected.verifier * UNIT, "the second verifier");
        vm.assertEq(token.balanceOf(treasury), expected.treasury * UNIT, "the treasury");
        vm.assertEq(token.balanceOf(sink), expected.sink * UNIT, "the sink");
        vm.assertEq(token.balanceOf(address(escrow)), expected.settlersBond * UNIT, "the escrow");
        vm.assertEq(token.balanceOf(address(stakes)), 0, "the stakes");
        vm.assertEq(token.balanceOf(address(contests)), 0, "the contests");
        assertConserved();
    }

    function endContest() private {
        if (leaf.epochId == 0) return;
        IContests.ContestStatus status = contests.contestStatus(leaf.epochId, 0);
        if (status == IContests.ContestStatus.OVERDUE) contests.lapse(leaf.epochId, 0);
        if (status == IContests.ContestStatus.OPEN && nodeAnswers) {
            answer();
            return;
        }
        if (status == IContests.ContestStatus.OPEN) pass(ANSWER_WINDOW);
        bool refundable = status == IContests.ContestStatus.OPEN || status == IContests.ContestStatus.UNANSWERED;
        if (refundable) contests.resolve(leaf, outcomes);
    }

    function answer() private {
        (bytes32 r, bytes32 vs) = (orderProof().r, orderProof().vs);
        bytes memory nodeSignature = sign("node", leaf.digest);
        vm.prank(operatorOwner);
        contests.answer(leaf, order, r, vs, commitment, nodeSignature, output);
    }

    function endCase() private {
        if (court.cases(caseId()).snapshotBlock == 0) return;
        if (court.ruling(caseId()) == ISlashingCourt.Ruling.OPEN) {
            if (time() < court.cases(caseId()).commitEnds) vm.warp(court.cases(caseId()).commitEnds);
            bool openable = time() < court.cases(caseId()).commitEnds + REVEAL_WINDOW;
            if (openable) revealBoth();
            pass(REVEAL_WINDOW);
        }
        waitUntilFinal();
        bytes32 id = caseId();
        court.execute(leaf, outcomes, new uint32[](0)); // by somebody who thinks of nobody else
        uint32[] memory ids = new uint32[](1);
        for (uint256 i = 0; i < 2; ++i) {
            ids[0] = stakes.operatorIdOf(verifierOwners[i]);
            vm.prank(verifierOwners[i]);
            court.settleVotes(id, ids);
        }
        stakes.sweep();
    }

    function waitUntilFinal() private {
        EpochStatus status = escrow.epochStatus(leaf.epochId);
        bool waits = status == EpochStatus.POSTED || status == EpochStatus.REVEALED;
        if (waits) pass(SETTLE_WAIT + 1);
    }

    function payLeaf() private {
        if (leaf.epochId == 0) return;
        waitUntilFinal();
        (LeafStatus status,) = escrow.leafStatus(leaf, outcomes);
        if (status == LeafStatus.UNCHARGED) escrow.settleOne(leaf, outcomes, orderProof());
    }

    function draw() private {
        OperatorCredit memory credit = escrow.operators(operator);
        if (credit.earnedUnits > credit.claimedUnits) escrow.claim(operator);
        escrow.withdrawFees();
    }

    function withdrawLane() private {
        uint256 noticeAt = lane(alice, alice).noticeAt;
        vm.startPrank(alice);
        if (noticeAt == 0 || time() >= noticeAt + NOTICE + NOTICE_LIFE) {
            escrow.giveNotice(alice);
            noticeAt = time();
        }
        if (time() < noticeAt + NOTICE) vm.warp(noticeAt + NOTICE);
        escrow.withdraw(alice, lane(alice, alice).balanceUnits, alice);
        vm.stopPrank();
    }

    function withdrawStakes() private {
        address[3] memory owners = [operatorOwner, verifierOwners[0], verifierOwners[1]];
        for (uint256 i = 0; i < 3; ++i) {
            uint64 staked = stakes.stakeOf(stakes.operatorIdOf(owners[i]));
            vm.prank(owners[i]);
            stakes.unbond(staked);
        }
        pass(UNBOND);
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(owners[i]);
            stakes.withdrawStake(owners[i]);
        }
    }

    // ---------------------------------------------------------------- stages

    function postJob() private {
        EpochBuilder.Draft memory draft = jobDraft();
        leaf = draft.proofOf(post(draft), 0, 0);
        pass(12);
    }

    function settleJob() private {
        (leaf, outcomes) = charge(jobDraft());
    }

    function contest() private {
        vm.prank(contester);
        contests.contest(leaf, outcomes);
    }

    function openCase() private {
        bytes memory nodeSignature = sign("node", leaf.digest);
        bytes32 answerCommit = hidden(0);
        vm.prank(verifiers[0]);
        court.openCase(leaf, order, commitment, nodeSignature, answerCommit);
    }

    function commit() private {
        (bytes32 id, bytes32 answerCommit) = (caseId(), hidden(1));
        vm.prank(verifiers[1]);
        court.commitVerdict(id, answerCommit);
        vm.warp(court.cases(caseId()).commitEnds);
    }

    /// @dev Whoever committed opens.
    function revealBoth() private {
        for (uint256 i = 0; i < 2; ++i) {
            ISlashingCourt.Vote memory vote = court.votes(caseId(), stakes.operatorIdOf(verifierOwners[i]));
            if (vote.state == ISlashingCourt.VoteState.NONE) continue;
            vm.prank(verifiers[i]);
            court.reveal(leaf, commitment, keccak256("the true trace"), commitment.outputRoot, 40);
        }
    }

    function hidden(uint256 i) private view returns (bytes32) {
        bytes32 trace = keccak256("the true trace");
        return TypedData.answerCommit(trace, commitment.outputRoot, 40, leaf.digest, verifiers[i]);
    }

    function caseId() private view returns (bytes32) {
        return court.caseIdOf(leaf);
    }
}

/// @notice The same exits, with the guardian's pause as its last deed.
contract PausedExitsTest is ExitsTest {
    function silence() internal override {
        vm.prank(guardian);
        escrow.pause();
    }

    /// @notice What a pause does stop, so that the tests above are known to run in one.
    function test_pauseIsOn() public {
        silence();
        pay(alice, 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_IsPaused.selector));
        escrow.deposit(alice, alice, 1);
    }
}
