// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Commitment, LeafProof, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice When the chain forks and its id changes, what was signed before counts on the old one only: court and contests
/// read the escrow's new domain, though they keep the old one at hand. Covers: A17.
contract ForkTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    bytes32 private before;
    address private verifier = addressOf("verifier");

    function setUp() public override {
        super.setUp();
        uint32 id = registerOperator("verifier's owner", STAKE);
        vm.prank(governor);
        stakes.admitVerifier(id, verifier);
        before = escrow.domainSeparator();
        pay(alice, CONTEST_BOND);
    }

    function test_openCaseAndReveal_followTheEscrowsDomain() public {
        LeafProof memory old = jobDraft().proofOf(post(jobDraft()), 0, 0);
        bytes memory oldSignature = sign("node", old.digest);
        uint256 state = vm.snapshotState();
        openCase(old, oldSignature);
        vm.revertToState(state);

        fork();
        bytes32 digest = contests.hashCommitment(commitment);
        vm.prank(verifier);
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_WrongCommitment.selector, digest, old.digest));
        court.openCase(old, order, commitment, oldSignature, 0);

        commitment = deliver("on the new chain");
        LeafProof memory leaf = jobDraft().proofOf(post(jobDraft()), 0, 0);
        vm.assertTrue(leaf.digest != old.digest);
        bytes32 caseId = openCase(leaf, sign("node", leaf.digest));
        vm.warp(court.cases(caseId).commitEnds);
        vm.prank(verifier);
        court.reveal(leaf, commitment, keccak256("trace"), commitment.outputRoot, 40);
        vm.assertTrue(court.votes(caseId, stakes.verifierOf(verifier)).state == ISlashingCourt.VoteState.OPENED);
    }

    function test_reveal_ofACaseFromBeforeIsRefused() public {
        LeafProof memory old = jobDraft().proofOf(post(jobDraft()), 0, 0);
        bytes32 caseId = openCase(old, sign("node", old.digest));
        vm.warp(court.cases(caseId).commitEnds);
        fork();
        vm.prank(verifier);
        vm.expectPartialRevert(Evidence.Evidence_WrongCommitment.selector);
        court.reveal(old, commitment, keccak256("trace"), commitment.outputRoot, 40);
    }

    function test_equivocation_followsTheEscrowsDomain() public {
        Commitment memory second = deliver("second");
        bytes memory one = sign("node", contests.hashCommitment(commitment));
        bytes memory two = sign("node", contests.hashCommitment(second));
        CapProof memory proof = orderProof();
        fork();
        vm.expectPartialRevert(Evidence.Evidence_WrongOrder.selector);
        court.equivocation(order, proof.r, proof.vs, commitment, one, second, two);

        // The order's id on the new chain does not make the old signatures count there.
        (commitment, second) = (deliver("first"), deliver("second"));
        vm.expectPartialRevert(ISlashingCourt.SlashingCourt_NotOrdered.selector);
        court.equivocation(order, proof.r, proof.vs, commitment, one, second, two);
        proof = orderProof();
        vm.expectPartialRevert(Evidence.Evidence_NotSignedByNode.selector);
        court.equivocation(order, proof.r, proof.vs, commitment, one, second, two);
        one = sign("node", contests.hashCommitment(commitment));
        two = sign("node", contests.hashCommitment(second));
        court.equivocation(order, proof.r, proof.vs, commitment, one, second, two);
        vm.assertEq(stakes.stakeOf(operator), STAKE - 3 * MAX_PRICE);
    }

    function test_answer_followsTheEscrowsDomain() public {
        (LeafProof memory old, Outcomes memory oldOutcomes) = charge(jobDraft());
        CapProof memory oldProof = orderProof();
        bytes memory oldSignature = sign("node", old.digest);
        vm.prank(alice);
        contests.contest(old, oldOutcomes);
        uint256 state = vm.snapshotState();
        contests.answer(old, order, oldProof.r, oldProof.vs, commitment, oldSignature, output);
        vm.revertToState(state);
        fork();
        vm.expectPartialRevert(Evidence.Evidence_WrongCommitment.selector);
        contests.answer(old, order, oldProof.r, oldProof.vs, commitment, oldSignature, output);

        commitment = deliver("on the new chain");
        (LeafProof memory leaf, Outcomes memory outcomes) = charge(jobDraft());
        CapProof memory proof = orderProof();
        bytes memory signature = sign("node", leaf.digest);
        pay(alice, CONTEST_BOND);
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, signature, output);
        vm.assertTrue(contests.contestStatus(leaf.epochId, 0) == IContests.ContestStatus.ANSWERED);
    }

    function test_contestDuplicate_followsTheEscrowsDomain() public {
        LeafProof[] memory proofs = new LeafProof[](2);
        Outcomes[] memory outcomes = new Outcomes[](2);
        Commitment[] memory commitments = new Commitment[](2);
        for (uint256 i = 0; i < 2; ++i) {
            (proofs[i], outcomes[i]) = charge(jobDraft());
            commitments[i] = commitment;
        }
        fork();
        vm.expectPartialRevert(Evidence.Evidence_WrongCommitment.selector);
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        commitment = deliver("on the new chain");
        for (uint256 i = 0; i < 2; ++i) {
            (proofs[i], outcomes[i]) = charge(jobDraft());
            commitments[i] = commitment;
        }
        contests.contestDuplicate(order, proofs, outcomes, commitments);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - AMOUNT);
    }

    function fork() private {
        vm.chainId(424_242);
        vm.assertTrue(escrow.domainSeparator() != before);
    }

    function openCase(LeafProof memory leaf, bytes memory signature) private returns (bytes32) {
        bytes32 hidden = TypedData.answerCommit(keccak256("trace"), commitment.outputRoot, 40, leaf.digest, verifier);
        vm.prank(verifier);
        return court.openCase(leaf, order, commitment, signature, hidden);
    }
}
