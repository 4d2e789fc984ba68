// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Merkle} from "src/libraries/Merkle.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, LeafProof, Outcomes, Totals} from "src/libraries/Types.sol";
import {Symbolic} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a settlement does to everybody's money: an epoch of two rows, one of alice's lane to operator 3 and one
/// of bob's to operator 5, each with a cap.
/// Bounds: this shape of epoch, the first of a fresh network; deposits, bond, amounts, caps and signatures are any.
contract SettlementProof is Symbolic {
    struct Money {
        uint64[2] deposits;
        uint64 bond;
        uint48[2] amounts;
    }

    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    bytes32 private constant FIRST_BEACON = keccak256("first");

    function tipOf() internal pure override returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(FIRST_BEACON))));
    }

    /// @notice Covers: A35. What lanes lose is what operators and the fees gain, to the unit; nothing leaves the escrow.
    function check_settleEpoch_conserves(Money memory money, CapProof[2] memory caps) public {
        posted(money);
        vm.assume(settle(money, caps));
        uint256 paid = paidBy(ALICE, money.deposits[0]) + paidBy(BOB, money.deposits[1]);
        Totals memory totals = escrow.totals();
        assert(totals.balancesUnits == uint256(money.deposits[0]) + money.deposits[1] - paid);
        assert(uint256(totals.creditsUnits) + totals.feesUnits == paid);
        uint256 earned = uint256(escrow.operators(3).earnedUnits) + escrow.operators(5).earnedUnits;
        assert(earned == totals.creditsUnits);
        assert(escrow.held() == token.balanceOf(address(escrow)));
    }

    /// @notice Covers: A19, A25. A lane pays its row or nothing, and never more than a cap that its signer signed.
    function check_settleEpoch_staysBelowTheCap(Money memory money, CapProof[2] memory caps) public {
        posted(money);
        vm.assume(settle(money, caps));
        uint256 paid = paidBy(ALICE, money.deposits[0]);
        assert(paid == 0 || (paid == money.amounts[0] && paid <= caps[0].cap && isSigned(ALICE, caps[0])));
        assert(escrow.lanes(ALICE, ALICE).chargedUnits == paid);
    }

    /// @notice Covers: A14. Whatever alice's balance, cap and signature, bob's row is paid: he signed a cap that covers
    /// it and has the money, and the settler bonded as much as the epoch.
    function check_hostileLane_neverBlocksTheRest(Money memory money, CapProof[2] memory caps) public {
        vm.assume(money.amounts[1] <= money.deposits[1] && money.amounts[1] <= caps[1].cap);
        vm.assume(isSigned(BOB, caps[1]));
        vm.assume(uint256(money.amounts[0]) + money.amounts[1] <= money.bond);
        posted(money);
        assert(settle(money, caps));
        assert(paidBy(BOB, money.deposits[1]) == money.amounts[1]);
    }

    /// @notice Covers: A16. An epoch is settled once. Assumes that the hash of its outcomes is not zero.
    function check_settleEpoch_once(Money memory money, CapProof[2] memory caps) public {
        posted(money);
        vm.assume(settle(money, caps));
        vm.assume(escrow.epochs(1).outcomes != 0);
        assert(!settle(money, caps));
    }

    /// @notice Covers: A29. A stranded leaf is paid on anyone's call, the settler dead, if its lane's signer signed a cap
    /// that covers it, the money is there and the bond reaches; and it is paid once.
    function check_settleOne_isAlwaysThereAndOnlyOnce(address anyone, Money memory money, CapProof memory cap) public {
        vm.assume(money.amounts[1] <= money.deposits[1] && money.amounts[1] <= cap.cap && isSigned(BOB, cap));
        vm.assume(money.amounts[1] <= money.bond);
        posted(money);
        vm.warp(START + SETTLE_WAIT + 1);
        bytes32[] memory siblings = new bytes32[](1);
        siblings[0] = leafOf(ALICE, 3, money.amounts[0]);
        LeafProof memory proof = LeafProof(1, 1, BOB, BOB, 5, money.amounts[1], keccak256("digest"), siblings);
        bytes memory data = abi.encodeCall(escrow.settleOne, (proof, Outcomes("", ""), cap));

        vm.startPrank(anyone);
        (bool done,) = address(escrow).call(data);
        assert(done);
        assert(paidBy(BOB, money.deposits[1]) == money.amounts[1] && paidBy(ALICE, money.deposits[0]) == 0);
        Totals memory totals = escrow.totals();
        assert(uint256(totals.creditsUnits) + totals.feesUnits == money.amounts[1]);
        (done,) = address(escrow).call(data);
        assert(!done);
    }

    // ---------------------------------------------------------------- given

    /// @dev Both funded, the settler bonded, the epoch posted and its check period over.
    function posted(Money memory money) private {
        token.mint(address(this), type(uint128).max);
        token.approve(address(escrow), type(uint256).max);
        vm.assume(uint256(money.deposits[0]) + money.deposits[1] <= type(uint64).max);
        escrow.deposit(ALICE, ALICE, money.deposits[0]);
        escrow.deposit(BOB, BOB, money.deposits[1]);
        escrow.bondSettler(money.bond);
        bytes32 left = leafOf(ALICE, 3, money.amounts[0]);
        bytes32 right = leafOf(BOB, 5, money.amounts[1]);
        vm.startPrank(SETTLER);
        escrow.postEpoch(1, keccak256(abi.encode(left, right)), 2, keccak256(abi.encode(FIRST_BEACON)), 0);
        vm.roll(START_BLOCK + 10);
        escrow.postEpoch(2, 0, 0, FIRST_BEACON, 0);
        vm.stopPrank();
        vm.warp(START + CHECK_WAIT);
    }

    function settle(Money memory money, CapProof[2] memory caps) private returns (bool done) {
        vm.assume(caps[0].cap != 0 && caps[1].cap != 0);
        bytes memory head = abi.encodePacked(uint16(2), uint32(3), uint32(5), uint8(0));
        bytes memory first = abi.encodePacked(group(ALICE, caps[0]), uint16(0), money.amounts[0], keccak256("digest"));
        bytes memory second = abi.encodePacked(group(BOB, caps[1]), uint16(1), money.amounts[1], keccak256("digest"));
        bytes memory data = abi.encodeCall(escrow.settleEpoch, (1, abi.encodePacked(head, first, second)));
        vm.prank(SETTLER, SETTLER);
        (done,) = address(escrow).call(data);
    }

    function group(address who, CapProof memory cap) private pure returns (bytes memory) {
        return abi.encodePacked(who, who, cap.cap, cap.termsHash, cap.r, cap.vs, uint16(1));
    }

    function leafOf(address who, uint32 operatorId, uint48 amount) private pure returns (bytes32) {
        return Merkle.leaf(Merkle.laneKey(who, who), operatorId, amount, keccak256("digest"));
    }

    /// @dev As EIP-2098 has it, with a low s.
    function isSigned(address who, CapProof memory cap) private view returns (bool) {
        bytes32 structHash = TypedData.hashOrder(who, cap.cap, cap.termsHash);
        bytes32 digest = MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), structHash);
        uint256 s = uint256(cap.vs) & (type(uint256).max >> 1);
        return s <= HALF_ORDER && ecrecover(digest, uint8(uint256(cap.vs) >> 255) + 27, cap.r, bytes32(s)) == who;
    }

    function paidBy(address who, uint64 deposit) private view returns (uint256) {
        return deposit - escrow.lanes(who, who).balanceUnits;
    }
}
