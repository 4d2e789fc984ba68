// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, LeafProof, Order} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of SlashingCourt.tree up to the ruling.
contract SlashingCourtTest is Trial {
    using EpochBuilder for EpochBuilder.Draft;

    Answer private third = Answer(keccak256("a third trace"), keccak256("output"), 40);

    // ---------------------------------------------------------------- rulings

    /// @notice Covers: A12. One liar against a majority: it loses what it locked, the node nothing.
    function test_lyingVerifier_losesItsStakeAndTheNodeNothing() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        toReveal(caseId);
        open(0, wrong);
        open(1, right);
        open(2, right);
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
            open(i, right);
        }
        open(0, wrong);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_UPHELD);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE - PENALTY);
        vm.assertEq(stakes.stakeOf(operator), STAKE);
        for (uint256 i = 1; i < 4; ++i) {
            vm.assertEq(worth(verifiers[i]), STAKE); // nobody is rewarded for a node that told the truth
        }
        assertNothingLocked();
        assertSunk(PENALTY);
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
            open(i, right);
        }
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
        settleJob();
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);

        execute(caseId);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(stakes.stakeOf(operator), STAKE - PENALTY);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(stakes.stakeOf(verifiers[i]), STAKE);
            vm.assertEq(stakes.operators(verifiers[i]).unbondingUnits, CASE_REWARD);
        }
        assertNothingLocked();
        assertSunk(PENALTY - AMOUNT - 3 * CASE_REWARD);
    }

    /// @notice Guilty iff trace, output or units differ. Covers: A55.
    function test_anyDifference_isGuilty() public {
        Answer[3] memory spoofed = [right, right, right];
        spoofed[0].traceHash = keccak256("spoofed");
        spoofed[1].outputRoot = keccak256("spoofed");
        spoofed[2].units = 200 * right.units;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 state = vm.snapshotState();
            nodeAnswered(spoofed[i]);
            bytes32 caseId = openCase(0, right);
            answer(caseId, 1, right);
            toReveal(caseId);
            open(0, right);
            open(1, right);
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
        open(0, right);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        open(1, right);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
        open(2, wrong);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
    }

    /// @notice Covers: A04, A12. After an appeal two of four convict nobody; a majority does.
    function test_appealed_onlyAMajorityConvicts() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        pass(COMMIT_WINDOW - 1);
        vm.prank(node);
        court.appeal(leaf);
        vm.prank(addressOf("operator"));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyAppealed.selector, caseId));
        court.appeal(leaf);
        pass(1);
        answer(caseId, 2, right);
        toReveal(caseId);
        open(0, right);
        open(1, right);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        open(2, right);
        expectRuling(caseId, ISlashingCourt.Ruling.NODE_GUILTY);
    }

    /// @notice Covers: A12. Whoever has what stake, says what and opens in which order, if at all: more than half of all
    /// active stake decides, or two that nobody contradicts. Each loses and gains what its answer deserves.
    function testFuzz_ruling_followsTheStake(uint256 seed, bool appealed) public {
        uint64[4] memory weights = randomStakes(seed);
        uint8[4] memory said;
        bytes32 caseId = openCase(0, given(1 + uint8(random(seed, 0, "says") % 3)));
        for (uint256 i = 1; i < 4; ++i) {
            answer(caseId, i, given(1 + uint8(random(seed, i, "says") % 3)));
        }
        if (appealed) {
            vm.prank(node);
            court.appeal(leaf);
        }
        toReveal(caseId);
        for (uint256 k = 0; k < 4; ++k) {
            uint256 i = (random(seed, 4, "order") + k * (seed % 2 == 0 ? 1 : 3)) % 4;
            if (random(seed, i, "opens") % 4 == 0) continue;
            said[i] = 1 + uint8(random(seed, i, "says") % 3);
            open(i, given(said[i]));
        }
        (ISlashingCourt.Ruling expected, uint8 upheld) = derived(weights, said, appealed);
        expectRuling(caseId, expected);

        pass(SETTLE_WAIT);
        execute(caseId);
        expectDeserts(weights, said, expected, upheld);
    }

    function expectDeserts(uint64[4] memory weights, uint8[4] memory said, ISlashingCourt.Ruling ruling, uint8 upheld)
        private
    {
        bool guilty = ruling == ISlashingCourt.Ruling.NODE_GUILTY;
        uint64 sunk = guilty ? PENALTY : 0;
        for (uint256 i = 0; i < 4; ++i) {
            uint64 loses = upheld != 0 && said[i] != upheld ? PENALTY : said[i] == 0 ? CASE_REWARD : 0;
            uint64 gains = guilty && said[i] == upheld ? CASE_REWARD : 0;
            vm.assertEq(worth(verifiers[i]), weights[i] + gains - loses, "a verifier's deserts");
            sunk = sunk + loses - gains;
        }
        vm.assertEq(stakes.stakeOf(operator), guilty ? STAKE - PENALTY : STAKE, "the node's");
        assertNothingLocked();
        vm.assertEq(stakes.rewardsUnits(), 0, "no reward is left over");
        assertSunk(sunk);
    }

    /// @dev SPEC section 8 in words of its own: the ruling, and the answer upheld (0: none). Answer 1 is the node's.
    function derived(uint64[4] memory weights, uint8[4] memory said, bool appealed)
        private
        pure
        returns (ISlashingCourt.Ruling, uint8)
    {
        uint256 total = 0;
        uint256 opened = 0;
        uint256[4] memory behind;
        uint256[4] memory openers;
        for (uint256 i = 0; i < 4; ++i) {
            total += weights[i];
            if (said[i] == 0) continue;
            ++opened;
            ++openers[said[i]];
            behind[said[i]] += weights[i];
        }
        for (uint8 a = 1; a < 4; ++a) {
            bool convicts = !appealed && openers[a] == opened && opened >= 2 && a != 1;
            if (2 * behind[a] > total || convicts) {
                return (a == 1 ? ISlashingCourt.Ruling.NODE_UPHELD : ISlashingCourt.Ruling.NODE_GUILTY, a);
            }
        }
        return (ISlashingCourt.Ruling.DISMISSED, 0);
    }

    // ---------------------------------------------------------------- who does not compute

    /// @notice Covers: A13. A copied commit is bound to whom it was copied from: nobody else opens it, with the true
    /// answer or any other, and who commits without opening loses CASE_REWARD even if nothing is upheld.
    function test_copiedCommit_cannotBeOpened() public {
        bytes32 caseId = openCase(0, wrong);
        bytes32 copied = answerCommit(1, right);
        vm.prank(key(1));
        court.commitVerdict(caseId, copied);
        vm.prank(key(2));
        court.commitVerdict(caseId, copied);
        toReveal(caseId);
        open(1, right);
        vm.prank(key(2));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(leaf, commitment, right.traceHash, right.outputRoot, right.units);
        expectRuling(caseId, ISlashingCourt.Ruling.DISMISSED);
        pass(SETTLE_WAIT);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE - CASE_REWARD);
        vm.assertEq(stakes.stakeOf(verifiers[1]), STAKE);
        vm.assertEq(stakes.stakeOf(verifiers[2]), STAKE - CASE_REWARD);
        assertNothingLocked();
        assertSunk(2 * CASE_REWARD);
    }

    /// @notice Covers: A13. A guess that was committed is all that can be opened, once.
    function testFuzz_reveal_onlyWhatWasCommitted(bytes32 traceHash, bytes32 outputRoot, uint32 units) public {
        bytes32 caseId = openCase(0, wrong);
        toReveal(caseId);
        vm.assume(traceHash != wrong.traceHash);
        vm.prank(key(0));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(leaf, commitment, traceHash, outputRoot, units);
        open(0, wrong);
        vm.prank(key(0));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
        court.reveal(leaf, commitment, wrong.traceHash, wrong.outputRoot, wrong.units);
    }

    /// @notice Covers: A13. An answer is kept as 31 bytes of its hash: what is opened has to have all of them.
    function test_reveal_refusesAnAnswerThatWasCommittedInPart() public {
        bytes32 caseId = openCase(0, wrong);
        bytes32 almost = answerCommit(1, right) ^ bytes32(uint256(1 << 8));
        vm.prank(key(1));
        court.commitVerdict(caseId, almost);
        toReveal(caseId);
        bytes32 hidden = answerCommit(1, right);
        vm.prank(key(1));
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotCommitted.selector, caseId, key(1), hidden)
        );
        court.reveal(leaf, commitment, right.traceHash, right.outputRoot, right.units);
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
        vm.assertEq(caseId, court.caseIdOf(leaf));
        vm.assertEq(locked(operator), PENALTY);
        vm.assertEq(locked(verifiers[0]), PENALTY);
        ISlashingCourt.Case memory file = court.cases(caseId);
        vm.assertEq(file.penaltyUnits, PENALTY);
        vm.assertEq(file.snapshotBlock, vm.getBlockNumber());
        vm.assertEq(file.commitEnds, time() + COMMIT_WINDOW);
        vm.assertFalse(file.appealed || file.opposed || file.majority || file.agreesWithNode || file.executed);
    }

    /// @notice A verifier's answer stands for what the node may lose by it, however little that has left, but for
    /// CASE_REWARD at least and for no more than every active verifier has.
    function testFuzz_exposure_isWhatTheNodeMayLoseWithinItsLimits(uint64 maxPrice, uint64 left) public {
        order.terms.maxPrice = maxPrice % 4 == 0 ? maxPrice : maxPrice % 1e9;
        left = left % 2 == 0 ? left % STAKE : left % (2 * CASE_REWARD);
        nodeAnswered(wrong);
        leaveOnly(operator, left);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        uint256 penalty = 3 * uint256(order.terms.maxPrice);
        if (penalty > type(uint64).max) penalty = type(uint64).max;
        uint256 exposure = penalty < CASE_REWARD ? CASE_REWARD : penalty;
        if (exposure > MIN_VERIFIER_STAKE) exposure = MIN_VERIFIER_STAKE;
        vm.assertEq(court.cases(caseId).penaltyUnits, penalty);
        vm.assertEq(locked(operator), penalty);
        vm.assertEq(locked(verifiers[0]), exposure);
        vm.assertEq(locked(verifiers[1]), exposure);

        toReveal(caseId);
        pass(SETTLE_WAIT);
        execute(caseId); // neither opened
        vm.assertEq(locked(verifiers[0]), 0);
        vm.assertEq(stakes.stakeOf(verifiers[1]), STAKE - CASE_REWARD);
        vm.assertEq(stakes.sunkUnits(), 2 * CASE_REWARD);
        assertNothingLocked();
    }

    function test_openCase_onceALeaf() public {
        bytes32 caseId = openCase(0, wrong);
        expectRefusal(1, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_CaseExists.selector, caseId));
    }

    /// @notice A case's id is the leaf's, all of it and nothing else: each field makes another one, the proof none.
    function testFuzz_caseIdOf_isTheLeafs(LeafProof memory one, bytes32 sibling) public view {
        bytes32 id = court.caseIdOf(one);
        LeafProof memory other = copyOf(one);
        other.siblings = new bytes32[](1);
        other.siblings[0] = sibling;
        vm.assertEq(court.caseIdOf(other), id);
        for (uint256 field = 0; field < 7; ++field) {
            other = copyOf(one);
            if (field == 0) other.epochId ^= 1;
            else if (field == 1) other.index ^= 1;
            else if (field == 2) other.requester = address(uint160(one.requester) ^ 1);
            else if (field == 3) other.signer = address(uint160(one.signer) ^ 1);
            else if (field == 4) other.operatorId ^= 1;
            else if (field == 5) other.amountUnits ^= 1;
            else other.digest ^= bytes32(uint256(1));
            vm.assertTrue(court.caseIdOf(other) != id);
        }
    }

    function test_openCase_refusesWhoIsNoActiveVerifier() public {
        vm.prank(governor);
        stakes.retireVerifier(verifiers[0]);
        pass(12);
        expectRefusal(0, abi.encodeWithSelector(IStakeManager.StakeManager_NotActiveVerifier.selector, key(0)));
        vm.prank(addressOf(ownerOf(1)));
        stakes.unbond(STAKE - MIN_VERIFIER_STAKE + 1);
        expectRefusal(1, abi.encodeWithSelector(IStakeManager.StakeManager_NotActiveVerifier.selector, key(1)));
    }

    function test_openCase_refusesWhoHasTooLittleFree() public {
        leaveFree(verifiers[0], PENALTY - 1);
        bytes memory refusal = abi.encodeWithSelector(
            IStakeManager.StakeManager_TooLittleFree.selector, verifiers[0], PENALTY - 1, PENALTY
        );
        expectRefusal(0, refusal);
        vm.assertEq(locked(operator), 0);
    }

    /// @notice Covers: A40.
    function test_openCase_refusesALeafTooOld() public {
        uint256 closesAt = escrow.epochs(epochId).postedAt + 400;
        vm.warp(closesAt + 1);
        expectRefusal(
            0, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_CaseWindowClosed.selector, closesAt + 1, closesAt)
        );
        vm.warp(closesAt);
        openCase(0, wrong);
    }

    function test_openCase_refusesALeafThatIsNotInItsEpoch() public {
        leaf.amountUnits += 1;
        expectRefusal(0, abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotInEpoch.selector, epochId, 0));
        leaf.amountUnits -= 1;
        leaf.siblings.push(0);
        expectPartialRefusal("node", bytes4(keccak256("Merkle_WrongProofLength(uint256,uint256)")));
        leaf.siblings.pop();
        leaf.epochId += 1;
        expectPartialRefusal("node", bytes4(keccak256("Merkle_IndexOutOfRange(uint256,uint256)")));
    }

    function test_openCase_refusesAnotherOrderOrCommitment() public {
        order.terms.maxPrice = 1e9;
        expectPartialRefusal("node", Evidence.Evidence_WrongOrder.selector);
        order.terms.maxPrice = MAX_PRICE;
        commitment.units = 41;
        expectPartialRefusal("node", Evidence.Evidence_WrongCommitment.selector);
    }

    /// @notice The settler cannot frame a node with a commitment that the node did not sign.
    function test_openCase_refusesACommitmentTheNodeDidNotSign() public {
        bytes memory forged = sign("settler", leaf.digest);
        vm.prank(key(0));
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_NotSignedByNode.selector, node, settler, operator));
        court.openCase(leaf, order, commitment, forged, 0);
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
        postJob();
        expectPartialRefusal("node", Evidence.Evidence_NotSignedByNode.selector);
    }

    function test_openCase_refusesAnotherRequester() public {
        order.requester = addressOf("bob");
        nodeAnswered(right);
        expectPartialRefusal("node", Evidence.Evidence_WrongRequester.selector);
    }

    /// @notice Only equality can be slashed.
    function test_openCase_refusesANativeComparator() public {
        order.terms.comparator = 2;
        nodeAnswered(right);
        expectPartialRefusal("node", ISlashingCourt.SlashingCourt_NotExact.selector);
    }

    // ---------------------------------------------------------------- windows

    /// @notice Covers: A13, A40.
    function testFuzz_windows_areKept(uint256 waited) public {
        waited %= 2 * (COMMIT_WINDOW + REVEAL_WINDOW);
        bytes32 caseId = openCase(0, wrong);
        uint256 commitEnds = time() + COMMIT_WINDOW;
        bytes32 commit_ = answerCommit(1, right);
        pass(waited);
        if (waited >= COMMIT_WINDOW) expectOutside(0, commitEnds);
        vm.prank(key(1));
        court.commitVerdict(caseId, commit_);
        bool revealing = waited >= COMMIT_WINDOW && waited < COMMIT_WINDOW + REVEAL_WINDOW;
        if (!revealing) expectOutside(commitEnds, commitEnds + REVEAL_WINDOW);
        vm.prank(key(0));
        court.reveal(leaf, commitment, wrong.traceHash, wrong.outputRoot, wrong.units);
        bool ruled = waited >= COMMIT_WINDOW + REVEAL_WINDOW;
        vm.assertTrue((court.ruling(caseId) == ISlashingCourt.Ruling.OPEN) != ruled);
    }

    function expectOutside(uint256 opensAt, uint256 endsAt) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_OutsideWindow.selector, time(), opensAt, endsAt)
        );
    }

    function test_commitVerdict_refusesTwiceAndStrangers() public {
        bytes32 caseId = openCase(0, wrong);
        vm.prank(key(0));
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyCommitted.selector, caseId, verifiers[0])
        );
        court.commitVerdict(caseId, 0);
        vm.assertEq(locked(verifiers[0]), PENALTY);
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotActiveVerifier.selector, node));
        court.commitVerdict(caseId, 0);
        bytes32 none = keccak256("none");
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_UnknownCase.selector, none));
        court.commitVerdict(none, 0);
    }

    /// @notice Covers: A12. Nobody says anything that it does not stand for, in full.
    function test_commitVerdict_refusesWhoHasTooLittleFree() public {
        bytes32 caseId = openCase(0, wrong);
        leaveFree(verifiers[1], PENALTY - 1);
        vm.prank(key(1));
        vm.expectRevert(
            abi.encodeWithSelector(
                IStakeManager.StakeManager_TooLittleFree.selector, verifiers[1], PENALTY - 1, PENALTY
            )
        );
        court.commitVerdict(caseId, 0);
        leaveFree(verifiers[2], PENALTY);
        answer(caseId, 2, right);
        vm.assertEq(locked(verifiers[2]), STAKE);
    }

    /// @notice A verifier that has retired, or has too little at stake by now, has no say whatever it had in the snapshot.
    function test_commitVerdict_refusesWhoIsNotActiveNow() public {
        bytes32 caseId = openCase(0, wrong);
        pass(1);
        vm.prank(governor);
        stakes.retireVerifier(verifiers[1]);
        vm.prank(key(1));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotActiveVerifier.selector, key(1)));
        court.commitVerdict(caseId, 0);
    }

    // ---------------------------------------------------------------- the snapshot

    /// @notice Covers: A12. A verifier admitted after the block in which the case was opened has no say in it.
    function test_commitVerdict_countsTheSnapshotOnly() public {
        bytes32 caseId = openCase(0, wrong);
        uint256 openedIn = vm.getBlockNumber();
        pass(1);
        uint32 late = registerOperator("late owner", 100 * STAKE);
        vm.prank(governor);
        stakes.admitVerifier(late, addressOf("late"));
        vm.prank(addressOf("late"));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotInSnapshot.selector, late, openedIn));
        court.commitVerdict(caseId, 0);
        vm.assertEq(locked(late), 0);
    }

    /// @notice Covers: A12. What counts is what was at stake when the opening's block ended: what came later in that block
    /// counts, what came in the next does not.
    function test_snapshot_isTheEndOfTheOpeningsBlock() public {
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        pay(address(this), 10 * STAKE);
        stakes.stake(verifiers[1], STAKE); // two of five
        answer(caseId, 1, right);
        pass(1);
        stakes.stake(verifiers[0], 9 * STAKE); // too late to count
        toReveal(caseId);
        open(0, right);
        vm.assertEq(answerOf(caseId, right).stakeUnits, STAKE);
        vm.assertFalse(court.cases(caseId).majority);
        open(1, right);
        vm.assertEq(answerOf(caseId, right).stakeUnits, 3 * STAKE);
        vm.assertTrue(court.cases(caseId).majority); // three of five
    }

    /// @notice Who commits in the opening's block and leaves in it was in no snapshot: it cannot open, and pays for that.
    function test_reveal_refusesWhoLeftInTheOpeningsBlock() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        vm.prank(governor);
        stakes.retireVerifier(verifiers[1]);
        uint256 openedIn = vm.getBlockNumber();
        pass(1);
        toReveal(caseId);
        vm.prank(key(1));
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotInSnapshot.selector, verifiers[1], openedIn)
        );
        court.reveal(leaf, commitment, right.traceHash, right.outputRoot, right.units);
    }

    /// @notice Who unbonds once it has committed still counts, and still pays.
    function test_reveal_countsWhatWasAtStakeThen() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        pass(1);
        vm.prank(addressOf(ownerOf(0)));
        stakes.unbond(STAKE);
        toReveal(caseId);
        open(0, wrong);
        vm.assertEq(answerOf(caseId, wrong).stakeUnits, STAKE);
        pass(SETTLE_WAIT);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[1]), STAKE - CASE_REWARD);
        vm.assertEq(worth(verifiers[0]), STAKE);
    }

    /// @notice Covers: A13. A key that was replaced opens nothing, nor does the new one: the answer was the old key's. Nor
    /// does the account commit twice.
    function test_replacedKey_opensAndCommitsNothing() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        vm.startPrank(governor);
        stakes.retireVerifier(verifiers[1]);
        stakes.admitVerifier(verifiers[1], addressOf("new key"));
        vm.stopPrank();
        vm.prank(addressOf("new key"));
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyCommitted.selector, caseId, verifiers[1])
        );
        court.commitVerdict(caseId, 0);
        toReveal(caseId);
        address[2] memory keys = [key(1), addressOf("new key")];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(keys[i]);
            vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotCommitted.selector);
            court.reveal(leaf, commitment, right.traceHash, right.outputRoot, right.units);
        }
        pass(SETTLE_WAIT);
        execute(caseId);
        vm.assertEq(stakes.stakeOf(verifiers[1]), STAKE - CASE_REWARD);
        assertNothingLocked();
    }

    // ---------------------------------------------------------------- the file

    /// @notice What was committed and opened is in the file, for anyone to read.
    function test_votesAndAnswers_areInTheFile() public {
        bytes32 caseId = openCase(0, wrong);
        answer(caseId, 1, right);
        ISlashingCourt.Vote memory vote = court.votes(caseId, verifiers[0]);
        vm.assertTrue(vote.state == ISlashingCourt.VoteState.COMMITTED);
        vm.assertEq(bytes32(vote.hash), bytes32(bytes31(answerCommit(0, wrong))));
        vm.assertTrue(court.votes(caseId, verifiers[2]).state == ISlashingCourt.VoteState.NONE);

        toReveal(caseId);
        open(0, wrong);
        vote = court.votes(caseId, verifiers[0]);
        bytes32 answerKey = TypedData.answerKey(wrong.traceHash, wrong.outputRoot, wrong.units);
        vm.assertTrue(vote.state == ISlashingCourt.VoteState.OPENED);
        vm.assertEq(bytes32(vote.hash), bytes32(bytes31(answerKey)));
        vm.assertEq(answerOf(caseId, wrong).openers, 1);
        vm.assertEq(answerOf(caseId, wrong).stakeUnits, STAKE);
        vm.assertFalse(answerOf(caseId, wrong).majority);
        ISlashingCourt.Case memory file = court.cases(caseId);
        vm.assertEq(file.openers, 1);
        vm.assertFalse(file.opposed || file.agreesWithNode || file.majority);

        open(1, right);
        vm.assertTrue(court.cases(caseId).opposed);
        vm.assertFalse(court.cases(caseId).majority);
    }

    function test_file_followsTheMajority() public {
        bytes32 caseId = openCase(0, wrong);
        for (uint256 i = 1; i < 4; ++i) {
            answer(caseId, i, right);
        }
        toReveal(caseId);
        open(0, wrong);
        for (uint256 i = 1; i < 4; ++i) {
            vm.assertFalse(court.cases(caseId).majority);
            open(i, right);
        }
        ISlashingCourt.Case memory file = court.cases(caseId);
        vm.assertEq(file.openers, 3);
        vm.assertTrue(file.opposed && file.majority && file.agreesWithNode);
        vm.assertTrue(answerOf(caseId, right).majority);
        vm.assertFalse(answerOf(caseId, wrong).majority);
    }

    // ---------------------------------------------------------------- appeal

    function test_appeal_restartsTheCommitWindow() public {
        bytes32 caseId = openCase(0, wrong);
        pass(COMMIT_WINDOW - 1);
        vm.prank(node);
        court.appeal(leaf);
        vm.assertTrue(court.cases(caseId).appealed);
        vm.assertEq(court.cases(caseId).commitEnds, time() + COMMIT_WINDOW);
        vm.assertEq(court.cases(caseId).penaltyUnits, PENALTY);
    }

    function test_appeal_refusesAfterTheCommitWindow() public {
        bytes32 caseId = openCase(0, wrong);
        uint256 commitEnds = court.cases(caseId).commitEnds;
        vm.warp(commitEnds);
        vm.prank(node);
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_OutsideWindow.selector, commitEnds, 0, commitEnds)
        );
        court.appeal(leaf);
    }

    function test_appeal_isTheAccuseds() public {
        openCase(0, wrong);
        vm.prank(key(1));
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotTheAccused.selector, key(1), operator));
        court.appeal(leaf);
        vm.prank(addressOf("operator"));
        court.appeal(leaf);
    }

    /// @notice Nobody makes itself the accused with a leaf of its own making: that is no case.
    function test_appealAndReveal_refuseAnotherLeaf() public {
        bytes32 caseId = openCase(0, wrong);
        LeafProof memory forged = leaf;
        forged.operatorId = verifiers[1];
        bytes memory refusal =
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_UnknownCase.selector, court.caseIdOf(forged));
        vm.prank(addressOf(ownerOf(1)));
        vm.expectRevert(refusal);
        court.appeal(forged);
        toReveal(caseId);
        vm.prank(key(0));
        vm.expectRevert(refusal);
        court.reveal(forged, commitment, wrong.traceHash, wrong.outputRoot, wrong.units);
    }

    /// @notice Nor is an answer held against another commitment than the leaf's.
    function test_reveal_refusesAnotherCommitment() public {
        bytes32 caseId = openCase(0, wrong);
        toReveal(caseId);
        commitment.units += 1;
        vm.prank(key(0));
        vm.expectPartialRevert(Evidence.Evidence_WrongCommitment.selector);
        court.reveal(leaf, commitment, wrong.traceHash, wrong.outputRoot, wrong.units);
    }

    // ---------------------------------------------------------------- helpers

    function random(uint256 seed, uint256 i, string memory what) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i, what)));
    }

    /// @dev Adds to three of four stakes, so that anything from one to four verifiers may be the majority.
    function randomStakes(uint256 seed) private returns (uint64[4] memory weights) {
        pay(address(this), 16 * STAKE);
        for (uint256 i = 0; i < 4; ++i) {
            uint64 more = uint64(random(seed, i, "stake") % 4) * STAKE;
            if (random(seed, i, "odd") % 2 == 0) more += uint64(random(seed, i, "stake") % STAKE);
            stakes.stake(verifiers[i], more);
            weights[i] = STAKE + more;
        }
    }

    function given(uint8 number) private view returns (Answer memory) {
        return number == 1 ? right : number == 2 ? wrong : third;
    }

    function answerOf(bytes32 caseId, Answer memory said) private view returns (ISlashingCourt.Answer memory) {
        return court.answers(caseId, TypedData.answerKey(said.traceHash, said.outputRoot, said.units));
    }

    function copyOf(LeafProof memory one) private pure returns (LeafProof memory) {
        return LeafProof(
            one.epochId, one.index, one.requester, one.signer, one.operatorId, one.amountUnits, one.digest, one.siblings
        );
    }

    function expectRefusal(uint256 i, bytes memory refusal) private {
        bytes memory signature = sign("node", leaf.digest);
        vm.prank(key(i));
        vm.expectRevert(refusal);
        court.openCase(leaf, order, commitment, signature, 0);
    }

    function expectPartialRefusal(string memory signer, bytes4 selector) private {
        bytes memory signature = sign(signer, leaf.digest);
        vm.prank(key(0));
        vm.expectPartialRevert(selector);
        court.openCase(leaf, order, commitment, signature, 0);
    }
}
