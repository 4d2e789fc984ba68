// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {LeafProof, LeafStatus, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of SlashingCourt.tree from the ruling on: what `execute` moves, and what is left to `settleVotes`.
contract ExecutionTest is Trial {
    using EpochBuilder for EpochBuilder.Draft;

    // ---------------------------------------------------------------- execute

    function test_execute_onceAndAfterTheRuling() public {
        bytes32 caseId = openCase(0, wrong);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_StillOpen.selector, caseId));
        court.execute(leaf, noOutcomes(), nobody());
        pass(COMMIT_WINDOW + REVEAL_WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_StillOpen.selector, caseId));
        court.execute(leaf, noOutcomes(), nobody());
        pass(1);
        court.execute(leaf, noOutcomes(), nobody());
        vm.assertTrue(court.cases(caseId).executed);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadyExecuted.selector, caseId));
        court.execute(leaf, noOutcomes(), nobody());
    }

    /// @notice What a leaf says is its case's name: a leaf that says anything else has none. Its proof is not asked for
    /// again.
    function test_execute_refusesAnotherLeafAndIgnoresTheProof() public {
        openCase(0, wrong);
        pass(COMMIT_WINDOW + REVEAL_WINDOW);
        for (uint256 i = 0; i < 3; ++i) {
            LeafProof memory forged = leaf;
            if (i == 0) forged.index = 1;
            if (i == 1) forged.amountUnits += 1;
            if (i == 2) forged.requester = addressOf("thief");
            bytes32 none = court.caseIdOf(forged);
            vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_UnknownCase.selector, none));
            court.execute(forged, noOutcomes(), nobody());
        }
        leaf.siblings.push(keccak256("no sibling"));
        court.execute(leaf, noOutcomes(), nobody());
    }

    /// @notice A guilty ruling waits until it is known whether the leaf was paid.
    function test_execute_waitsUntilTheLeafIsFinal() public {
        convict(2);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LeafNotFinal.selector, epochId, 0));
        court.execute(leaf, noOutcomes(), nobody());
    }

    /// @notice A leaf that waits is closed, so that its node is never paid for it.
    function test_execute_closesALeafThatWaits() public {
        convict(2);
        pass(SETTLE_WAIT);
        executeWith(everyone());
        (LeafStatus status,) = escrow.leafStatus(leaf, noOutcomes());
        vm.assertTrue(status == LeafStatus.CLOSED);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        assertSunk(PENALTY - 2 * CASE_REWARD);
    }

    function test_execute_refusesOtherOutcomesThanSettled() public {
        convict(2);
        settleJob();
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_WrongOutcomes.selector, epochId));
        court.execute(leaf, Outcomes(hex"00", hex"01"), nobody());
    }

    /// @notice The proof of a leaf in an epoch of many: shown when the case is opened, and never again.
    function test_execute_needsNoProofOfALeafAmongMany() public {
        commit(wrong);
        EpochBuilder.Draft memory many = draft();
        many.groups[0].rows = new EpochBuilder.Row[](5);
        for (uint48 i = 0; i < 5; ++i) {
            many.groups[0].rows[i] = EpochBuilder.Row(0, AMOUNT, keccak256(abi.encode(i)), false);
        }
        many.groups[0].rows[3].digest = contests.hashCommitment(commitment);
        many.groups[0].capProof = signCap(keyOf("alice"), alice, 5 * AMOUNT);
        epochId = post(many);
        leaf = many.proofOf(epochId, 0, 3);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        delete leaf.siblings;
        toReveal(caseId);
        open(0, right);
        open(1, right);
        reveal();
        settle(epochId, many.pack());
        court.execute(leaf, Outcomes(many.voidBits(), new bytes(1)), everyone());
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - 4 * AMOUNT);
        assertSunk(PENALTY - AMOUNT - 2 * CASE_REWARD);
    }

    function test_execute_refundsNothingForAVoidLeaf() public {
        convict(2);
        EpochBuilder.Draft memory settled = draft();
        settled.groups[0].rows[0].isVoid = true;
        reveal();
        settle(epochId, settled.pack());
        court.execute(leaf, Outcomes(settled.voidBits(), new bytes(1)), everyone());
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(stakes.stakeOf(operator), STAKE - PENALTY);
        assertSunk(PENALTY - 2 * CASE_REWARD);
    }

    /// @notice Covers: A10. A node that unbonds as soon as it has committed still pays in full.
    function test_execute_slashesWhatIsUnbonding() public {
        vm.prank(addressOf("operator"));
        stakes.unbond(STAKE);
        convict(2);
        pass(SETTLE_WAIT);
        executeWith(everyone());
        vm.assertEq(stakes.operators(operator).unbondingUnits, STAKE - PENALTY);
        assertSunk(PENALTY - 2 * CASE_REWARD);
    }

    /// @notice A verifier's penalty too is taken of what it has unbonding.
    function test_execute_slashesAVerifierThatIsUnbonding() public {
        bytes32 caseId = openCase(0, wrong);
        pass(1);
        vm.prank(addressOf(ownerOf(0)));
        stakes.unbond(STAKE);
        toReveal(caseId);
        execute(caseId);
        vm.assertEq(stakes.operators(verifiers[0]).unbondingUnits, STAKE - CASE_REWARD);
        assertSunk(CASE_REWARD);
    }

    // ---------------------------------------------------------------- rewards

    /// @notice The penalty covers the refund first; what is left is shared by who opened the upheld answer, each at most
    /// CASE_REWARD; what nobody is owed is sunk, down to the odd unit.
    function testFuzz_execute_sharesWhatThePenaltyLeaves(uint64 left, uint256 openers) public {
        openers = 2 + openers % 3;
        left %= AMOUNT + 5 * CASE_REWARD;
        if (left < 10) left += AMOUNT;
        leaveOnly(operator, left);
        uint256 sunkBefore = token.balanceOf(sink) / UNIT;
        bytes32 caseId = convict(openers);
        settleJob();
        executeWith(nobody());

        uint64 refund = left < AMOUNT ? left : AMOUNT;
        uint64 share = (left - refund) / uint64(openers);
        if (share > CASE_REWARD) share = CASE_REWARD;
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT + refund, "refund");
        vm.assertEq(court.cases(caseId).rewardUnits, share, "share");
        vm.assertEq(stakes.rewardsUnits(), share * openers, "reserved");
        vm.assertEq(stakes.sunkUnits(), left - refund - share * openers, "sunk");
        vm.assertEq(worth(operator), 0, "the node's");
        assertConserved();

        court.settleVotes(caseId, everyone());
        for (uint256 i = 0; i < 4; ++i) {
            uint64 gained = i < openers ? share : 0;
            vm.assertEq(stakes.stakeOf(verifiers[i]), STAKE);
            vm.assertEq(stakes.operators(verifiers[i]).unbondingUnits, gained, "reward");
            vm.assertEq(locked(verifiers[i]), 0);
        }
        vm.assertEq(stakes.rewardsUnits(), 0);
        assertSunk(uint64(sunkBefore + left - refund - share * openers));
    }

    /// @notice A reward is its owner's at once: it was never at stake. It adds no weight to any snapshot.
    function test_reward_canBeWithdrawnAndCountsForNothing() public {
        bytes32 caseId = convict(2);
        settleJob();
        execute(caseId);
        vm.assertEq(stakes.activeStakeAt(verifiers[0], vm.getBlockNumber()), STAKE);
        address owner = addressOf(ownerOf(0));
        vm.prank(owner);
        stakes.withdrawStake(owner);
        vm.assertEq(token.balanceOf(owner), CASE_REWARD * UNIT);
        vm.assertEq(stakes.stakeOf(verifiers[0]), STAKE);
        assertConserved();
    }

    /// @notice A node with nothing left is found guilty all the same: nobody is refunded, nobody rewarded, and whoever lied
    /// for it loses what it stood for, which is the penalty that was asked for.
    function test_execute_givenANodeWithNothingLeft() public {
        leaveOnly(operator, 0);
        nodeAnswered(wrong);
        bytes32 caseId = openCase(0, right);
        for (uint256 i = 1; i < 4; ++i) {
            answer(caseId, i, i == 3 ? wrong : right);
        }
        toReveal(caseId);
        for (uint256 i = 0; i < 4; ++i) {
            open(i, i == 3 ? wrong : right);
        }
        settleJob();
        execute(caseId);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
        vm.assertEq(worth(operator), 0);
        vm.assertEq(worth(verifiers[0]), STAKE);
        vm.assertEq(worth(verifiers[3]), STAKE - PENALTY);
        assertNothingLocked();
        assertSunk(STAKE + PENALTY);
    }

    // ---------------------------------------------------------------- settleVotes

    function test_settleVotes_afterExecutionOnly() public {
        bytes32 none = keccak256("none");
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_UnknownCase.selector, none));
        court.settleVotes(none, nobody());
        bytes32 caseId = convict(2);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_StillOpen.selector, caseId));
        court.settleVotes(caseId, everyone());
        settleJob();
        executeWith(nobody());
        court.settleVotes(caseId, everyone());
        assertNothingLocked();
    }

    /// @notice Covers: A37. Whoever executes may leave every verifier out: the node, the lane and the sink have theirs all
    /// the same, what the verifiers are owed waits, and anybody settles it whenever they like.
    function test_execute_byWhoSettlesNobodyTakesNothingFromThem() public {
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
        executeWith(nobody());
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        vm.assertEq(locked(operator), 0);
        vm.assertEq(stakes.rewardsUnits(), 3 * CASE_REWARD);
        vm.assertEq(stakes.sunkUnits(), PENALTY - AMOUNT - 3 * CASE_REWARD);
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(locked(verifiers[i]), PENALTY);
        }
        stakes.sweep(); // and does not take what waits
        vm.assertEq(stakes.rewardsUnits(), 3 * CASE_REWARD);

        pass(100 * UNBOND);
        vm.prank(addressOf("anyone"));
        court.settleVotes(caseId, everyone());
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(worth(verifiers[i]), STAKE + CASE_REWARD);
        }
        vm.assertEq(worth(verifiers[3]), STAKE - PENALTY);
        assertNothingLocked();
        assertSunk(PENALTY - AMOUNT - 3 * CASE_REWARD + PENALTY);
    }

    /// @notice Each is settled once: named twice, named again later, not having voted or not even being an account, it is
    /// passed over.
    function test_settleVotes_passesOverWhoIsSettledOrDidNotVote() public {
        bytes32 caseId = convict(2);
        settleJob();
        uint32[] memory ids = new uint32[](6);
        (ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]) =
        (verifiers[0], verifiers[0], verifiers[3], operator, 0, type(uint32).max);
        executeWith(ids);
        vm.assertEq(worth(verifiers[0]), STAKE + CASE_REWARD);
        vm.assertTrue(court.votes(caseId, verifiers[0]).state == ISlashingCourt.VoteState.NONE);
        vm.assertEq(locked(verifiers[1]), PENALTY);
        vm.assertEq(stakes.rewardsUnits(), CASE_REWARD);
        court.settleVotes(caseId, ids);
        vm.assertEq(worth(verifiers[0]), STAKE + CASE_REWARD);
        ids[0] = verifiers[1];
        court.settleVotes(caseId, ids);
        court.settleVotes(caseId, everyone());
        vm.assertEq(worth(verifiers[1]), STAKE + CASE_REWARD);
        vm.assertEq(worth(operator), STAKE - PENALTY);
        vm.assertEq(stakes.rewardsUnits(), 0);
        assertNothingLocked();
        assertSunk(PENALTY - AMOUNT - 2 * CASE_REWARD);
    }

    /// @notice Covers: A37. However the votes are cut into lists, whoever is named how often, once all are settled
    /// everybody has the same.
    function testFuzz_settleVotes_anyCutIsTheSame(uint256 seed) public {
        bytes32 caseId = openCase(0, pick(seed, 0));
        for (uint256 i = 1; i < 4; ++i) {
            if (uint256(keccak256(abi.encode(seed, i, "votes"))) % 4 != 0) answer(caseId, i, pick(seed, i));
        }
        toReveal(caseId);
        for (uint256 i = 0; i < 4; ++i) {
            bool voted = court.votes(caseId, verifiers[i]).state == ISlashingCourt.VoteState.COMMITTED;
            bool opens = uint256(keccak256(abi.encode(seed, i, "opens"))) % 4 != 0;
            if (voted && opens) open(i, pick(seed, i));
        }
        pass(SETTLE_WAIT);
        uint256 state = vm.snapshotState();
        executeWith(everyone());
        bytes32 atOnce = accountsHash();
        vm.revertToState(state);

        executeWith(someOf(seed));
        for (uint256 i = 1; i < 4; ++i) {
            court.settleVotes(caseId, someOf(uint256(keccak256(abi.encode(seed, i, "cut")))));
            assertConserved();
        }
        court.settleVotes(caseId, everyone());
        vm.assertEq(accountsHash(), atOnce);
        assertNothingLocked();
    }

    /// @notice Covers: A37. However many vote, executing costs the same: nobody's number of votes can stop it.
    function test_execute_costsTheSameHoweverManyVoted() public {
        uint256 few = gasOfExecute(0);
        uint256 many = gasOfExecute(30);
        vm.assertLe(many, few + 1000, "the votes are on no list that execute reads");
    }

    function gasOfExecute(uint256 more) private returns (uint256 used) {
        uint256 state = vm.snapshotState();
        nodeAnswered(wrong);
        for (uint256 i = 4; i < 4 + more; ++i) {
            admit(i);
        }
        bytes32 caseId = openCase(0, right);
        for (uint256 i = 1; i < 4 + more; ++i) {
            answer(caseId, i, right);
        }
        toReveal(caseId);
        for (uint256 i = 0; i < 4 + more; ++i) {
            open(i, right);
        }
        pass(SETTLE_WAIT);
        bytes memory data = abi.encodeCall(court.execute, (leaf, noOutcomes(), nobody()));
        uint256 before = gasleft();
        (bool done,) = address(court).call(data);
        used = before - gasleft();
        vm.assertTrue(done);
        vm.revertToState(state);
    }

    // ---------------------------------------------------------------- helpers

    function pick(uint256 seed, uint256 i) private view returns (Answer memory) {
        return uint256(keccak256(abi.encode(seed, i, "says"))) % 3 == 0 ? right : wrong;
    }

    /// @dev None to seven of the verifiers, the operator, nobody's and an unknown id, as often as it comes.
    function someOf(uint256 seed) private view returns (uint32[] memory ids) {
        ids = new uint32[](seed % 8);
        for (uint256 i = 0; i < ids.length; ++i) {
            uint256 who = uint256(keccak256(abi.encode(seed, i, "who"))) % 7;
            ids[i] = who < 4 ? verifiers[who] : who == 4 ? operator : who == 5 ? 0 : 1000;
        }
    }

    function accountsHash() private view returns (bytes32 all) {
        all = keccak256(abi.encode(stakes.totalUnits(), stakes.rewardsUnits(), stakes.sunkUnits()));
        all = keccak256(abi.encode(all, stakes.operators(operator)));
        for (uint256 i = 0; i < 4; ++i) {
            all = keccak256(abi.encode(all, stakes.operators(verifiers[i])));
        }
    }
}
