// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {CapProof, Lane, LeafProof, Outcomes, Totals} from "src/libraries/Types.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a settlement does to everybody's money: an epoch of two rows, one of alice's lane to operator 3 and one
/// of bob's to operator 5.
/// Bounds: this epoch, the first, with the largest amount and a small one: what an amount may be is `PackingProof`'s and
/// `ChargeWindowProof`'s matter, and a fee of any amount asks the solver to divide. Both lanes and all credits are in any
/// state, within the invariant that no lane was charged more than its proven cap; all lanes together hold 2^62 units.
contract SettlementProof is Symbolic {
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    uint48 private constant LARGE = type(uint48).max;
    uint48 private constant SMALL = 12_345;
    uint64 private constant BOND = 1 << 50;
    uint64 private constant ALL_LANES = 1 << 62;
    bytes32 private constant FIRST_BEACON = keccak256("first");

    Lane private alice;
    Lane private bob;

    function tipOf() internal pure override returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(FIRST_BEACON))));
    }

    function setUp() public override {
        super.setUp();
        token.mint(address(this), type(uint128).max);
        token.approve(address(escrow), type(uint256).max);
        escrow.bondSettler(BOND);
        escrow.deposit(address(this), address(this), ALL_LANES);
        bytes32 root = keccak256(abi.encode(leafOf(ALICE, 3, LARGE), leafOf(BOB, 5, SMALL)));
        vm.startPrank(SETTLER);
        escrow.postEpoch(1, root, 2, keccak256(abi.encode(FIRST_BEACON)), 0);
        vm.roll(START_BLOCK + 10);
        escrow.postEpoch(2, 0, 0, FIRST_BEACON, 0);
        vm.stopPrank();
        vm.warp(START + CHECK_WAIT);
        svm.enableSymbolicStorage(address(escrow));
        (alice, bob) = (escrow.lanes(ALICE, ALICE), escrow.lanes(BOB, BOB));
    }

    /// @notice Covers: A14. Whatever alice's balance, cap and expiry, bob's row is paid: his lane covers it.
    function check_hostileLane_neverBlocksTheRest() public {
        booksAreRight();
        bobCovers();
        assert(settle(group(ALICE)));
        assert(escrow.lanes(BOB, BOB).balanceUnits == bob.balanceUnits - SMALL);
    }

    /// @notice Covers: A14, A21. Whatever alice's cap and whatever bytes stand for its signature, bob's row is paid.
    function check_hostileSignature_neverBlocksTheRest(CapProof memory cap) public {
        booksAreRight();
        bobCovers();
        vm.assume(cap.cap != 0 && alice.balanceUnits >= LARGE && alice.expiry == 0);
        assert(settle(groupWith(ALICE, cap)));
        assert(escrow.lanes(BOB, BOB).balanceUnits == bob.balanceUnits - SMALL);
    }

    /// @notice Covers: A35. What lanes lose is what operators and the fees gain, to the unit.
    function check_settleEpoch_conserves() public {
        booksAreRight();
        vm.assume(settle(group(ALICE)));
        uint256 paid = paidBy(ALICE, alice) + paidBy(BOB, bob);
        Totals memory after_ = escrow.totals();
        assert(after_.balancesUnits == ALL_LANES - paid);
        assert(uint256(after_.creditsUnits) + after_.feesUnits == paid);
    }

    /// @notice Covers: A19, A25. A lane pays its row or nothing, and no more than its proven cap, where the epoch brings
    /// none.
    function check_settleEpoch_staysBelowTheProvenCap() public {
        booksAreRight();
        vm.assume(settle(group(ALICE)));
        Lane memory after_ = escrow.lanes(ALICE, ALICE);
        uint256 paid = paidBy(ALICE, alice);
        assert(paid == 0 || paid == LARGE);
        assert(after_.chargedUnits == alice.chargedUnits + paid && after_.capProvenUnits == alice.capProvenUnits);
        assert(paid == 0 || after_.chargedUnits <= alice.capProvenUnits);
    }

    /// @notice Covers: A16. An epoch is settled once. Assumes that the hash of its outcomes is not zero.
    function check_settleEpoch_once() public {
        booksAreRight();
        vm.assume(settle(group(ALICE)));
        vm.assume(escrow.epochs(1).outcomes != 0);
        assert(!settle(group(ALICE)));
    }

    /// @notice Covers: A29. A stranded leaf is paid on anyone's call, the settler dead, if its lane covers it and the bond
    /// reaches; and it is paid once.
    function check_settleOne_isAlwaysThereAndOnlyOnce(address anyone) public {
        booksAreRight();
        bobCovers();
        vm.assume(escrow.leaves(1, 1).paidAt == 0 && !escrow.leaves(1, 1).closed);
        vm.warp(START + SETTLE_WAIT + 1);
        bytes32[] memory siblings = new bytes32[](1);
        siblings[0] = leafOf(ALICE, 3, LARGE);
        LeafProof memory proof = LeafProof(1, 1, BOB, BOB, 5, SMALL, keccak256("digest"), siblings);
        bytes memory data = abi.encodeCall(escrow.settleOne, (proof, Outcomes("", ""), CapProof(0, 0, 0, 0)));

        vm.startPrank(anyone);
        (bool done,) = address(escrow).call(data);
        assert(done);
        assert(paidBy(BOB, bob) == SMALL);
        (done,) = address(escrow).call(data);
        assert(!done);
    }

    // ---------------------------------------------------------------- given

    function booksAreRight() private view {
        vm.assume(uint256(alice.balanceUnits) + bob.balanceUnits <= ALL_LANES);
        vm.assume(alice.chargedUnits <= alice.capProvenUnits && bob.chargedUnits <= bob.capProvenUnits);
    }

    function bobCovers() private view {
        vm.assume(SMALL <= bob.balanceUnits && uint256(bob.chargedUnits) + SMALL <= bob.capProvenUnits);
        vm.assume(bob.expiry == 0);
    }

    /// @dev The epoch's record with the given head of alice's group.
    function settle(bytes memory alicesGroup) private returns (bool done) {
        bytes memory head = abi.encodePacked(uint16(2), uint32(3), uint32(5), uint8(0));
        bytes memory first = abi.encodePacked(alicesGroup, uint16(0), LARGE, keccak256("digest"));
        bytes memory second = abi.encodePacked(group(BOB), uint16(1), SMALL, keccak256("digest"));
        bytes memory data = abi.encodeCall(escrow.settleEpoch, (1, abi.encodePacked(head, first, second)));
        vm.prank(SETTLER, SETTLER);
        (done,) = address(escrow).call(data);
    }

    function group(address who) private pure returns (bytes memory) {
        return abi.encodePacked(who, who, uint64(0), uint16(1));
    }

    function groupWith(address who, CapProof memory cap) private pure returns (bytes memory) {
        return abi.encodePacked(who, who, cap.cap, cap.termsHash, cap.r, cap.vs, uint16(1));
    }

    function leafOf(address who, uint32 operatorId, uint48 amount) private pure returns (bytes32) {
        return Merkle.leaf(Merkle.laneKey(who, who), operatorId, amount, keccak256("digest"));
    }

    function paidBy(address who, Lane memory before) private view returns (uint256) {
        return before.balanceUnits - escrow.lanes(who, who).balanceUnits;
    }
}
