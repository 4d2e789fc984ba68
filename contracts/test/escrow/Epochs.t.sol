// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {CapProof, EpochStatus, SkipReason} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of JobEscrow.tree on epochs: posting and settling whole.
contract EpochsTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    uint256 private constant HALF_N = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    address private alice = addressOf("alice");
    address private bob = addressOf("bob");
    uint32 private operator;

    function setUp() public override {
        super.setUp();
        operator = registerOperator("operator", 0);
        fund(alice, alice, 1000);
        fund(bob, bob, 1000);
    }

    // ---------------------------------------------------------------- postEpoch

    function test_postEpoch_refusesOthers() public {
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotSettler.selector, address(this)));
        escrow.postEpoch(1, 0, 0, beacons[BEACONS - 1], 0);
    }

    function test_postEpoch_refusesAnIdOutOfTurn() public {
        bytes32 beacon = beacons[BEACONS - 1];
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_WrongEpochId.selector, 2, 1));
        escrow.postEpoch(2, 0, 0, beacon, 0);
    }

    /// @notice Covers: A06. Only the value whose hash was published before is a beacon.
    function testFuzz_postEpoch_refusesAnotherBeacon(bytes32 beacon) public {
        vm.assume(beacon != beacons[BEACONS - 1]);
        bytes32 tip = escrow.tip();
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_WrongBeacon.selector, beacon, tip));
        escrow.postEpoch(1, 0, 0, beacon, 0);
    }

    /// @notice Covers: A06. The seed's block lies behind before the beacon is shown.
    function test_postEpoch_waitsForTheSeedBlock() public {
        post(draftOf("alice", operator, 1));
        bytes32 beacon = beacons[BEACONS - 2];
        uint256 posted = vm.getBlockNumber();
        vm.roll(posted + 2);
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_SeedBlockAhead.selector, posted + 2, posted + 2));
        escrow.postEpoch(2, 0, 0, beacon, 0);
        vm.roll(posted + 3);
        vm.prank(settler);
        escrow.postEpoch(2, 0, 0, beacon, 0);
    }

    function test_postEpoch_isEmptyIffRootIsZero() public {
        bytes32 beacon = beacons[BEACONS - 1];
        vm.startPrank(settler);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_RootAndCountDiffer.selector);
        escrow.postEpoch(1, 0, 1, beacon, 0);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_RootAndCountDiffer.selector);
        escrow.postEpoch(1, keccak256("root"), 0, beacon, 0);
    }

    function test_epochStatus_isDerived() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 1);
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.OPEN);
        post(draft);
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.POSTED);
        reveal();
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.REVEALED);
        uint256 state = vm.snapshotState();
        pass(SETTLE_WAIT);
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.STRANDED);
        vm.revertToState(state);
        settle(1, draft.pack());
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.SETTLED);
        pass(SETTLE_WAIT);
        vm.assertTrue(escrow.epochStatus(1) == EpochStatus.SETTLED);
    }

    // ---------------------------------------------------------------- settleEpoch: when

    /// @notice Covers: A35.
    function test_settleEpoch_chargesCreditsAndKeepsTheFee() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 105);
        postAndSettle(draft);
        vm.assertEq(lane(alice, alice).balanceUnits, 895);
        vm.assertEq(lane(alice, alice).chargedUnits, 105);
        vm.assertEq(lane(alice, alice).capProvenUnits, 105);
        vm.assertEq(escrow.operators(operator).earnedUnits, 95);
        assertTotals(1895, 95, 10);
        assertConserved();

        escrow.withdrawFees();
        vm.assertEq(token.balanceOf(treasury), 10 * UNIT);
        assertConserved();
    }

    /// @notice The largest amount that a row can carry is charged, credited and kept as exactly as a small one.
    function test_settleEpoch_countsTheLargestAmount() public {
        uint48 largest = type(uint48).max;
        uint64 fee = uint64(largest) / 10;
        fund(alice, alice, largest);
        postAndSettle(draftOf("alice", operator, largest));
        vm.assertEq(lane(alice, alice).balanceUnits, 1000);
        vm.assertEq(lane(alice, alice).chargedUnits, largest);
        vm.assertEq(escrow.operators(operator).earnedUnits, largest - fee);
        assertTotals(2000, largest - fee, fee);
        assertConserved();
    }

    /// @notice The record is the transaction's own calldata: no contract stands between.
    function test_settleEpoch_refusesOthersAndContracts() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 1);
        post(draft);
        reveal();
        bytes memory packed = draft.pack();
        vm.prank(settler, alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotDirect.selector, settler));
        escrow.settleEpoch(1, packed);
        vm.prank(alice, alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotSettler.selector, alice));
        escrow.settleEpoch(1, packed);
    }

    /// @notice Covers: A40. From the end of the check period to the end of SETTLE_WAIT, both edges included.
    function testFuzz_settleEpoch_onlyInItsTime(uint256 waited) public {
        waited %= 2 * SETTLE_WAIT;
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 1);
        post(draft);
        post(bytes32(0), 0);
        pass(waited);
        if (waited < CHECK_WAIT) vm.expectPartialRevert(IJobEscrow.JobEscrow_CheckPeriodRuns.selector);
        if (waited > SETTLE_WAIT) vm.expectPartialRevert(IJobEscrow.JobEscrow_EpochStranded.selector);
        settle(1, draft.pack());
    }

    function test_settleEpoch_waitsForTheReveal() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 1);
        post(draft);
        pass(CHECK_WAIT * 2);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_CheckPeriodRuns.selector);
        settle(1, draft.pack());
    }

    /// @notice Covers: A16.
    function test_settleEpoch_once() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 10);
        postAndSettle(draft);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_AlreadySettled.selector, 1));
        settle(1, draft.pack());
        vm.assertEq(lane(alice, alice).chargedUnits, 10);
    }

    /// @notice Covers: A16.
    function testFuzz_settleEpoch_refusesAnotherRecordThanPosted(uint256 position) public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 10);
        post(draft);
        reveal();
        bytes memory packed = draft.pack();
        // Any byte of the row behind its operator index.
        position = packed.length - 1 - position % 38;
        packed[position] ^= 0x01;
        vm.expectPartialRevert(IJobEscrow.JobEscrow_WrongRoot.selector);
        settle(1, packed);
    }

    // ---------------------------------------------------------------- settleEpoch: lanes that fail

    function test_settleEpoch_voidRowsCostNothing() public {
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 10);
        draft.groups[0].rows[0].isVoid = true;
        postAndSettle(draft);
        vm.assertEq(lane(alice, alice).chargedUnits, 0);
        vm.assertEq(escrow.operators(operator).earnedUnits, 0);
    }

    /// @notice Covers: A14.
    function test_settleEpoch_skipsALaneBelowItsSum() public {
        assertAliceSkipped(twoGroups(groupOf("alice", 1001)), SkipReason.BALANCE);
    }

    /// @notice Covers: A25. The chain keeps a lane from paying more than its signer signed.
    function test_settleEpoch_skipsALaneAboveItsCap() public {
        EpochBuilder.Group memory group = groupOf("alice", 500);
        group.capProof = signCap(keyOf("alice"), alice, 499);
        assertAliceSkipped(twoGroups(group), SkipReason.CAP);
        assertAliceSkippedWithout(group);
    }

    function assertAliceSkippedWithout(EpochBuilder.Group memory group) private {
        group.capProof = noCap();
        assertAliceSkipped(twoGroups(group), SkipReason.CAP);
    }

    /// @notice Covers: A25.
    function test_settleEpoch_skipsALaneWhoseCapAnotherSigned() public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        group.capProof = signCap(keyOf("bob"), alice, 10);
        assertAliceSkipped(twoGroups(group), SkipReason.SIGNATURE);
    }

    /// @notice Covers: A20, A21. A flipped s, an s above half the order, and r = 0 prove nothing.
    function test_settleEpoch_skipsALaneWithAMalleableSignature() public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        CapProof memory proof = group.capProof;
        uint256 s = uint256(proof.vs) & type(uint256).max >> 1;
        bytes32[3] memory hostile = [bytes32(N - s), bytes32(HALF_N + 1), bytes32(0)];
        for (uint256 i = 0; i < hostile.length; ++i) {
            group.capProof.vs = hostile[i];
            assertAliceSkipped(twoGroups(group), SkipReason.SIGNATURE);
        }
        group.capProof.r = 0;
        assertAliceSkipped(twoGroups(group), SkipReason.SIGNATURE);
    }

    /// @notice Covers: A21. Nobody's lane is charged by a signature that recovers to nobody.
    function testFuzz_settleEpoch_neverRecoversNobody(bytes32 r, bytes32 vs) public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        (group.requester, group.signer) = (address(0), address(0));
        group.capProof.r = r;
        group.capProof.vs = vs;
        pay(address(this), 100);
        escrow.deposit(address(0), address(0), 100);
        postAndSettle(twoGroups(group));
        vm.assertEq(lane(address(0), address(0)).chargedUnits, 0);
    }

    function test_settleEpoch_skipsALaneLongExpired() public {
        address session = addressOf("session");
        fund(alice, session, 100);
        uint256 last = lane(alice, session).expiry + NOTICE;
        EpochBuilder.Group memory group = groupOf("alice", 10);
        group.signer = session;
        group.capProof = signCap(keyOf("session"), alice, 10);
        EpochBuilder.Draft memory draft = twoGroups(group);

        vm.warp(last - CHECK_WAIT);
        uint64 id = post(draft);
        post(bytes32(0), 0);
        vm.warp(last);
        uint256 state = vm.snapshotState();
        settle(id, draft.pack());
        vm.assertEq(lane(alice, session).chargedUnits, 10);
        vm.revertToState(state);
        vm.warp(last + 1);
        expectSkipped(id, group, SkipReason.EXPIRED);
        settle(id, draft.pack());
        vm.assertEq(lane(alice, session).chargedUnits, 0);
    }

    /// @notice Covers: A19. An old cap proves nothing that it had not proven, in whatever order caps come.
    function testFuzz_settleEpoch_oldCapChangesNothing(uint48 oldCap, uint48 newCap) public {
        newCap = uint48(1 + newCap % 1000);
        oldCap = uint48(1 + oldCap % newCap);
        EpochBuilder.Group memory group = groupOf("alice", newCap);
        postAndSettle(twoGroups(group));
        vm.assertEq(lane(alice, alice).capProvenUnits, newCap);

        CapProof memory old = signCap(keyOf("alice"), alice, oldCap);
        group = groupOf("alice", 1);
        group.capProof = old;
        uint64 balanceUnits = lane(alice, alice).balanceUnits;
        postAndSettle(twoGroups(group));
        vm.assertEq(lane(alice, alice).capProvenUnits, newCap);
        vm.assertEq(lane(alice, alice).chargedUnits, newCap);
        vm.assertEq(lane(alice, alice).balanceUnits, balanceUnits);
    }

    function test_settleEpoch_looksAtNoSignatureBelowTheProvenCap() public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        group.capProof = signCap(keyOf("alice"), alice, 900);
        postAndSettle(twoGroups(group));
        group = groupOf("alice", 20);
        group.capProof = noCap();
        postAndSettle(twoGroups(group));
        vm.assertEq(lane(alice, alice).chargedUnits, 30);
        vm.assertEq(lane(alice, alice).capProvenUnits, 900);
    }

    function test_settleEpoch_takesALaneInTwoGroupsInOrder() public {
        EpochBuilder.Draft memory draft = twoGroups(groupOf("alice", 600));
        draft.groups[1] = groupOf("alice", 500);
        draft.groups[1].capProof = signCap(keyOf("alice"), alice, 2000);
        postAndSettle(draft);
        vm.assertEq(lane(alice, alice).chargedUnits, 600);
        vm.assertEq(lane(alice, alice).balanceUnits, 400);
    }

    // ---------------------------------------------------------------- signatures elsewhere

    /// @notice Covers: A17. A cap signed before the chain's id changed is no proof after it.
    function test_settleEpoch_refusesACapOfAnotherChain() public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        vm.chainId(4242);
        assertAliceSkipped(twoGroups(group), SkipReason.SIGNATURE);
    }

    /// @notice Covers: A18. A cap signed for one deployment is no proof in another.
    function test_settleEpoch_refusesACapOfAnotherDeployment() public {
        EpochBuilder.Group memory group = groupOf("alice", 10);
        (escrow, stakes, court, contests) = deploy();
        pay(address(this), BOND);
        escrow.bondSettler(BOND);
        fund(alice, alice, 1000);
        fund(bob, bob, 1000);
        operator = registerOperator("operator", 0);
        assertAliceSkipped(twoGroups(group), SkipReason.SIGNATURE);
    }

    // ---------------------------------------------------------------- charge window

    /// @notice Covers: A27. What a stolen settler key can charge in a window is the bond.
    function test_settleEpoch_neverChargesMoreThanTheBond() public {
        address carol = addressOf("carol");
        fund(carol, carol, 2 * BOND);
        EpochBuilder.Draft memory draft = draftOf("carol", operator, uint48(1e14));
        draft.groups[0].rows[0].amountUnits = type(uint48).max;
        draft.groups[0].capProof = signCap(keyOf("carol"), carol, 2 * BOND);
        for (uint256 i = 0; i < 3; ++i) {
            postAndSettle(draft);
        }
        uint64 id = post(draft);
        reveal();
        vm.expectPartialRevert(ChargeWindow.ChargeWindow_AboveBond.selector);
        settle(id, draft.pack());
    }

    /// @notice Covers: A27, A40. Charges at any times: no span of CHARGE_WINDOW holds more than the bond.
    function testFuzz_chargeWindow_boundsEverySpan(uint256 seed) public {
        address carol = addressOf("carol");
        fund(carol, carol, 1000 * 100);
        uint256 bond = 100;
        shrinkBond(bond);
        uint256[12] memory times;
        uint256[12] memory charged;
        for (uint256 i = 0; i < times.length; ++i) {
            pass(uint256(keccak256(abi.encode(seed, i, "wait"))) % 400);
            EpochBuilder.Draft memory draft =
                draftOf("carol", operator, uint48(1 + uint256(keccak256(abi.encode(seed, i))) % 70));
            uint64 id = post(draft);
            reveal();
            vm.prank(settler, settler);
            (bool settled,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (id, draft.pack())));
            times[i] = time();
            charged[i] = settled ? draft.groups[0].rows[0].amountUnits : 0;
            uint256 inSpan = 0;
            for (uint256 j = 0; j <= i; ++j) {
                if (times[j] + 600 > times[i]) inSpan += charged[j];
            }
            vm.assertLe(inSpan, bond, "charged in one window");
        }
    }

    /// @dev Leaves the settler with a bond of a few units only.
    function shrinkBond(uint256 units) private {
        vm.startPrank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        escrow.withdrawBond();
        vm.stopPrank();
        pay(settler, units);
        vm.prank(settler);
        escrow.bondSettler(uint64(units));
    }

    // ---------------------------------------------------------------- helpers

    /// @dev A first group under test, and one of bob's that is in order.
    function twoGroups(EpochBuilder.Group memory first) private view returns (EpochBuilder.Draft memory draft) {
        draft.operatorIds = new uint32[](1);
        draft.operatorIds[0] = operator;
        draft.groups = new EpochBuilder.Group[](2);
        draft.groups[0] = first;
        draft.groups[1] = groupOf("bob", 20);
    }

    /// @dev Alice's group is skipped for this reason; bob's is settled as if it stood alone.
    function assertAliceSkipped(EpochBuilder.Draft memory draft, SkipReason reason) private {
        uint256 state = vm.snapshotState();
        draft.groups[1] = groupOf("bob", 20);
        uint64 id = post(draft);
        reveal();
        expectSkipped(id, draft.groups[0], reason);
        settle(id, draft.pack());
        vm.assertEq(lane(alice, alice).chargedUnits, 0);
        vm.assertEq(lane(alice, alice).balanceUnits, 1000);
        vm.assertEq(lane(bob, bob).chargedUnits, 20);
        vm.assertEq(escrow.operators(operator).earnedUnits, 18);
        vm.revertToState(state);
    }

    function expectSkipped(uint64 id, EpochBuilder.Group memory group, SkipReason reason) private {
        uint64 sumUnits = uint64(EpochBuilder.sumUnits(group));
        vm.expectEmit(address(escrow));
        emit IJobEscrow.LaneSkipped(id, group.requester, group.signer, reason, sumUnits);
    }
}
