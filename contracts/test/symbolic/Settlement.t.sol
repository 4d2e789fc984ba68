// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CapProof, Lane, LeafProof, Outcomes, SettlerBond, Totals} from "src/libraries/Types.sol";
import {Merkle} from "src/libraries/Merkle.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a settlement does to everybody's money. An epoch of two rows: one of a lane that proves its cap, one of
/// a lane that does not, of an operator each.
/// Bounds: this shape of epoch, with these names; no bucket of the charge window ends just then (ChargeWindowProof has
/// that). Amounts, caps, signatures and the rest of the escrow's state are unknown, but for the assumptions that a
/// property names; time below 2^32 seconds.
contract SettlementProof is Symbolic {
    struct Row {
        address requester;
        address signer;
        uint32 operatorId;
        uint48 amountUnits;
        bytes32 digest;
    }

    struct Books {
        Lane[2] lanes;
        uint64[2] earnedUnits;
        Totals totals;
        uint256 heldWei;
    }

    uint64 private constant ID = 7;
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    uint256 private time;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(escrow));
        time = svm.createUint(32, "time");
        vm.warp(time);
    }

    // ---------------------------------------------------------------- settleEpoch

    /// @notice Covers: A35. What lanes lose is what operators and the fees gain, to the unit, and nothing of it leaves
    /// the escrow.
    function check_settleEpoch_conserves(uint48[2] memory amounts, CapProof memory cap) public {
        (Row memory a, Row memory b) = rows(amounts);
        Books memory before = settled(a, b, cap);
        Books memory after_ = books(a, b);

        uint256 charged = before.lanes[0].balanceUnits - after_.lanes[0].balanceUnits;
        charged += before.lanes[1].balanceUnits - after_.lanes[1].balanceUnits;
        assert(before.totals.balancesUnits - after_.totals.balancesUnits == charged);
        uint256 credits = after_.totals.creditsUnits - before.totals.creditsUnits;
        uint256 fees = after_.totals.feesUnits - before.totals.feesUnits;
        assert(credits + fees == charged);
        unchecked {
            uint64 first = after_.earnedUnits[0] - before.earnedUnits[0];
            uint64 second = after_.earnedUnits[1] - before.earnedUnits[1];
            assert(uint256(first) + second == credits);
        }
        assert(after_.heldWei == before.heldWei);
    }

    /// @notice Covers: A19, A25. A lane is charged its row or nothing; what it was charged in its life is at most the
    /// highest cap proven, which only its signer's signature raises.
    function check_settleEpoch_staysBelowTheCap(uint48[2] memory amounts, CapProof memory cap) public {
        (Row memory a, Row memory b) = rows(amounts);
        Books memory before = settled(a, b, cap);
        Books memory after_ = books(a, b);
        requireBelowCap(before.lanes[0], after_.lanes[0], a, cap.cap);
        requireBelowCap(before.lanes[1], after_.lanes[1], b, 0);
    }

    /// @notice Covers: A14. A lane in any state, with any cap and any signature, takes nothing from the lane after it:
    /// that one pays its row. Assumes that the good lane covers its row and has proved so, that the epoch may be
    /// settled, and that the bond covers it.
    function check_hostileLane_neverBlocksTheRest(uint48[2] memory amounts, CapProof memory cap) public {
        (Row memory a, Row memory b) = rows(amounts);
        assumePosted(a, b);
        assumeCovered(a, b);
        Lane memory good = escrow.lanes(b.requester, b.signer);
        vm.prank(escrow.settler(), escrow.settler());
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (ID, pack(a, b, cap))));
        assert(done);
        assert(escrow.lanes(b.requester, b.signer).balanceUnits == good.balanceUnits - b.amountUnits);
        assert(escrow.lanes(b.requester, b.signer).chargedUnits == good.chargedUnits + b.amountUnits);
    }

    /// @notice Covers: A16. An epoch is settled once. Assumes that the hash of its outcomes is not zero.
    function check_settleEpoch_once(uint48[2] memory amounts, CapProof memory cap) public {
        (Row memory a, Row memory b) = rows(amounts);
        settled(a, b, cap);
        vm.assume(escrow.epochs(ID).outcomes != 0);
        vm.prank(escrow.settler(), escrow.settler());
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (ID, pack(a, b, cap))));
        assert(!done);
    }

    // ---------------------------------------------------------------- settleOne

    /// @notice Covers: A29. A leaf of a stranded epoch is paid by anyone's call, the settler dead, with a proof and
    /// nothing else. Assumes that its lane covers it and has proved so, and that the bond does.
    function check_settleOne_isAlwaysThereForAStrandedLeaf(address anyone, uint48[2] memory amounts) public {
        (Row memory a, Row memory b) = rows(amounts);
        vm.assume(escrow.epochs(ID).root == rootOf(a, b) && escrow.epochs(ID).count == 2);
        vm.assume(escrow.epochs(ID).postedAt != 0 && escrow.epochs(ID).outcomes == 0);
        vm.assume(time > escrow.epochs(ID).postedAt + SETTLE_WAIT);
        vm.assume(escrow.leaves(ID, 1).paidAt == 0 && !escrow.leaves(ID, 1).closed);
        assumeGood(b);
        assumeBooks(escrow.lanes(b.requester, b.signer).balanceUnits, b.amountUnits);
        Lane memory lane = escrow.lanes(b.requester, b.signer);

        vm.prank(anyone);
        (bool done,) = address(escrow).call(settleOneOf(a, b));
        assert(done);
        assert(escrow.lanes(b.requester, b.signer).balanceUnits == lane.balanceUnits - b.amountUnits);
    }

    /// @notice Covers: A16. A leaf is paid once, and what it costs goes to its operator and the fees.
    function check_settleOne_onceAndConserves(uint48[2] memory amounts) public {
        (Row memory a, Row memory b) = rows(amounts);
        vm.assume(escrow.epochs(ID).root == rootOf(a, b) && escrow.epochs(ID).count == 2);
        vm.assume(time != 0);
        Books memory before = books(a, b);
        (bool done,) = address(escrow).call(settleOneOf(a, b));
        vm.assume(done);

        Totals memory totals = escrow.totals();
        assert(before.totals.balancesUnits - totals.balancesUnits == b.amountUnits);
        uint256 credits = totals.creditsUnits - before.totals.creditsUnits;
        assert(credits + totals.feesUnits - before.totals.feesUnits == b.amountUnits);
        unchecked {
            assert(escrow.operators(b.operatorId).earnedUnits - before.earnedUnits[1] == credits);
        }
        (done,) = address(escrow).call(settleOneOf(a, b));
        assert(!done);
    }

    // ---------------------------------------------------------------- assumptions

    /// @dev Settles it in whatever state the escrow is, as far as that succeeds. Assumes two lanes, two operators, and
    /// that both lanes' balances are in the totals.
    function settled(Row memory a, Row memory b, CapProof memory cap) private returns (Books memory before) {
        assumePosted(a, b);
        before = books(a, b);
        vm.prank(escrow.settler(), escrow.settler());
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (ID, pack(a, b, cap))));
        vm.assume(done);
    }

    function assumePosted(Row memory a, Row memory b) private view {
        uint256 bucketStart = escrow.settlerBond().bucketStart;
        vm.assume(time >= bucketStart && time < bucketStart + CHARGE_WINDOW);
        vm.assume(escrow.epochs(ID).root == rootOf(a, b) && escrow.epochs(ID).count == 2);
    }

    function assumeCovered(Row memory a, Row memory b) private view {
        uint256 postedAt = escrow.epochs(ID).postedAt;
        uint256 revealedAt = escrow.epochs(ID + 1).postedAt;
        vm.assume(escrow.epochs(ID).outcomes == 0 && time <= postedAt + SETTLE_WAIT);
        vm.assume(revealedAt != 0 && time >= revealedAt + CHECK_WAIT);
        assumeGood(b);
        Lane memory hostile = escrow.lanes(a.requester, a.signer);
        vm.assume(hostile.chargedUnits <= hostile.capProvenUnits);
        uint256 balances = uint256(hostile.balanceUnits) + escrow.lanes(b.requester, b.signer).balanceUnits;
        assumeBooks(balances, uint256(a.amountUnits) + b.amountUnits);
    }

    /// @dev A lane that covers its row by balance and by the cap proven already, and has not expired.
    function assumeGood(Row memory row) private view {
        Lane memory lane = escrow.lanes(row.requester, row.signer);
        vm.assume(row.amountUnits <= lane.balanceUnits);
        vm.assume(uint256(lane.chargedUnits) + row.amountUnits <= lane.capProvenUnits);
        vm.assume(lane.expiry == 0 || time <= lane.expiry + NOTICE);
    }

    /// @dev The books' invariants: these balances are in the totals, all that is held is below 2^64. And the bond
    /// covers this sum in the present bucket; how buckets move on is proved by ChargeWindowProof.
    function assumeBooks(uint256 balancesUnits, uint256 sumUnits) private view {
        Totals memory totals = escrow.totals();
        vm.assume(balancesUnits <= totals.balancesUnits);
        vm.assume(uint256(totals.balancesUnits) + totals.creditsUnits + totals.feesUnits <= type(uint64).max);
        SettlerBond memory bond = escrow.settlerBond();
        vm.assume(uint256(bond.spentPreviousUnits) + bond.spentCurrentUnits + sumUnits <= bond.bondUnits);
        vm.assume(time >= bond.bucketStart && time < uint256(bond.bucketStart) + CHARGE_WINDOW);
    }

    // ---------------------------------------------------------------- reading and writing

    function requireBelowCap(Lane memory before, Lane memory after_, Row memory row, uint64 cap) private pure {
        uint256 paid = before.balanceUnits - after_.balanceUnits;
        assert(paid == 0 || paid == row.amountUnits);
        assert(after_.chargedUnits == before.chargedUnits + paid);
        assert(paid == 0 || after_.chargedUnits <= after_.capProvenUnits);
        bool raised = after_.capProvenUnits != before.capProvenUnits;
        assert(!raised || after_.capProvenUnits == cap);
    }

    function books(Row memory a, Row memory b) private view returns (Books memory now_) {
        now_.lanes[0] = escrow.lanes(a.requester, a.signer);
        now_.lanes[1] = escrow.lanes(b.requester, b.signer);
        now_.earnedUnits[0] = escrow.operators(a.operatorId).earnedUnits;
        now_.earnedUnits[1] = escrow.operators(b.operatorId).earnedUnits;
        now_.totals = escrow.totals();
        now_.heldWei = escrow.held();
    }

    function settleOneOf(Row memory a, Row memory b) private view returns (bytes memory) {
        bytes32[] memory siblings = new bytes32[](1);
        siblings[0] = leafOf(a);
        LeafProof memory proof =
            LeafProof(ID, 1, b.requester, b.signer, b.operatorId, b.amountUnits, b.digest, siblings);
        return abi.encodeCall(escrow.settleOne, (proof, Outcomes("", ""), CapProof(0, 0, 0, 0)));
    }

    function rows(uint48[2] memory amounts) private pure returns (Row memory a, Row memory b) {
        a = Row(ALICE, ALICE, 3, amounts[0], keccak256("first"));
        b = Row(BOB, BOB, 5, amounts[1], keccak256("second"));
    }

    function rootOf(Row memory a, Row memory b) private pure returns (bytes32) {
        return keccak256(abi.encode(leafOf(a), leafOf(b)));
    }

    function leafOf(Row memory row) private pure returns (bytes32) {
        bytes32 laneKey = Merkle.laneKey(row.requester, row.signer);
        return Merkle.leaf(laneKey, row.operatorId, row.amountUnits, row.digest);
    }

    function pack(Row memory a, Row memory b, CapProof memory cap) private pure returns (bytes memory) {
        vm.assume(cap.cap != 0);
        bytes memory head = abi.encodePacked(uint16(2), a.operatorId, b.operatorId, uint8(0));
        bytes memory first = abi.encodePacked(a.requester, a.signer, cap.cap, cap.termsHash, cap.r, cap.vs, uint16(1));
        bytes memory second = abi.encodePacked(b.requester, b.signer, uint64(0), uint16(1));
        bytes memory rowA = abi.encodePacked(uint16(0), a.amountUnits, a.digest);
        bytes memory rowB = abi.encodePacked(uint16(1), b.amountUnits, b.digest);
        return abi.encodePacked(head, first, rowA, second, rowB);
    }
}
