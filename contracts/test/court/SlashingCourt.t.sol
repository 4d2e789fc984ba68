// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, LeafProof, Order, Outcomes, Terms} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of SlashingCourt.tree. One job of alice's by a node, four verifiers of equal stake.
contract SlashingCourtTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    struct Answer {
        bytes32 traceHash;
        bytes32 outputHash;
        uint32 units;
    }

    uint64 private constant MAX_PRICE = 1e6;
    uint64 private constant PENALTY = 3 * MAX_PRICE;
    uint48 private constant AMOUNT = 400_000;

    address private alice = addressOf("alice");
    address private node = addressOf("node");
    uint32 private operator;
    uint32[4] private verifiers;
    uint64 private epochId;
    Order private order;
    Commitment private commitment;
    Answer private right = Answer(keccak256("trace"), keccak256("output"), 40);
    Answer private wrong = Answer(keccak256("another trace"), keccak256("output"), 40);

    function setUp() public override {
        super.setUp();
        operator = registerOperator("operator", STAKE);
        bytes memory signature = sign("node", stakes.hashNodeKey(addressOf("operator"), node));
        vm.prank(addressOf("operator"));
        stakes.addNodeKey(node, signature);
        for (uint256 i = 0; i < 4; ++i) {
            verifiers[i] = registerOperator(string.concat("owner", vm.toString(i)), STAKE);
            vm.prank(governor);
            stakes.admitVerifier(verifiers[i], key(i));
        }
        fund(alice, alice, 1e9);
        order.requester = alice;
        order.spendCap = 1e9;
        order.terms.comparator = 1;
        order.terms.maxPrice = MAX_PRICE;
        commit(right);
        epochId = post(draft());
        pass(12);
    }

    // ---------------------------------------------------------------- rulings

    /// @notice Covers: A12. One liar against a majority: it loses what it locked, the node nothing.
    function test_lyingVerifier_losesItsStakeAndTheNodeNothing() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        toReveal(caseId);
        open(caseId, 0, wrong);
        open(caseId, 1, right);
        open(caseId, 2, right);
        // Two of four are no majority; three are.
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE);

        nodeAnswered(right);
        caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        answer(caseId, 3, right);
        toReveal(caseId);
        for (uint256 i = 1; i < 4; ++i) {
            open(caseId, i, right);
        }
        open(caseId, 0, wrong);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_UPHELD);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE - PENALTY);
        vm.assertEq(stakes.stakeOf(operator), STAKE);
        vm.assertEq(token.balanceOf(sink), PENALTY * UNIT);
        assertNothingLocked();
        assertConserved();
    }

    /// @notice A majority against the node: alice gets back what she paid, each who opened the upheld answer its
    /// reward, the sink the rest.
    function test_majorityAgainstTheNode_isGuilty() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        toReveal(caseId);
        for (uint256 i = 0; i < 3; ++i) {
            open(caseId, i, right);
        }
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
        reveal();
        settle(epochId, draft().pack());
        vm.assertEq(lane(alice, alice).balanceUnits, 1e9 - AMOUNT);

        execute(caseId);
        vm.assertEq(lane(alice, alice).balanceUnits, 1e9);
        vm.assertEq(stakes.stakeOf(operator), STAKE - PENALTY);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(stakes.stakeOf(verifiers[i]), STAKE + CASE_REWARD);
        }
        vm.assertEq(token.balanceOf(sink), (PENALTY - AMOUNT - 3 * CASE_REWARD) * UNIT);
        assertNothingLocked();
        assertConserved();
    }

    /// @notice Guilty iff trace, output or units differ. Covers: A55.
    function test_anyDifference_isGuilty() public {
        Answer[3] memory spoofed = [right, right, right];
        spoofed[0].traceHash = keccak256("spoofed");
        spoofed[1].outputHash = keccak256("spoofed");
        spoofed[2].units = 200 * right.units;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 state = vm.snapshotState();
            nodeAnswered(spoofed[i]);
            bytes32 caseId = openCase(0, right);
            answer(caseId, 1, right);
            toReveal(caseId);
            open(caseId, 0, right);
            open(caseId, 1, right);
            expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
            vm.revertToState(state);
        }
    }

    /// @notice Covers: A12. Two that agree suffice while nobody appeals or opens another answer; one alone never.
    function test_unappealed_twoThatAgreeConvict() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        answer(caseId, 2, wrong);
        toReveal(caseId);
        open(caseId, 0, right);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        open(caseId, 1, right);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
        open(caseId, 2, wrong);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
    }

    /// @notice Covers: A04, A12. After an appeal two of four convict nobody; a majority does.
    function test_appealed_onlyAMajorityConvicts() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        pass(COMMIT_WINDOW - 1);
        vm.prank(node);
        court.appeal(caseId);
        vm.prank(addressOf("operator"));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyAppealed.selector, caseId));
        court.appeal(caseId);
        pass(1);
        answer(caseId, 2, right);
        toReveal(caseId);
        open(caseId, 0, right);
        open(caseId, 1, right);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        open(caseId, 2, right);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
    }

    /// @notice Covers: A12. Half is not more than half, whatever was opened; only a node's own answer or another by more
    /// is upheld.
    function testFuzz_ruling_followsTheStake(uint256 seed, bool appealed) public {
        nodeAnswered(right);
        bytes32 caseId = openCase(0, wrong);
        for (uint256 i = 1; i < 4; ++i) {
            answer(caseId, i, pick(seed, i));
        }
        if (appealed) {
            vm.prank(node);
            court.appeal(caseId);
        }
        toReveal(caseId);
        uint256[2] memory openers;
        for (uint256 i = 0; i < 4; ++i) {
            if (uint256(keccak256(abi.encode(seed, i, "opens"))) % 4 == 0) continue;
            Answer memory given = i == 0 ? wrong : pick(seed, i);
            open(caseId, i, given);
            ++openers[given.traceHash == right.traceHash ? 0 : 1];
        }
        ISlashingCourt.Ruling expected = ISlashingCourt.Ruling.DISMISSED;
        if (openers[0] > 2) expected = ISlashingCourt.Ruling.NODE_UPHELD;
        else if (openers[1] > 2) expected = ISlashingCourt.Ruling.NODE_GUILTY;
        else if (!appealed && openers[0] == 0 && openers[1] == 2) expected = ISlashingCourt.Ruling.NODE_GUILTY;
        expectRuling(caseId, expected);

        pass(SETTLE_WAIT);
        execute(caseId);
        assertNothingLocked();
        assertConserved();
    }

    // ---------------------------------------------------------------- who does not compute

    /// @notice Covers: A13. A copied commit is bound to whom it was copied from: nobody else opens it, with the true
    /// answer or any other, and who commits without opening loses CASE_REWARD in every ruling.
    function test_copiedCommit_cannotBeOpened() public {
        bytes32 caseId = openCase(0, wrong);
        bytes32 copied = answerCommit(1, right);
        vm.prank(key(1));
        court.commitVerdict(caseId, copied);
        vm.prank(key(2));
        court.commitVerdict(caseId, copied);
        toReveal(caseId);
        open(caseId, 1, right);
        vm.prank(key(2));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(caseId, commitment, right.traceHash, right.outputHash, right.units);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        pass(SETTLE_WAIT);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE - CASE_REWARD);
        vm.assertEq(stakes.stakeOf(verifiers[1]), STAKE);
        vm.assertEq(stakes.stakeOf(verifiers[2]), STAKE - CASE_REWARD);
        assertNothingLocked();
    }

    /// @notice Covers: A13. A guess that was committed is all that can be opened, once.
    function testFuzz_reveal_onlyWhatWasCommitted(bytes32 traceHash, bytes32 outputHash, uint32 units) public {
        bytes32 caseId = openCase(0, wrong);
        toReveal(caseId);
        vm.assume(traceHash != wrong.traceHash);
        vm.prank(key(0));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(caseId, commitment, traceHash, outputHash, units);
        open(caseId, 0, wrong);
        vm.prank(key(0));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(caseId, commitment, wrong.traceHash, wrong.outputHash, wrong.units);
    }

    /// @notice Covers: A60. Silence before committing costs nothing.
    function test_abstaining_isNeutral() public {
        bytes32 caseId = openCase(0, wrong);
        toReveal(caseId);
        pass(SETTLE_WAIT);
        execute(caseId);
        for (uint256 i = 1; i < 4; ++i) {
            vm.assertEq(stakes.stakeOf(verifiers[i]), STAKE);
        }
        vm.assertEq(stakes.stakeOf(operator), STAKE);
    }

    // ---------------------------------------------------------------- openCase

    function test_openCase_locksThePenaltyAndTheExposure() public {
        bytes32 caseId = openCase(0, wrong);
        vm.assertEq(caseId, court.caseIdOf(epochId, 0));
        vm.assertEq(stakes.operators(operator).lockedUnits, PENALTY);
        vm.assertEq(stakes.operators(verifiers[0]).lockedUnits, PENALTY);
        vm.assertEq(court.verifiersOf(caseId).length, 1);
    }

    function test_openCase_onceALeaf() public {
        bytes32 caseId = openCase(0, wrong);
        expectRefusal(1, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_CaseExists.selector, caseId));
    }

    function test_openCase_refusesWhoIsNoActiveVerifier() public {
        vm.prank(governor);
        stakes.retireVerifier(verifiers[0]);
        pass(12);
        expectRefusal(0, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotActiveVerifier.selector, key(0)));
    }

    /// @notice Covers: A40.
    function test_openCase_refusesALeafTooOld() public {
        pass(400);
        expectPartialRefusal(ISlashingCourt.SlashingCourt_CaseWindowClosed.selector);
    }

    function test_openCase_refusesAnotherOrderOrCommitment() public {
        order.terms.maxPrice = 1e9;
        expectPartialRefusal(Evidence.Evidence_WrongOrder.selector);
        order.terms.maxPrice = MAX_PRICE;
        commitment.units = 41;
        expectPartialRefusal(Evidence.Evidence_WrongCommitment.selector);
    }

    /// @notice The settler cannot frame a node with a commitment that the node did not sign.
    function test_openCase_refusesACommitmentTheNodeDidNotSign() public {
        (LeafProof memory proof, Commitment memory said) = (draft().proofOf(epochId, 0, 0), commitment);
        Order memory ordered = order;
        bytes memory forged = sign("settler", escrow.hashCommitment(said));
        vm.prank(key(0));
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_NotSignedByNode.selector, node, settler, operator));
        court.openCase(proof, ordered, said, forged, 0);
    }

    /// @notice Not even by another key of the same operator.
    function test_openCase_refusesACommitmentThatAnotherNodeSigned() public {
        bytes memory bound = sign("second node", stakes.hashNodeKey(addressOf("operator"), addressOf("second node")));
        vm.prank(addressOf("operator"));
        stakes.addNodeKey(addressOf("second node"), bound);
        expectPartialRefusal("second node", Evidence.Evidence_NotSignedByNode.selector);
    }

    function test_openCase_refusesAnOperatorThatIsNotTheNodes() public {
        operator = verifiers[0];
        epochId = post(draft());
        expectPartialRefusal(Evidence.Evidence_NotSignedByNode.selector);
    }

    function test_openCase_refusesAnotherRequester() public {
        order.requester = addressOf("bob");
        commit(right);
        epochId = post(draft());
        expectPartialRefusal(Evidence.Evidence_WrongRequester.selector);
    }

    /// @notice Only equality can be slashed.
    function test_openCase_refusesANativeComparator() public {
        order.terms.comparator = 2;
        commit(right);
        epochId = post(draft());
        expectPartialRefusal(ISlashingCourt.SlashingCourt_NotExact.selector);
    }

    // ---------------------------------------------------------------- windows

    /// @notice Covers: A13, A40.
    function testFuzz_windows_areKept(uint256 waited) public {
        waited %= 2 * (COMMIT_WINDOW + REVEAL_WINDOW);
        bytes32 caseId = openCase(0, wrong);
        bytes32 commit_ = answerCommit(1, right);
        pass(waited);
        if (waited >= COMMIT_WINDOW) vm.expectPartialRevert(ISlashingCourt.SlashingCourt_OutsideWindow.selector);
        vm.prank(key(1));
        court.commitVerdict(caseId, commit_);
        bool revealing = waited >= COMMIT_WINDOW && waited < COMMIT_WINDOW + REVEAL_WINDOW;
        if (!revealing) vm.expectPartialRevert(ISlashingCourt.SlashingCourt_OutsideWindow.selector);
        vm.prank(key(0));
        court.reveal(caseId, commitment, wrong.traceHash, wrong.outputHash, wrong.units);
        bool ruled = waited >= COMMIT_WINDOW + REVEAL_WINDOW;
        vm.assertTrue((court.ruling(caseId) == ISlashingCourt.Ruling.OPEN) != ruled);
    }

    function test_commitVerdict_refusesTwiceAndStrangers() public {
        bytes32 caseId = openCase(0, wrong);
        vm.prank(key(0));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_AlreadyCommitted.selector);
        court.commitVerdict(caseId, 0);
        vm.prank(node);
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotActiveVerifier.selector);
        court.commitVerdict(caseId, 0);
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_UnknownCase.selector);
        court.commitVerdict(keccak256("none"), 0);
    }

    /// @notice A verifier admitted after the case was opened has no say in it.
    function test_commitVerdict_countsTheSnapshotOnly() public {
        bytes32 caseId = openCase(0, wrong);
        uint32 late = registerOperator("late owner", 100 * STAKE);
        vm.prank(governor);
        stakes.admitVerifier(late, addressOf("late"));
        vm.prank(addressOf("late"));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotActiveVerifier.selector);
        court.commitVerdict(caseId, 0);
    }

    function test_commitVerdict_refusesWhoHasNothingToLose() public {
        bytes32 caseId = openCase(0, wrong);
        vm.prank(address(court));
        stakes.lock(verifiers[1], STAKE);
        vm.prank(key(1));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NothingToLose.selector, verifiers[1]));
        court.commitVerdict(caseId, 0);
    }

    /// @notice What was committed and opened is in the file, for anyone to read.
    function test_votesAndAnswers_areInTheFile() public {
        bytes32 caseId = openCase(0, wrong);
        vm.assertEq(court.votes(caseId, verifiers[0]).verifier, key(0));
        vm.assertEq(court.votes(caseId, verifiers[0]).lockedUnits, PENALTY);
        vm.assertEq(court.votes(caseId, verifiers[0]).answerKey, bytes32(0));
        toReveal(caseId);
        open(caseId, 0, wrong);
        bytes32 answerKey = TypedData.answerKey(wrong.traceHash, wrong.outputHash, wrong.units);
        vm.assertEq(court.votes(caseId, verifiers[0]).answerKey, answerKey);
        vm.assertEq(court.answers(caseId, answerKey).openers, 1);
        vm.assertEq(court.answers(caseId, answerKey).stakeUnits, STAKE);
        vm.assertFalse(court.answers(caseId, answerKey).agreesWithNode);
    }

    function test_appeal_refusesAfterTheCommitWindow() public {
        bytes32 caseId = openCase(0, wrong);
        uint256 commitEnds = court.cases(caseId).commitEnds;
        vm.warp(commitEnds);
        vm.prank(node);
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_OutsideWindow.selector, commitEnds, 0, commitEnds)
        );
        court.appeal(caseId);
    }

    function test_appeal_isTheAccuseds() public {
        bytes32 caseId = openCase(0, wrong);
        vm.prank(key(1));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotTheAccused.selector, key(1), operator));
        court.appeal(caseId);
        vm.prank(addressOf("operator"));
        court.appeal(caseId);
    }

    // ---------------------------------------------------------------- execute

    function test_execute_onceAndAfterTheRuling() public {
        bytes32 caseId = openCase(0, wrong);
        LeafProof memory proof = draft().proofOf(epochId, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_StillOpen.selector, caseId));
        court.execute(caseId, proof, noOutcomes());
        pass(COMMIT_WINDOW + REVEAL_WINDOW);
        proof.index = 1;
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_WrongLeaf.selector, caseId));
        court.execute(caseId, proof, noOutcomes());
        proof.index = 0;
        court.execute(caseId, proof, noOutcomes());
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyExecuted.selector, caseId));
        court.execute(caseId, proof, noOutcomes());
    }

    /// @notice A guilty ruling waits until it is known whether the leaf was paid.
    function test_execute_waitsUntilTheLeafIsFinal() public {
        bytes32 caseId = convict();
        LeafProof memory proof = draft().proofOf(epochId, 0, 0);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_LeafNotFinal.selector);
        court.execute(caseId, proof, noOutcomes());
    }

    function test_execute_refundsNothingForAVoidLeaf() public {
        bytes32 caseId = convict();
        EpochBuilder.Draft memory settled = draft();
        settled.groups[0].rows[0].isVoid = true;
        reveal();
        settle(epochId, settled.pack());
        court.execute(caseId, settled.proofOf(epochId, 0, 0), Outcomes(settled.voidBits(), new bytes(1)));
        vm.assertEq(lane(alice, alice).balanceUnits, 1e9);
        vm.assertEq(stakes.stakeOf(operator), STAKE - PENALTY);
        assertConserved();
    }

    /// @notice Covers: A10. A node that unbonds as soon as it has committed still pays in full.
    function test_execute_slashesWhatIsUnbonding() public {
        vm.prank(addressOf("operator"));
        stakes.unbond(STAKE);
        bytes32 caseId = convict();
        pass(SETTLE_WAIT);
        execute(caseId);
        vm.assertEq(stakes.operators(operator).unbondingUnits, STAKE - PENALTY);
        assertConserved();
    }

    // ---------------------------------------------------------------- helpers

    function key(uint256 i) private pure returns (address) {
        return addressOf(string.concat("verifier", vm.toString(i)));
    }

    function pick(uint256 seed, uint256 i) private view returns (Answer memory) {
        return uint256(keccak256(abi.encode(seed, i))) % 2 == 0 ? right : wrong;
    }

    /// @dev The node's commitment to an answer, for the present order.
    function commit(Answer memory given) private {
        bytes32 orderId = escrow.hashOrder(order);
        bytes32 trace = TypedData.traceCommit(given.traceHash, orderId, node);
        commitment = Commitment(orderId, node, given.outputHash, trace, given.units);
    }

    /// @dev The node gave this answer, in an epoch of its own.
    function nodeAnswered(Answer memory given) private {
        commit(given);
        epochId = post(draft());
        pass(12);
    }

    function draft() private view returns (EpochBuilder.Draft memory made) {
        made = draftOf("alice", operator, AMOUNT);
        made.groups[0].rows[0].digest = escrow.hashCommitment(commitment);
    }

    function answerCommit(uint256 i, Answer memory given) private view returns (bytes32) {
        bytes32 digest = escrow.hashCommitment(commitment);
        return TypedData.answerCommit(given.traceHash, given.outputHash, given.units, digest, key(i));
    }

    function openCase(uint256 i, Answer memory given) private returns (bytes32) {
        LeafProof memory proof = draft().proofOf(epochId, 0, 0);
        bytes memory signature = sign("node", escrow.hashCommitment(commitment));
        bytes32 hidden = answerCommit(i, given);
        vm.prank(key(i));
        return court.openCase(proof, order, commitment, signature, hidden);
    }

    function answer(bytes32 caseId, uint256 i, Answer memory given) private {
        bytes32 hidden = answerCommit(i, given);
        vm.prank(key(i));
        court.commitVerdict(caseId, hidden);
    }

    function toReveal(bytes32 caseId) private {
        vm.warp(court.cases(caseId).commitEnds);
    }

    function open(bytes32 caseId, uint256 i, Answer memory given) private {
        vm.prank(key(i));
        court.reveal(caseId, commitment, given.traceHash, given.outputHash, given.units);
    }

    function convict() private returns (bytes32 caseId) {
        nodeAnswered(wrong);
        caseId = openCase(0, right);
        answer(caseId, 1, right);
        toReveal(caseId);
        open(caseId, 0, right);
        open(caseId, 1, right);
        pass(REVEAL_WINDOW);
    }

    /// @dev What the ruling will be, if nothing more is opened.
    function expectRuling(bytes32 caseId, ISlashingCourt.Ruling expected) private {
        uint256 now_ = time();
        vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.OPEN);
        vm.warp(court.cases(caseId).commitEnds + REVEAL_WINDOW);
        vm.assertTrue(court.ruling(caseId) == expected);
        vm.warp(now_);
    }

    function execute(bytes32 caseId) private {
        if (time() < court.cases(caseId).commitEnds + REVEAL_WINDOW) pass(REVEAL_WINDOW);
        EpochBuilder.Draft memory posted = draft();
        Outcomes memory outcomes = Outcomes(posted.voidBits(), new bytes(1));
        court.execute(caseId, posted.proofOf(epochId, 0, 0), outcomes);
    }

    function expectRefusal(uint256 i, bytes memory refusal) private {
        LeafProof memory proof = draft().proofOf(epochId, 0, 0);
        (Order memory ordered, Commitment memory said) = (order, commitment);
        bytes memory signature = sign("node", escrow.hashCommitment(said));
        vm.prank(key(i));
        vm.expectRevert(refusal);
        court.openCase(proof, ordered, said, signature, 0);
    }

    function expectPartialRefusal(bytes4 selector) private {
        expectPartialRefusal("node", selector);
    }

    function expectPartialRefusal(string memory signer, bytes4 selector) private {
        LeafProof memory proof = draft().proofOf(epochId, 0, 0);
        // The leaf that was posted, whatever was made of the commitment since.
        if (selector == Evidence.Evidence_WrongCommitment.selector) {
            commitment.units = right.units;
            proof = draft().proofOf(epochId, 0, 0);
            commitment.units = right.units + 1;
        }
        (Order memory ordered, Commitment memory said) = (order, commitment);
        bytes memory signature = sign(signer, escrow.hashCommitment(said));
        vm.prank(key(0));
        vm.expectPartialRevert(selector);
        court.openCase(proof, ordered, said, signature, 0);
    }

    function assertNothingLocked() private view {
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(stakes.operators(verifiers[i]).lockedUnits, 0);
        }
        vm.assertEq(stakes.operators(operator).lockedUnits, 0);
    }
}
