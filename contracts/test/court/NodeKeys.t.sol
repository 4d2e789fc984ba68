// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {CapProof, Commitment, LeafProof, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A66. A stolen node key: an order that nobody gave slashes nothing, and once it is revoked the key
/// signs nothing. What it signed before still counts for rows that are posted within EPOCH_MAX.
contract NodeKeysTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    uint256 private constant EPOCH_MAX = 60;

    // ---------------------------------------------------------------- orders that nobody gave

    /// @notice Covers: A66. The thief makes up an order that would cost the whole stake, and signs two answers to it.
    function test_equivocation_needsAnOrderOfItsRequester() public {
        order.terms.maxPrice = type(uint64).max;
        order.requester = address(0xdead);
        expectNotOrdered("thief");
        order.requester = alice;
        expectNotOrdered("thief");
        fund(addressOf("thief"), addressOf("thief's session"), 1);
        expectNotOrdered("thief's session"); // a lane, but another's
        vm.assertEq(stakes.stakeOf(operator), STAKE, "not a unit");
    }

    /// @notice Covers: A66. A signature that recovers nobody is nobody's, also where the requester is the zero address.
    function test_equivocation_refusesABrokenSignature() public {
        order.requester = address(0);
        (Commitment memory first, Commitment memory second) = (deliver("first"), deliver("second"));
        bytes memory one = sign("node", contests.hashCommitment(first));
        bytes memory two = sign("node", contests.hashCommitment(second));
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotOrdered.selector, address(0), address(0))
        );
        court.equivocation(order, bytes32(uint256(1)), bytes32(type(uint256).max >> 1), first, one, second, two);
    }

    /// @notice Covers: A66. The requester's own key counts, and that of each lane which the requester opened.
    function test_equivocation_takesAnOrderOfALanesSigner() public {
        fund(alice, addressOf("session"), 1);
        accuse("session", "");
        vm.assertEq(stakes.stakeOf(operator), STAKE - 3 * MAX_PRICE);
        order.terms.salt = 1;
        accuse("alice", "");
        vm.assertEq(stakes.stakeOf(operator), STAKE - 6 * MAX_PRICE);
    }

    // ---------------------------------------------------------------- a key that was revoked

    /// @notice Covers: A66. From the moment on: also for an order that was really given, also for answers signed
    /// before.
    function test_equivocation_refusesARevokedKey() public {
        uint256 state = vm.snapshotState();
        accuse("alice", "");
        vm.revertToState(state);
        revoke();
        accuse("alice", abi.encodeWithSelector(Evidence.Evidence_KeyRevoked.selector, node, time()));
        vm.assertEq(stakes.stakeOf(operator), STAKE);
    }

    /// @notice Covers: A66. Whoever cheats cannot revoke its key and be free: rows that are posted within EPOCH_MAX can
    /// be accused. Later ones can't: the thief and a settler in league burn no stake with it.
    function testFuzz_openCase_takesARevokedKeyUntilEpochMax(uint256 waited) public {
        waited %= 2 * EPOCH_MAX;
        registerVerifier();
        revoke();
        uint256 revokedAt = time();
        pass(waited);
        LeafProof memory leaf = jobDraft().proofOf(post(jobDraft()), 0, 0);
        bytes memory signature = sign("node", leaf.digest);
        bytes memory refusal = abi.encodeWithSelector(Evidence.Evidence_KeyRevoked.selector, node, revokedAt);
        vm.prank(addressOf("verifier"));
        if (waited >= EPOCH_MAX) vm.expectRevert(refusal);
        court.openCase(leaf, order, commitment, signature, keccak256("hidden"));
    }

    /// @notice Covers: A66. Nor does a revoked key leave the settler's side without an answer for what it delivered.
    function testFuzz_answer_takesARevokedKeyUntilEpochMax(uint256 waited) public {
        waited %= 2 * EPOCH_MAX;
        revoke();
        uint256 revokedAt = time();
        pass(waited);
        order.terms.deadline = uint40(time());
        commitment = deliver("first");
        (LeafProof memory leaf, Outcomes memory outcomes) = charge(jobDraft());
        pay(alice, CONTEST_BOND);
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        CapProof memory proof = orderProof();
        bytes memory signature = sign("node", leaf.digest);
        bytes memory refusal = abi.encodeWithSelector(Evidence.Evidence_KeyRevoked.selector, node, revokedAt);
        if (waited >= EPOCH_MAX) vm.expectRevert(refusal);
        contests.answer(leaf, order, proof.r, proof.vs, commitment, signature, output);
    }

    /// @notice Covers: A66. It is the operator's alone to revoke, at once, and for ever: nobody has the key again. It
    /// appeals no more; the owner does.
    function test_revokeNodeKey_isTheOwnersAndForEver() public {
        uint32 other = registerOperator("other", 0);
        vm.prank(addressOf("other"));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotNodeKey.selector, other, node));
        stakes.revokeNodeKey(node);
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotRegistered.selector, node));
        stakes.revokeNodeKey(node);

        revoke();
        vm.assertEq(stakes.operatorOf(node), 0, "nobody's");
        vm.assertEq(stakes.nodeKeys(node).operatorId, operator, "and whose it was is known");
        vm.assertEq(stakes.nodeKeys(node).revokedAt, time());
        vm.prank(addressOf("operator"));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotNodeKey.selector, operator, node));
        stakes.revokeNodeKey(node);
        bytes memory signature = sign("node", stakes.hashNodeKey(addressOf("operator"), node));
        vm.prank(addressOf("operator"));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_KeyUsed.selector, node));
        stakes.addNodeKey(node, signature);
    }

    /// @notice Covers: A66.
    function test_appeal_isNotARevokedKeys() public {
        registerVerifier();
        LeafProof memory leaf = jobDraft().proofOf(post(jobDraft()), 0, 0);
        bytes memory signature = sign("node", leaf.digest);
        vm.prank(addressOf("verifier"));
        court.openCase(leaf, order, commitment, signature, keccak256("hidden"));
        revoke();
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotTheAccused.selector, node, operator));
        court.appeal(leaf);
        vm.prank(addressOf("operator"));
        court.appeal(leaf);
    }

    // ---------------------------------------------------------------- steps

    function revoke() private {
        vm.prank(addressOf("operator"));
        stakes.revokeNodeKey(node);
    }

    function registerVerifier() private {
        uint32 id = registerOperator("verifier owner", STAKE);
        vm.prank(governor);
        stakes.admitVerifier(id, addressOf("verifier"));
    }

    function expectNotOrdered(string memory signer) private {
        accuse(
            signer,
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotOrdered.selector, order.requester, addressOf(signer))
        );
    }

    /// @dev Two answers to the present order, which this key signs.
    function accuse(string memory signer, bytes memory refusal) private {
        (Commitment memory first, Commitment memory second) = (deliver("first"), deliver("second"));
        bytes memory one = sign("node", contests.hashCommitment(first));
        bytes memory two = sign("node", contests.hashCommitment(second));
        (bytes32 r, bytes32 vs) = signCompact(signer, contests.hashOrder(order));
        if (refusal.length > 0) vm.expectRevert(refusal);
        court.equivocation(order, r, vs, first, one, second, two);
    }
}
