// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {CapProof, LeafProof, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of JobEscrow.tree on what the settler, the guardian and the governor can do, and cannot.
contract RolesTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    address private thief = addressOf("thief");
    mapping(bool success => uint256 times) private tried;
    LeafProof[] private stolen;
    Outcomes[] private outcomes;

    // ---------------------------------------------------------------- a stolen settler's key

    /// @notice Covers: A27. A thief with the settler's key, an operator of its own and every voucher that alice signed
    /// charges as much as the bond in a window and not a unit more. All of it is contested, nobody can answer, all of
    /// it comes back. The bond itself it cannot take, and rotation ends it.
    function test_stolenSettlerKey_takesAtMostTheBondAndAllOfItIsRefunded() public {
        uint64 riches = 3 * BOND;
        fund(alice, alice, riches);
        uint32 accomplice = registerOperator("accomplice", 0);
        uint48 row = uint48(BOND / 4);
        for (uint256 i = 0; i < 4; ++i) {
            steal(accomplice, row);
        }
        EpochBuilder.Draft memory more = loot(accomplice, 1);
        uint64 id = post(more);
        reveal();
        vm.prank(settler, settler);
        vm.expectRevert(abi.encodeWithSelector(ChargeWindow.ChargeWindow_AboveBond.selector, BOND, 1, BOND));
        escrow.settleEpoch(id, more.pack());

        pay(alice, 4 * CONTEST_BOND);
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(alice);
            contests.contest(stolen[i], outcomes[i]);
        }
        pass(ANSWER_WINDOW);
        for (uint256 i = 0; i < 4; ++i) {
            contests.resolve(stolen[i], outcomes[i]);
        }
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS + riches, "alice is whole");
        vm.assertEq(escrow.settlerBond().bondUnits, 0, "the bond paid for it");
        assertConserved();
    }

    /// @notice Covers: A27. The bond leaves to the treasury only, after UNBOND, and not while a charge stands on it.
    function test_stolenSettlerKey_cannotTakeTheBond() public {
        vm.prank(settler);
        escrow.unbondSettler();
        pass(UNBOND - 2 * CHARGE_WINDOW);
        EpochBuilder.Draft memory draft = loot(operator, AMOUNT);
        vm.prank(settler);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_SettlerIsUnbonding.selector);
        escrow.postEpoch(1, keccak256("root"), 1, beacons[BEACONS - 1], 0);

        pay(settler, 1);
        vm.prank(settler);
        escrow.bondSettler(1);
        uint64 id = post(draft);
        vm.prank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        escrow.settleOne(draft.proofOf(id, 0, 0), noOutcomes(), orderProof());
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_ChargedLately.selector, AMOUNT));
        escrow.withdrawBond();
        pass(2 * CHARGE_WINDOW);
        vm.prank(settler);
        escrow.withdrawBond();
        vm.assertEq(token.balanceOf(settler), 0);
        vm.assertEq(token.balanceOf(treasury), (BOND + 1) * UNIT);
        assertConserved();
    }

    /// @notice Covers: A27. Rotation ends the thief and its unbonding.
    function test_setSettler_endsTheOldKeyAndItsUnbonding() public {
        vm.prank(settler);
        escrow.unbondSettler();
        vm.prank(governor);
        escrow.setSettler(addressOf("new settler"));
        vm.assertEq(escrow.settler(), addressOf("new settler"));
        vm.assertEq(escrow.settlerBond().unbondAt, 0);
        bytes32 beacon = beacons[BEACONS - 1];
        vm.startPrank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotSettler.selector, settler));
        escrow.postEpoch(1, 0, 0, beacon, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotSettler.selector, settler));
        escrow.unbondSettler();
        vm.stopPrank();
        settler = addressOf("new settler");
        postAndSettle(jobDraft());
    }

    /// @notice Covers: A28.
    function test_setSettler_isTheGovernorsAndNeverNobody() public {
        expectNotGovernor(abi.encodeCall(escrow.setSettler, (thief)));
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_MissingParam.selector));
        escrow.setSettler(address(0));
    }

    // ---------------------------------------------------------------- beacon

    /// @notice Covers: A06, A28. Nobody chooses the seed of rows that can still be settled.
    function test_resetBeacon_notWhileRowsWaitForTheirSeed() public {
        expectNotGovernor(abi.encodeCall(escrow.resetBeacon, (keccak256("tip"))));
        resetBeacon();
        restoreBeacon();
        uint64 id = post(jobDraft());
        pass(SETTLE_WAIT);
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_SeedIsPending.selector, id));
        escrow.resetBeacon(keccak256("tip"));
        pass(1);
        resetBeacon();
    }

    // ---------------------------------------------------------------- pause

    /// @notice Covers: A27, A28. A pause stops what comes in, and nothing that is here from leaving.
    function test_pause_stopsWhatComesInAndNoExit() public {
        pay(alice, 4 * CONTEST_BOND);
        (LeafProof memory contested, Outcomes memory settled) = charge(jobDraft());
        commitment = deliver("second");
        uint64 revealed = post(jobDraft());
        reveal();
        commitment = deliver("third");
        uint64 left = post(jobDraft());
        vm.prank(alice);
        contests.contest(contested, settled);
        vm.prank(guardian);
        escrow.pause();
        vm.assertTrue(escrow.paused());

        expectPaused(abi.encodeCall(escrow.deposit, (alice, alice, 1)));
        expectPaused(abi.encodeCall(escrow.depositWithPermit, (alice, alice, 1, 0, 0, 0, 0)));
        expectPaused(abi.encodeCall(escrow.openLane, (thief, type(uint32).max, 1)));
        expectPaused(abi.encodeCall(escrow.depositWithAuthorization, (alice, alice, alice, 1, 0, 0, 0, 0, 0, 0)));
        bytes memory granted = sign("alice", escrow.hashLaneGrant(alice, thief, 1, type(uint32).max, 0));
        expectPaused(abi.encodeCall(escrow.openLaneWithGrant, (alice, thief, 1, type(uint32).max, 0, granted)));
        uint64 next = escrow.lastEpoch() + 1;
        bytes32 beacon = beacons[BEACONS - next];
        vm.roll(vm.getBlockNumber() + 3);
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_IsPaused.selector));
        escrow.postEpoch(next, keccak256("root"), 1, beacon, 0);

        commitment = deliver("second");
        settle(revealed, jobDraft().pack());
        post(bytes32(0), 0);
        commitment = deliver("first");
        answerContest(contested);
        escrow.claim(operator);
        escrow.withdrawFees();
        vm.startPrank(alice);
        escrow.openLane(thief, type(uint32).max, 0);
        escrow.giveNotice(alice);
        pass(NOTICE);
        commitment = deliver("third");
        escrow.settleOne(jobDraft().proofOf(left, 0, 0), noOutcomes(), orderProof());
        escrow.withdraw(alice, FUNDS - 3 * AMOUNT, alice);
        vm.stopPrank();
        vm.prank(addressOf("operator"));
        stakes.unbond(STAKE);
        pass(UNBOND);
        vm.prank(addressOf("operator"));
        stakes.withdrawStake(addressOf("operator"));
        assertConserved();
    }

    function test_pause_isTheGuardiansAndUnpauseTheGovernorsToo() public {
        address[3] memory others = [governor, settler, thief];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotGuardian.selector, others[i]));
            escrow.pause();
        }
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(guardian);
            escrow.pause();
            vm.prank(thief);
            vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotGuardian.selector, thief));
            escrow.unpause();
            vm.prank(i == 0 ? guardian : governor);
            escrow.unpause();
            vm.assertFalse(escrow.paused());
        }
        postAndSettle(jobDraft());
    }

    // ---------------------------------------------------------------- no way to users' money

    /// @notice Covers: A28. Every role tries everything; not a unit of alice's, the operator's or the stake moves.
    function test_noRole_movesUsersMoney() public {
        (LeafProof memory leaf, Outcomes memory settled) = charge(jobDraft());
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        address[7] memory roles = [guardian, governor, settler, treasury, sink, address(court), address(contests)];
        for (uint256 i = 0; i < roles.length; ++i) {
            uint256 state = vm.snapshotState();
            tryEverything(roles[i], leaf, settled);
            vm.assertEq(token.balanceOf(roles[i]), roles[i] == treasury ? AMOUNT / 10 * UNIT : 0, "nothing gained");
            vm.assertGe(lane(alice, alice).balanceUnits, FUNDS - AMOUNT, "alice's lane");
            uint256 operators = token.balanceOf(addressOf("operator")) / UNIT
                + (escrow.operators(operator).earnedUnits - escrow.operators(operator).claimedUnits);
            vm.assertEq(operators, uint256(AMOUNT) * 9 / 10, "the operator's credit");
            if (roles[i] != address(court)) vm.assertEq(stakes.stakeOf(operator), STAKE, "the stake");
            assertConservedBut(roles[i] == address(court));
            vm.revertToState(state);
        }
    }

    function tryEverything(address role, LeafProof memory leaf, Outcomes memory settled) private {
        CapProof memory cap = orderProof();
        bytes[] memory calls = new bytes[](16);
        calls[0] = abi.encodeCall(escrow.withdraw, (alice, 1, role));
        calls[1] = abi.encodeCall(escrow.withdraw, (role, 1, role));
        calls[2] = abi.encodeCall(escrow.setSettler, (role));
        calls[3] = abi.encodeCall(escrow.resetBeacon, (keccak256("tip")));
        calls[4] = abi.encodeCall(escrow.settleOne, (leaf, settled, cap));
        calls[5] = abi.encodeCall(escrow.refund, (leaf, settled, AMOUNT));
        calls[6] = abi.encodeCall(escrow.refundFromBond, (leaf, settled));
        calls[7] = abi.encodeCall(escrow.claimToStake, (operator));
        calls[8] = abi.encodeCall(escrow.claim, (operator));
        calls[9] = abi.encodeCall(escrow.withdrawFees, ());
        calls[10] = abi.encodeCall(escrow.unbondSettler, ());
        calls[11] = abi.encodeCall(escrow.withdrawBond, ());
        calls[12] = abi.encodeCall(escrow.settleEpoch, (leaf.epochId, ""));
        calls[13] = abi.encodeCall(escrow.giveNotice, (alice));
        calls[14] = abi.encodeCall(escrow.pause, ());
        calls[15] = abi.encodeCall(escrow.unpause, ());
        for (uint256 i = 0; i < calls.length; ++i) {
            attempt(role, address(escrow), calls[i]);
        }
        attempt(role, address(stakes), abi.encodeCall(stakes.unbond, (1)));
        attempt(role, address(stakes), abi.encodeCall(stakes.setPayout, (role)));
        attempt(role, address(stakes), abi.encodeCall(stakes.retireVerifier, (operator)));
        attempt(role, address(stakes), abi.encodeCall(stakes.lock, (operator, 2)));
        attempt(role, address(stakes), abi.encodeCall(stakes.unlock, (operator, 1)));
        attempt(role, address(stakes), abi.encodeCall(stakes.slash, (operator, 1, 0, 0)));
        attempt(role, address(stakes), abi.encodeCall(stakes.reward, (operator, 1)));
        attempt(role, address(stakes), abi.encodeCall(stakes.sweep, ()));
        pass(UNBOND);
        attempt(role, address(stakes), abi.encodeCall(stakes.withdrawStake, (role)));
        attempt(role, address(contests), abi.encodeCall(contests.resolve, (leaf, settled)));
        attempt(role, address(contests), abi.encodeCall(contests.lapse, (leaf.epochId, 0)));
    }

    // ---------------------------------------------------------------- claimToStake

    function test_claimToStake_movesTheCreditIntoTheStake() public {
        postAndSettle(jobDraft());
        vm.prank(addressOf("operator"));
        escrow.claimToStake(operator);
        vm.assertEq(stakes.stakeOf(operator), STAKE + uint64(AMOUNT) * 9 / 10);
        assertTotals(FUNDS - AMOUNT, 0, AMOUNT / 10);
        vm.assertEq(token.allowance(address(escrow), address(stakes)), 0);
        assertConserved();
        vm.prank(addressOf("operator"));
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NothingToClaim.selector, operator));
        escrow.claimToStake(operator);
    }

    function test_claimToStake_isTheOwnersOnly() public {
        postAndSettle(jobDraft());
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotOwner.selector, node, operator));
        escrow.claimToStake(operator);
    }

    /// @notice Covers: A28.
    function test_refundFromBond_isForContestsOnly() public {
        (LeafProof memory leaf, Outcomes memory settled) = charge(jobDraft());
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotContests.selector, address(this)));
        escrow.refundFromBond(leaf, settled);
    }

    // ---------------------------------------------------------------- helpers

    /// @dev An invented row in alice's lane, with a voucher that covers it.
    function loot(uint32 accomplice, uint48 units) private view returns (EpochBuilder.Draft memory draft) {
        draft = draftOf("alice", accomplice, units);
        draft.groups[0].capProof = signCap(keyOf("alice"), alice, type(uint64).max);
    }

    function steal(uint32 accomplice, uint48 units) private {
        (LeafProof memory proof, Outcomes memory settled) = charge(loot(accomplice, units));
        stolen.push(proof);
        outcomes.push(settled);
    }

    function answerContest(LeafProof memory contested) private {
        CapProof memory proof = orderProof();
        bytes memory nodeSignature = sign("node", contests.hashCommitment(commitment));
        contests.answer(contested, order, proof.r, proof.vs, commitment, nodeSignature, output);
        vm.assertTrue(contests.contestStatus(contested.epochId, 0) == IContests.ContestStatus.ANSWERED);
    }

    function resetBeacon() private {
        vm.prank(governor);
        escrow.resetBeacon(keccak256("tip"));
        vm.assertEq(escrow.tip(), keccak256("tip"));
    }

    function restoreBeacon() private {
        bytes32 tip = beacons[BEACONS - escrow.lastEpoch()];
        vm.prank(governor);
        escrow.resetBeacon(tip);
    }

    function expectNotGovernor(bytes memory data) private {
        address[4] memory others = [guardian, settler, treasury, thief];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            (bool success, bytes memory refusal) = address(escrow).call(data);
            vm.assertFalse(success);
            vm.assertEq(refusal, abi.encodeWithSelector(IJobEscrow.JobEscrow_NotGovernor.selector, others[i]));
        }
    }

    function expectPaused(bytes memory data) private {
        vm.prank(alice);
        (bool success, bytes memory refusal) = address(escrow).call(data);
        vm.assertFalse(success);
        vm.assertEq(refusal, abi.encodeWithSelector(IJobEscrow.JobEscrow_IsPaused.selector));
    }

    function attempt(address role, address target, bytes memory data) private {
        vm.prank(role, role);
        (bool success,) = target.call(data);
        tried[success] += 1;
    }

    /// @dev The court's refund leaves the escrow short until the slash that follows it in the same call.
    function assertConservedBut(bool isCourt) private view {
        if (!isCourt) assertConserved();
    }
}
