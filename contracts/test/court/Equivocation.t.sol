// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {CapProof, Commitment} from "src/libraries/Types.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of SlashingCourt.tree on two answers to one order. Covers: A56.
contract EquivocationTest is Job {
    uint64 private constant PENALTY = 3 * MAX_PRICE;

    Commitment private second;

    function setUp() public override {
        super.setUp();
        second = deliver("second");
    }

    /// @notice Two signatures are enough: no verdict, no epoch, no delay. Covers: A10. Nobody gets any of it: the order may be
    /// its own, so a node could convict itself, and a reward would be its stake's way out without unbonding.
    function test_equivocation_slashesAtOnce() public {
        accuse();
        vm.assertEq(stakes.stakeOf(operator), STAKE - PENALTY);
        vm.assertEq(stakes.rewardsUnits(), 0);
        vm.assertEq(stakes.sunkUnits(), PENALTY);
        stakes.sweep();
        vm.assertEq(token.balanceOf(sink), PENALTY * UNIT);
        vm.assertTrue(court.equivocated(commitment.orderId, node));
        vm.assertEq(stakes.operators(operator).lockedUnits, 0);
        assertConserved();
    }

    function test_equivocation_onceAnOrderAndNode() public {
        accuse();
        second = deliver("third");
        refuse(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_AlreadySlashed.selector, commitment.orderId, node));
    }

    /// @notice Covers: A10. Unbonding is no escape, and what a case has asked for is none either, to the last unit.
    function test_equivocation_reachesWhatIsUnbondingUpToWhatIsThere() public {
        vm.prank(addressOf("operator"));
        stakes.unbond(STAKE);
        vm.startPrank(address(court));
        stakes.lock(operator, STAKE - 10);
        stakes.slash(operator, STAKE - 10, 0, 0);
        stakes.lock(operator, STAKE);
        vm.stopPrank();
        accuse();
        vm.assertEq(stakes.operators(operator).unbondingUnits, 0);
        vm.assertEq(stakes.sunkUnits(), STAKE);
        vm.assertEq(stakes.operators(operator).lockedUnits, STAKE);
        second = deliver("third");
        order.terms.salt = 1;
        (commitment, second) = (deliver("first"), deliver("second"));
        refuse(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NothingToSlash.selector, operator));
        assertConserved();
    }

    function test_equivocation_refusesOneCommitmentOrTwoNodes() public {
        bytes32 digest = contests.hashCommitment(commitment);
        Commitment memory other = second;
        second = commitment;
        refuse(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_NotTwoCommitments.selector, digest, digest));
        second = other;
        second.node = addressOf("another node");
        refuse(abi.encodePacked(ISlashingCourt.SlashingCourt_NotTwoCommitments.selector));
    }

    function test_equivocation_refusesAnotherOrder() public {
        second.orderId = keccak256("another order");
        refuse(abi.encodePacked(Evidence.Evidence_WrongOrder.selector));
        second = commitment;
        commitment.orderId = keccak256("another order");
        refuse(abi.encodePacked(Evidence.Evidence_WrongOrder.selector));
    }

    /// @notice Covers: A54. Nobody is framed: both commitments carry the node's own signature, and the node is an
    /// operator's.
    function test_equivocation_refusesWhatTheNodeDidNotSign() public {
        bytes memory good = sign("node", contests.hashCommitment(commitment));
        bytes memory forged = sign("settler", contests.hashCommitment(second));
        CapProof memory proof = orderProof();
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_NotSignedByNode.selector, node, settler, operator));
        court.equivocation(order, proof.r, proof.vs, commitment, good, second, forged);

        (commitment.node, second.node) = (settler, settler);
        good = sign("settler", contests.hashCommitment(commitment));
        forged = sign("settler", contests.hashCommitment(second));
        vm.expectRevert(abi.encodeWithSelector(Evidence.Evidence_NotSignedByNode.selector, settler, settler, 0));
        court.equivocation(order, proof.r, proof.vs, commitment, good, second, forged);
    }

    // ---------------------------------------------------------------- stake that leaves

    /// @notice Covers: A11. Nobody registers, stakes, acts and leaves at once: stake leaves after UNBOND, whenever it came.
    function test_stake_cannotLeaveInTheBlockInWhichItCame() public {
        address owner = addressOf("hasty");
        uint32 id = registerOperator("hasty", 1000);
        vm.startPrank(owner);
        stakes.unbond(1000);
        uint256 endsAt = time() + UNBOND;
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_StillUnbonding.selector, id, time(), endsAt));
        stakes.withdrawStake(owner);
    }

    function accuse() private {
        refuse("");
    }

    /// @dev Accuses, and expects a refusal unless it is empty; four bytes stand for any values.
    function refuse(bytes memory refusal) private {
        bytes memory one = sign("node", contests.hashCommitment(commitment));
        bytes memory two = sign("node", contests.hashCommitment(second));
        CapProof memory proof = orderProof();
        if (refusal.length == 4) vm.expectPartialRevert(bytes4(refusal));
        else if (refusal.length > 0) vm.expectRevert(refusal);
        court.equivocation(order, proof.r, proof.vs, commitment, one, second, two);
    }
}
