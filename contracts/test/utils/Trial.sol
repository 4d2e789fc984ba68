// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, LeafProof, Order, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "./EpochBuilder.sol";
import {Network} from "./Network.sol";
import {vm} from "./Vm.sol";

/// @notice One job of alice's by a node, four verifiers of equal stake, and each step of a case about it.
abstract contract Trial is Network {
    using EpochBuilder for EpochBuilder.Draft;

    struct Answer {
        bytes32 traceHash;
        bytes32 outputRoot;
        uint32 units;
    }

    uint64 internal constant MAX_PRICE = 1e6;
    uint64 internal constant PENALTY = 3 * MAX_PRICE;
    uint48 internal constant AMOUNT = 400_000;
    uint64 internal constant FUNDS = 1e9;

    address internal alice = addressOf("alice");
    address internal node = addressOf("node");
    uint32 internal operator;
    uint32[4] internal verifiers;
    uint64 internal epochId;
    Order internal order;
    Commitment internal commitment;
    LeafProof internal leaf;
    Answer internal right = Answer(keccak256("trace"), keccak256("output"), 40);
    Answer internal wrong = Answer(keccak256("another trace"), keccak256("output"), 40);

    function setUp() public virtual override {
        super.setUp();
        operator = registerOperator("operator", STAKE);
        bytes memory signature = sign("node", stakes.hashNodeKey(addressOf("operator"), node));
        vm.prank(addressOf("operator"));
        stakes.addNodeKey(node, signature);
        for (uint256 i = 0; i < 4; ++i) {
            verifiers[i] = admit(i);
        }
        fund(alice, alice, FUNDS);
        order.requester = alice;
        order.spendCap = FUNDS;
        order.terms.comparator = 1;
        order.terms.maxPrice = MAX_PRICE;
        nodeAnswered(right);
    }

    // ---------------------------------------------------------------- who

    function ownerOf(uint256 i) internal pure returns (string memory) {
        return string.concat("owner", vm.toString(i));
    }

    function key(uint256 i) internal pure returns (address) {
        return addressOf(string.concat("verifier", vm.toString(i)));
    }

    function admit(uint256 i) internal returns (uint32 id) {
        id = registerOperator(ownerOf(i), STAKE);
        vm.prank(governor);
        stakes.admitVerifier(id, key(i));
    }

    /// @dev All but this much of an operator's stake was slashed.
    function leaveOnly(uint32 id, uint64 units) internal {
        vm.startPrank(address(court));
        stakes.lock(id, STAKE - units);
        stakes.slash(id, STAKE - units, 0, 0);
        vm.stopPrank();
        stakes.sweep();
    }

    /// @dev Leaves this much of a verifier's stake free.
    function leaveFree(uint32 id, uint64 units) internal {
        vm.prank(address(court));
        stakes.lock(id, STAKE - units);
    }

    // ---------------------------------------------------------------- the job

    /// @dev The node's commitment to an answer, for the present order.
    function commit(Answer memory given) internal {
        bytes32 orderId = contests.hashOrder(order);
        bytes32 trace = TypedData.traceCommit(given.traceHash, orderId, node);
        commitment = Commitment(orderId, node, given.outputRoot, trace, given.units);
    }

    /// @dev The node gave this answer, in an epoch of its own.
    function nodeAnswered(Answer memory given) internal {
        commit(given);
        postJob();
        pass(12);
    }

    function postJob() internal {
        epochId = post(draft());
        leaf = draft().proofOf(epochId, 0, 0);
    }

    function settleJob() internal {
        reveal();
        settle(epochId, draft().pack());
    }

    function draft() internal view returns (EpochBuilder.Draft memory made) {
        made = draftOf("alice", operator, AMOUNT);
        made.groups[0].rows[0].digest = contests.hashCommitment(commitment);
    }

    /// @dev Of an epoch that was settled with nothing void and nobody skipped; of a stranded one nobody looks at them.
    function outcomes() internal view returns (Outcomes memory) {
        return Outcomes(draft().voidBits(), new bytes(1));
    }

    // ---------------------------------------------------------------- the case

    function answerCommit(uint256 i, Answer memory given) internal view returns (bytes32) {
        bytes32 digest = contests.hashCommitment(commitment);
        return TypedData.answerCommit(given.traceHash, given.outputRoot, given.units, digest, key(i));
    }

    function openCase(uint256 i, Answer memory given) internal returns (bytes32) {
        bytes memory signature = sign("node", leaf.digest);
        bytes32 hidden = answerCommit(i, given);
        vm.prank(key(i));
        return court.openCase(leaf, order, commitment, signature, hidden);
    }

    function answer(bytes32 caseId, uint256 i, Answer memory given) internal {
        bytes32 hidden = answerCommit(i, given);
        vm.prank(key(i));
        court.commitVerdict(caseId, hidden);
    }

    function toReveal(bytes32 caseId) internal {
        vm.warp(court.cases(caseId).commitEnds);
    }

    function open(uint256 i, Answer memory given) internal {
        vm.prank(key(i));
        court.reveal(leaf, commitment, given.traceHash, given.outputRoot, given.units);
    }

    /// @dev The node's answer was wrong, and so many verifiers say so.
    function convict(uint256 openers) internal returns (bytes32 caseId) {
        nodeAnswered(wrong);
        caseId = openCase(0, right);
        for (uint256 i = 1; i < openers; ++i) {
            answer(caseId, i, right);
        }
        toReveal(caseId);
        for (uint256 i = 0; i < openers; ++i) {
            open(i, right);
        }
        pass(REVEAL_WINDOW);
    }

    /// @dev What the ruling will be, if nothing more is opened.
    function expectRuling(bytes32 caseId, ISlashingCourt.Ruling expected) internal {
        uint256 now_ = time();
        vm.assertTrue(court.ruling(caseId) == ISlashingCourt.Ruling.OPEN);
        vm.warp(court.cases(caseId).commitEnds + REVEAL_WINDOW);
        vm.assertTrue(court.ruling(caseId) == expected);
        vm.warp(now_);
    }

    /// @dev As soon as it may be, and whoever may have voted is settled with it.
    function execute(bytes32 caseId) internal {
        if (time() < court.cases(caseId).commitEnds + REVEAL_WINDOW) pass(REVEAL_WINDOW);
        executeWith(everyone());
    }

    function executeWith(uint32[] memory ids) internal {
        Outcomes memory settled = outcomes();
        court.execute(leaf, settled, ids);
    }

    // ---------------------------------------------------------------- lists

    function nobody() internal pure returns (uint32[] memory) {
        return new uint32[](0);
    }

    function only(uint32 id) internal pure returns (uint32[] memory ids) {
        ids = new uint32[](1);
        ids[0] = id;
    }

    function everyone() internal view returns (uint32[] memory ids) {
        ids = new uint32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            ids[i] = verifiers[i];
        }
    }

    // ---------------------------------------------------------------- books

    /// @dev All of an account: what is at stake and what its owner is taking out.
    function worth(uint32 id) internal view returns (uint64) {
        return stakes.stakeOf(id) + stakes.operators(id).unbondingUnits;
    }

    function locked(uint32 id) internal view returns (uint80) {
        return stakes.operators(id).lockedUnits;
    }

    function assertNothingLocked() internal view {
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(locked(verifiers[i]), 0, "a verifier's lock");
        }
        vm.assertEq(locked(operator), 0, "the operator's lock");
    }

    /// @dev All that was slashed and nobody is owed, in the end.
    function assertSunk(uint64 units) internal {
        stakes.sweep();
        vm.assertEq(token.balanceOf(sink), units * UNIT, "the sink");
        vm.assertEq(stakes.sunkUnits(), 0, "swept");
        assertConserved();
    }
}
