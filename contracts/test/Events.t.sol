// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Commitment, LeafProof, Outcomes, SkipReason} from "src/libraries/Types.sol";
import {EpochBuilder} from "./utils/EpochBuilder.sol";
import {Job} from "./utils/Job.sol";
import {vm} from "./utils/Vm.sol";

/// @notice Every event with every value: ledgers and auditors are rebuilt from them, so a wrong one is a wrong book.
contract EventsTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    address private bob = addressOf("bob");
    address private session = addressOf("session");
    address private cold = addressOf("cold");

    function now32() private view returns (uint32) {
        return uint32(time());
    }

    // ---------------------------------------------------------------- JobEscrow

    function test_lanes_sayWhatComesAndGoes() public {
        pay(alice, 100);
        uint32 expiry = now32() + 1;
        vm.startPrank(alice);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.LaneOpened(alice, session, expiry);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Deposited(alice, session, alice, 30);
        escrow.openLane(session, expiry, 30);
        vm.stopPrank();

        pay(bob, 5);
        vm.prank(bob);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Deposited(alice, session, bob, 5);
        escrow.deposit(alice, session, 5);

        vm.startPrank(alice);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.NoticeGiven(alice, session, now32());
        escrow.giveNotice(session);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.NoticeCancelled(alice, session);
        escrow.cancelNotice(session);
        escrow.giveNotice(session);
        pass(NOTICE);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Withdrawn(alice, session, cold, 35);
        escrow.withdraw(session, 35, cold);
        vm.assertEq(token.balanceOf(cold), 35 * UNIT);
    }

    function test_epochs_sayWhatIsPostedChargedAndPaid() public {
        EpochBuilder.Draft memory draft = jobDraft();
        EpochBuilder.Group[] memory groups = new EpochBuilder.Group[](2);
        (groups[0], groups[1]) = (draft.groups[0], groupOf("bob", 70));
        draft.groups = groups;
        bytes32 beacon = beacons[BEACONS - 1];
        vm.roll(vm.getBlockNumber() + 3);
        vm.prank(settler);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.EpochPosted(1, draft.root(), 2, beacon, keccak256("log"));
        escrow.postEpoch(1, draft.root(), 2, beacon, keccak256("log"));
        reveal();

        bytes memory packed = draft.pack();
        vm.expectEmit(address(escrow));
        emit IJobEscrow.LaneSkipped(1, bob, bob, SkipReason.BALANCE, 70);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.EpochSettled(1, AMOUNT, AMOUNT / 10, hex"00", hex"02");
        settle(1, packed);

        fund(bob, bob, 100);
        LeafProof memory proof = draft.proofOf(1, 1, 0);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.LeafSettled(1, 1, bob, bob, operator, 70, 7);
        escrow.settleOne(proof, Outcomes(hex"00", hex"02"), groups[1].capProof);

        uint64 fees = AMOUNT / 10 + 7;
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Claimed(operator, addressOf("operator"), AMOUNT + 70 - fees);
        escrow.claim(operator);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.FeesWithdrawn(fees);
        escrow.withdrawFees();
        assertTotals(FUNDS - AMOUNT + 30, 0, 0);
        assertConserved();
    }

    function test_claimToStake_saysWhoseStakeGrew() public {
        charge(jobDraft());
        uint64 earned = AMOUNT - AMOUNT / 10;
        vm.prank(addressOf("operator"));
        vm.expectEmit(address(escrow));
        emit IJobEscrow.ClaimedToStake(operator, earned);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Staked(operator, address(escrow), earned, STAKE + earned);
        escrow.claimToStake(operator);
    }

    function test_settlersBond_saysWhatComesAndGoes() public {
        pay(bob, 5);
        vm.prank(bob);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.SettlerBonded(bob, 5, BOND + 5);
        escrow.bondSettler(5);
        vm.prank(settler);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.SettlerUnbonding(now32());
        escrow.unbondSettler();
        pass(UNBOND);
        vm.prank(settler);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.SettlerUnbonded(BOND + 5);
        escrow.withdrawBond();
    }

    function test_roles_sayWhatTheyDo() public {
        vm.startPrank(governor);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.SettlerChanged(settler, cold);
        escrow.setSettler(cold);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.BeaconReset(keccak256("tip"));
        escrow.resetBeacon(keccak256("tip"));
        vm.stopPrank();
        vm.prank(guardian);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Paused();
        escrow.pause();
        vm.prank(governor);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Unpaused(governor);
        escrow.unpause();
    }

    // ---------------------------------------------------------------- StakeManager

    function test_accounts_sayWhoTheyAre() public {
        vm.prank(bob);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Registered(2, bob, cold);
        stakes.register(cold);
        bytes memory signature = sign("session", stakes.hashNodeKey(bob, session));
        vm.startPrank(bob);
        vm.expectEmit(address(stakes));
        emit IStakeManager.NodeKeyAdded(2, session);
        stakes.addNodeKey(session, signature);
        vm.expectEmit(address(stakes));
        emit IStakeManager.PayoutChanged(2, alice, now32() + 60);
        stakes.setPayout(alice);
        vm.stopPrank();

        uint32 verifier = registerOperator("verifier", STAKE);
        vm.startPrank(governor);
        vm.expectEmit(address(stakes));
        emit IStakeManager.VerifierAdmitted(verifier, cold);
        stakes.admitVerifier(verifier, cold);
        vm.expectEmit(address(stakes));
        emit IStakeManager.VerifierRetired(verifier);
        stakes.retireVerifier(verifier);
    }

    function test_stake_saysWhereItIs() public {
        pay(bob, 10);
        vm.prank(bob);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Staked(operator, bob, 10, STAKE + 10);
        stakes.stake(operator, 10);
        vm.startPrank(addressOf("operator"));
        vm.expectEmit(address(stakes));
        emit IStakeManager.Unbonding(operator, 4, STAKE + 6, 4, now32());
        stakes.unbond(4);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Unbonding(operator, 3, STAKE + 3, 7, now32());
        stakes.unbond(3);
        pass(UNBOND);
        vm.expectEmit(address(stakes));
        emit IStakeManager.StakeWithdrawn(operator, cold, 7);
        stakes.withdrawStake(cold);
        vm.stopPrank();
        vm.assertEq(stakes.totalUnits(), STAKE + 3);
        vm.assertEq(token.balanceOf(cold), 7 * UNIT);
    }

    function test_court_saysWhatItSlashesAndRewards() public {
        uint32 finder = registerOperator("finder", 1);
        vm.startPrank(address(court));
        stakes.lock(operator, 100);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Slashed(operator, 50, 30, 5, 15, STAKE - 50);
        stakes.slash(operator, 50, 30, 5);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Rewarded(finder, 2, 2);
        stakes.reward(finder, 2);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Rewarded(finder, 3, 5);
        stakes.reward(finder, 3);
        vm.stopPrank();
        vm.expectEmit(address(stakes));
        emit IStakeManager.Swept(15);
        stakes.sweep();
        vm.expectEmit(address(stakes));
        emit IStakeManager.Swept(0);
        stakes.sweep();
    }

    // ---------------------------------------------------------------- Contests

    function test_contest_saysWhoAsksAndWhoAnswers() public {
        (LeafProof memory proof,) = contested();
        bytes memory signature = sign("node", contests.hashCommitment(commitment));
        (bytes32 r, bytes32 vs) = (orderProof().r, orderProof().vs);
        vm.prank(cold);
        vm.expectEmit(address(contests));
        emit IContests.Answered(proof.epochId, 0, cold, commitment.outputRoot, CONTEST_BOND);
        contests.answer(proof, order, r, vs, commitment, signature, output);
        vm.assertEq(contests.openContests(), 0);
    }

    function test_resolve_saysWhatComesBack() public {
        (LeafProof memory proof, Outcomes memory outcomes) = contested();
        pass(ANSWER_WINDOW);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.RefundedFromBond(proof.epochId, 0, alice, alice, AMOUNT, BOND - AMOUNT);
        vm.expectEmit(address(contests));
        emit IContests.ContestResolved(proof.epochId, 0, bob, AMOUNT, CONTEST_BOND);
        contests.resolve(proof, outcomes);
        vm.assertEq(contests.openContests(), 0);
    }

    function test_lapse_saysWhoseBondReturns() public {
        (LeafProof memory proof,) = contested();
        pass(ANSWER_WINDOW + RESOLVE_WINDOW);
        vm.expectEmit(address(contests));
        emit IContests.ContestLapsed(proof.epochId, 0, bob, CONTEST_BOND);
        contests.lapse(proof.epochId, 0);
        vm.assertEq(contests.openContests(), 0);
    }

    function test_contestDuplicate_saysWhichChargeComesBack() public {
        LeafProof[] memory proofs = new LeafProof[](2);
        Outcomes[] memory outcomes = new Outcomes[](2);
        Commitment[] memory commitments = new Commitment[](2);
        for (uint256 i = 0; i < 2; ++i) {
            (proofs[i], outcomes[i]) = charge(jobDraft());
            commitments[i] = commitment;
        }
        vm.expectEmit(address(contests));
        emit IContests.DuplicateRefunded(proofs[1].epochId, 0, commitment.orderId, AMOUNT);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
    }

    /// @dev A charge of alice's that bob contests.
    function contested() private returns (LeafProof memory proof, Outcomes memory outcomes) {
        (proof, outcomes) = charge(jobDraft());
        pay(bob, CONTEST_BOND);
        uint40 answerEnds = uint40(time() + ANSWER_WINDOW);
        vm.prank(bob);
        vm.expectEmit(address(contests));
        emit IContests.Contested(proof.epochId, 0, bob, answerEnds, CONTEST_BOND);
        contests.contest(proof, outcomes);
        vm.assertEq(contests.openContests(), 1);
    }

    // ---------------------------------------------------------------- SlashingCourt

    function test_case_saysEachStep() public {
        uint32[2] memory verifiers = [admit("verifier0"), admit("verifier1")];
        EpochBuilder.Draft memory draft = jobDraft();
        (LeafProof memory proof, Outcomes memory outcomes) = charge(draft);
        bytes32 caseId =
            keccak256(abi.encode(proof.epochId, uint32(0), alice, alice, operator, uint64(AMOUNT), proof.digest));
        bytes32 answerKey = TypedData.answerKey(keccak256("true"), keccak256("output"), 41);
        uint64 penalty = 3 * MAX_PRICE;

        bytes32 commit = answerCommit("verifier0", proof.digest);
        bytes memory signature = sign("node", proof.digest);
        vm.prank(addressOf("verifier0"));
        vm.expectEmit(address(court));
        emit ISlashingCourt.CaseOpened(
            caseId,
            proof.epochId,
            0,
            alice,
            alice,
            operator,
            AMOUNT,
            proof.digest,
            penalty,
            now32() + uint32(COMMIT_WINDOW)
        );
        vm.expectEmit(address(court));
        emit ISlashingCourt.VerdictCommitted(caseId, verifiers[0], commit);
        court.openCase(proof, order, commitment, signature, commit);

        pass(5);
        vm.prank(node);
        vm.expectEmit(address(court));
        emit ISlashingCourt.Appealed(caseId, node, now32() + uint32(COMMIT_WINDOW));
        court.appeal(proof);
        commit = answerCommit("verifier1", proof.digest);
        vm.prank(addressOf("verifier1"));
        vm.expectEmit(address(court));
        emit ISlashingCourt.VerdictCommitted(caseId, verifiers[1], commit);
        court.commitVerdict(caseId, commit);

        pass(COMMIT_WINDOW);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(addressOf(i == 0 ? "verifier0" : "verifier1"));
            vm.expectEmit(address(court));
            emit ISlashingCourt.VerdictRevealed(
                caseId, verifiers[i], answerKey, keccak256("true"), keccak256("output"), 41, false
            );
            court.reveal(proof, commitment, keccak256("true"), keccak256("output"), 41);
        }
        pass(REVEAL_WINDOW);
        vm.expectEmit(address(escrow));
        emit IJobEscrow.Refunded(proof.epochId, 0, alice, alice, AMOUNT);
        vm.expectEmit(address(court));
        emit ISlashingCourt.CaseExecuted(caseId, ISlashingCourt.Ruling.NODE_GUILTY, penalty, AMOUNT, CASE_REWARD);
        vm.expectEmit(address(court));
        emit ISlashingCourt.VoteSettled(caseId, verifiers[0], 0, CASE_REWARD);
        court.execute(proof, outcomes, only(verifiers[0]));
        vm.expectEmit(address(court));
        emit ISlashingCourt.VoteSettled(caseId, verifiers[1], 0, CASE_REWARD);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Rewarded(verifiers[1], CASE_REWARD, CASE_REWARD);
        court.settleVotes(caseId, only(verifiers[1]));
        assertConserved();
    }

    /// @notice What became of each vote: nothing, when the case is dismissed; CASE_REWARD, of who did not open.
    function test_settledVotes_sayWhatTheyCost() public {
        uint32[2] memory verifiers = [admit("verifier0"), admit("verifier1")];
        (LeafProof memory proof, Outcomes memory outcomes) = charge(jobDraft());
        bytes memory signature = sign("node", proof.digest);
        bytes32[2] memory commits = [answerCommit("verifier0", proof.digest), answerCommit("verifier1", proof.digest)];
        vm.prank(addressOf("verifier0"));
        bytes32 caseId = court.openCase(proof, order, commitment, signature, commits[0]);
        vm.prank(addressOf("verifier1"));
        court.commitVerdict(caseId, commits[1]);
        pass(COMMIT_WINDOW);
        vm.prank(addressOf("verifier1"));
        court.reveal(proof, commitment, keccak256("true"), keccak256("output"), 41);
        pass(REVEAL_WINDOW);
        vm.expectEmit(address(court));
        emit ISlashingCourt.CaseExecuted(caseId, ISlashingCourt.Ruling.DISMISSED, 0, 0, 0);
        court.execute(proof, outcomes, new uint32[](0));
        vm.expectEmit(address(court));
        emit ISlashingCourt.VoteSettled(caseId, verifiers[0], CASE_REWARD, 0);
        vm.expectEmit(address(stakes));
        emit IStakeManager.Slashed(verifiers[0], CASE_REWARD, 0, 0, CASE_REWARD, STAKE - CASE_REWARD);
        court.settleVotes(caseId, only(verifiers[0]));
        vm.expectEmit(address(court));
        emit ISlashingCourt.VoteSettled(caseId, verifiers[1], 0, 0);
        court.settleVotes(caseId, only(verifiers[1]));
    }

    function test_equivocation_saysWhoSignedTwice() public {
        Commitment memory second = deliver("second");
        bytes32[2] memory digests = [contests.hashCommitment(commitment), contests.hashCommitment(second)];
        bytes memory signature = sign("node", digests[0]);
        bytes memory secondSignature = sign("node", digests[1]);
        CapProof memory proof = orderProof();
        vm.expectEmit(address(court));
        emit ISlashingCourt.Equivocated(commitment.orderId, node, operator, digests[0], digests[1], 3 * MAX_PRICE);
        court.equivocation(order, proof.r, proof.vs, commitment, signature, second, secondSignature);
    }

    function only(uint32 id) private pure returns (uint32[] memory ids) {
        ids = new uint32[](1);
        ids[0] = id;
    }

    function admit(string memory name) private returns (uint32 id) {
        id = registerOperator(name, STAKE);
        vm.prank(governor);
        stakes.admitVerifier(id, addressOf(name));
    }

    function answerCommit(string memory verifier, bytes32 digest) private pure returns (bytes32) {
        return TypedData.answerCommit(keccak256("true"), keccak256("output"), 41, digest, addressOf(verifier));
    }
}
