// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {Commitment, LeafProof, Order} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Trial} from "../utils/Trial.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A61. A cheat's friend opens a case on an honest leaf of the same node first, at a price that asks
/// for all of its stake. What that case asks for is no shield: a penalty is what is there when it is executed.
contract ShieldTest is Trial {
    using EpochBuilder for EpochBuilder.Draft;

    struct Saved {
        Order order;
        Commitment commitment;
        LeafProof leaf;
        uint64 epochId;
    }

    uint64 private constant CHEAT_PRICE = 1e11; // three tenths of the stake

    Saved private decoy;
    Saved private cheat;

    function setUp() public override {
        super.setUp();
        order.terms.maxPrice = STAKE / 3 + 1;
        order.terms.salt = 1;
        nodeAnswered(right);
        keep(decoy);
        order.terms.maxPrice = CHEAT_PRICE;
        order.terms.salt = 2;
        nodeAnswered(wrong);
        keep(cheat);
    }

    /// @notice Covers: A61. The real case is paid in full although the friend's came first, and what the friend's asked
    /// for is free again.
    function test_execute_isPaidWhateverElseWasLockedFirst() public {
        (bytes32 decoyCase, bytes32 caseId) = bothCases();
        vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.NODE_GUILTY);
        vm.assertTrue(court.ruling(decoyCase) == ISlashingCourt.Ruling.DISMISSED);
        settleBoth();
        uint256 state = vm.snapshotState();
        for (uint256 first = 0; first < 2; ++first) {
            take(first == 0 ? decoy : cheat);
            executeWith(everyone());
            take(first == 0 ? cheat : decoy);
            executeWith(everyone());
            vm.assertEq(worth(operator), STAKE - 3 * CHEAT_PRICE, "the whole penalty, in either order");
            vm.assertEq(worth(verifiers[0]), STAKE + CASE_REWARD, "who found it is rewarded");
            vm.assertEq(
                lane(alice, alice).balanceUnits, FUNDS - AMOUNT, "the cheat's charge came back, the decoy's stays"
            );
            assertNothingLocked();
            vm.revertToState(state);
        }
    }

    /// @notice Covers: A61. Two cases that ask for more than there is share it in the order of execution, to the last
    /// unit.
    function test_execute_sharesWhatIsThereInTheOrderOfExecution() public {
        order.terms.maxPrice = STAKE / 3 + 1;
        order.terms.salt = 3;
        nodeAnswered(wrong);
        keep(decoy); // a second cheat, which asks for everything
        convictOf(cheat);
        convictOf(decoy);
        settleBoth();
        vm.assertEq(locked(operator), 3 * uint256(CHEAT_PRICE) + 3 * (STAKE / 3 + 1), "asked for: more than there is");

        take(cheat);
        executeWith(everyone());
        vm.assertEq(worth(operator), STAKE - 3 * CHEAT_PRICE, "the first takes its penalty");
        take(decoy);
        executeWith(everyone());
        vm.assertEq(worth(operator), 0, "the second what is left");
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS, "both charges came back");
        assertNothingLocked();
        stakes.sweep();
        assertConserved();
    }

    /// @notice Covers: A61. While a case is open, all that it asks for stays, of what is staked and of what has
    /// unbonded.
    function test_withdrawStake_takesNothingThatAnOpenCaseAsksFor() public {
        vm.prank(addressOf("operator"));
        stakes.unbond(STAKE);
        take(cheat);
        openCase(0, right);
        vm.warp(time() + UNBOND); // no protocol time is so long: the case window ends before
        vm.startPrank(addressOf("operator"));
        stakes.withdrawStake(addressOf("operator"));
        vm.assertEq(worth(operator), 3 * CHEAT_PRICE, "what the case asks for is there");
        vm.expectPartialRevert(bytes4(keccak256("StakeManager_NothingToWithdraw(uint32,uint64,uint80)")));
        stakes.withdrawStake(addressOf("operator"));
    }

    /// @notice Covers: A61. Two answers to one order cost their whole penalty too, whatever a friend's case asks for.
    function test_equivocation_takesItsPenaltyBesideAnOpenCase() public {
        take(decoy);
        openCase(3, right);
        order.terms.maxPrice = CHEAT_PRICE;
        order.terms.salt = 4;
        commit(right);
        (Commitment memory first, bytes memory firstSignature) =
            (commitment, sign("node", contests.hashCommitment(commitment)));
        commit(wrong);
        bytes memory secondSignature = sign("node", contests.hashCommitment(commitment));
        (bytes32 r, bytes32 vs) = signCompact("alice", contests.hashOrder(order));
        court.equivocation(order, r, vs, first, firstSignature, commitment, secondSignature);
        vm.assertEq(worth(operator), STAKE - 3 * CHEAT_PRICE);

        pass(COMMIT_WINDOW + REVEAL_WINDOW);
        take(decoy);
        executeWith(everyone());
        vm.assertEq(worth(operator), STAKE - 3 * CHEAT_PRICE, "dismissed: no more than that");
        vm.assertEq(locked(operator), 0);
    }

    // ---------------------------------------------------------------- steps

    /// @dev The friend's on the honest leaf first, then three honest verifiers' on the cheat. All tell the truth.
    function bothCases() private returns (bytes32 decoyCase, bytes32 caseId) {
        take(decoy);
        decoyCase = openCase(3, right);
        vm.assertEq(locked(operator), 3 * (STAKE / 3 + 1), "the friend's asks for all there is");
        take(cheat);
        caseId = openCase(0, right);
        vm.assertEq(court.cases(caseId).penaltyUnits, 3 * CHEAT_PRICE, "and this one for its own penalty");
        answer(caseId, 1, right);
        answer(caseId, 2, right);
        toReveal(caseId);
        for (uint256 i = 0; i < 3; ++i) {
            open(i, right);
        }
        take(decoy);
        open(3, right);
        pass(REVEAL_WINDOW);
    }

    function convictOf(Saved storage saved) private {
        take(saved);
        bytes32 caseId = openCase(0, right);
        answer(caseId, 1, right);
        toReveal(caseId);
        open(0, right);
        open(1, right);
        pass(REVEAL_WINDOW);
    }

    function settleBoth() private {
        reveal();
        (Saved storage older, Saved storage newer) = decoy.epochId < cheat.epochId ? (decoy, cheat) : (cheat, decoy);
        take(older);
        settle(epochId, draft().pack());
        take(newer);
        settle(epochId, draft().pack());
    }

    function keep(Saved storage saved) private {
        saved.order = order;
        saved.commitment = commitment;
        saved.leaf = leaf;
        saved.epochId = epochId;
    }

    function take(Saved storage saved) private {
        order = saved.order;
        commitment = saved.commitment;
        leaf = saved.leaf;
        epochId = saved.epochId;
    }
}
