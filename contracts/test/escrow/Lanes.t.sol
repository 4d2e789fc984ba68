// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of JobEscrow.tree on lanes: funding, notice, withdrawal.
contract LanesTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    address private alice = addressOf("alice");
    address private session = addressOf("session");

    // ---------------------------------------------------------------- openLane

    function test_openLane_setsExpiryAndMovesMoney() public {
        fund(alice, session, 50);
        vm.assertEq(lane(alice, session).balanceUnits, 50);
        vm.assertEq(lane(alice, session).expiry, time() + 1 days);
        vm.assertEq(lane(alice, alice).balanceUnits, 0);
        assertTotals(50, 0, 0);
        assertConserved();
    }

    function test_openLane_refusesOwnKeyAndNobody() public {
        bytes4 selector = IJobEscrow.JobEscrow_NotASessionSigner.selector;
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(selector, alice, alice));
        escrow.openLane(alice, type(uint32).max, 0);
        vm.expectRevert(abi.encodeWithSelector(selector, alice, address(0)));
        escrow.openLane(address(0), type(uint32).max, 0);
    }

    function test_openLane_refusesAnExpiryThatIsNotAhead() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_ExpiryNotAhead.selector, time(), time()));
        escrow.openLane(session, uint32(time()), 0);
    }

    // ---------------------------------------------------------------- deposit

    function test_deposit_growsAnybodysLane() public {
        pay(address(this), 7);
        escrow.deposit(alice, alice, 7);
        vm.assertEq(lane(alice, alice).balanceUnits, 7);
        assertConserved();
    }

    function test_deposit_refusesASessionLaneThatWasNotOpened() public {
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LaneNotOpened.selector, alice, session));
        escrow.deposit(alice, session, 7);
    }

    /// @notice Covers: A14.
    function test_deposit_refusesMoreThanIsCounted() public {
        fund(alice, alice, type(uint64).max);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_TooMuchHeld.selector, type(uint64).max, 1));
        escrow.deposit(alice, alice, 1);
    }

    /// @notice Covers: A39. A permit that somebody else has sent first does not stop the deposit.
    function test_depositWithPermit_survivesAFrontRunPermit() public {
        token.mint(alice, 5 * UNIT);
        (uint256 deadline, uint8 v, bytes32 r, bytes32 s) = signPermit(5);
        token.permit(alice, address(escrow), 5 * UNIT, deadline, v, r, s);
        vm.prank(alice);
        escrow.depositWithPermit(alice, alice, 5, deadline, v, r, s);
        vm.assertEq(lane(alice, alice).balanceUnits, 5);
    }

    function test_depositWithPermit_usesThePermit() public {
        token.mint(alice, 5 * UNIT);
        (uint256 deadline, uint8 v, bytes32 r, bytes32 s) = signPermit(5);
        vm.prank(alice);
        escrow.depositWithPermit(alice, alice, 5, deadline, v, r, s);
        vm.assertEq(token.balanceOf(alice), 0);
        assertConserved();
    }

    function signPermit(uint256 units) private view returns (uint256 deadline, uint8 v, bytes32 r, bytes32 s) {
        deadline = time() + 60;
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, alice, address(escrow), units * UNIT, 0, deadline));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        (v, r, s) = vm.sign(keyOf("alice"), digest);
    }

    // ---------------------------------------------------------------- notice and withdrawal

    function test_withdraw_needsANotice() public {
        fund(alice, alice, 100);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NoticeNotMature.selector, 0, time()));
        escrow.withdraw(alice, 100, alice);
    }

    /// @notice Covers: A30, A40. Exactly while noticeAt + NOTICE <= now < noticeAt + NOTICE + NOTICE_LIFE.
    function testFuzz_withdraw_onlyWhileTheNoticeIsMature(uint256 waited) public {
        waited %= 2 * (NOTICE + NOTICE_LIFE);
        fund(alice, alice, 100);
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(waited);
        bool mature = waited >= NOTICE && waited < NOTICE + NOTICE_LIFE;
        if (!mature) vm.expectPartialRevert(IJobEscrow.JobEscrow_NoticeNotMature.selector);
        vm.prank(alice);
        escrow.withdraw(alice, 100, alice);
        vm.assertEq(token.balanceOf(alice), mature ? 100 * UNIT : 0);
        assertConserved();
    }

    /// @notice Covers: A30. A used notice is gone, so it is no standing exit.
    function test_withdraw_usesTheNoticeUp() public {
        fund(alice, alice, 100);
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.withdraw(alice, 40, alice);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_NoticeNotMature.selector);
        escrow.withdraw(alice, 40, alice);
    }

    function test_withdraw_refusesACancelledNotice() public {
        fund(alice, alice, 100);
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.cancelNotice(alice);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_NoticeNotMature.selector);
        escrow.withdraw(alice, 40, alice);
    }

    function test_withdraw_refusesMoreThanTheBalance() public {
        fund(alice, alice, 100);
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_BalanceTooLow.selector, 100, 101));
        escrow.withdraw(alice, 101, alice);
    }

    /// @notice Covers: A30. Whatever the delays allowed, an order accepted before a notice is charged before the
    /// money can leave: its deadline, the epoch, and settlement leaf by leaf all lie within NOTICE.
    function testFuzz_withdraw_cannotBeatASettlement(uint256 orderFor, uint256 epochFor, uint256 settledAfter) public {
        uint32 operator = registerOperator("operator", 0);
        fund(alice, alice, 100);
        vm.prank(alice);
        escrow.giveNotice(alice);
        uint256 noticeAt = time();

        pass(orderFor % (escrow.ORDER_TTL() + 1));
        pass(epochFor % (escrow.EPOCH_MAX() + 1));
        EpochBuilder.Draft memory draft = draftOf("alice", operator, 100);
        uint64 id = post(draft);
        uint256 slack = noticeAt + NOTICE - (time() + SETTLE_WAIT + 1);
        pass(SETTLE_WAIT + 1 + settledAfter % slack);

        vm.prank(alice);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_NoticeNotMature.selector);
        escrow.withdraw(alice, 100, alice);
        escrow.settleOne(draft.proofOf(id, 0, 0), noOutcomes(), draft.groups[0].capProof);
        vm.assertEq(lane(alice, alice).balanceUnits, 0);
        assertConserved();
    }

    /// @notice Covers: A28. Nobody but the requester moves a lane's money out, whatever role it has.
    function test_withdraw_isTheRequestersOnly() public {
        fund(alice, alice, 100);
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        address[4] memory others = [settler, treasury, governor, address(court)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectPartialRevert(IJobEscrow.JobEscrow_NoticeNotMature.selector);
            escrow.withdraw(alice, 100, others[i]);
        }
        vm.assertEq(lane(alice, alice).balanceUnits, 100);
    }

    // ---------------------------------------------------------------- books

    /// @notice Covers: A36. A donation is shown apart and owed to nobody.
    function test_donated_isShownApart() public {
        token.mint(address(escrow), 1);
        token.mint(address(stakes), 2);
        vm.assertEq(escrow.donated(), 1);
        vm.assertEq(stakes.donated(), 2);
        vm.assertEq(escrow.held(), BOND * UNIT);
    }

    /// @notice Covers: A27. The bond leaves only after UNBOND, and no rows are posted while it is leaving.
    function test_unbondSettler_stopsEpochsAndPaysLate() public {
        vm.prank(settler);
        escrow.unbondSettler();
        uint32 unbondAt = uint32(time());
        bytes32 beacon = beacons[BEACONS - 1];
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_SettlerIsUnbonding.selector, unbondAt));
        escrow.postEpoch(1, keccak256("root"), 1, beacon, 0);
        post(bytes32(0), 0);

        pass(UNBOND - 1);
        vm.prank(settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_BondLocked.selector, unbondAt, time()));
        escrow.withdrawBond();
        pass(1);
        vm.prank(settler);
        escrow.withdrawBond();
        vm.assertEq(token.balanceOf(settler), 0);
        vm.assertEq(token.balanceOf(treasury), BOND * UNIT);
        assertConserved();
    }

    function test_bondSettler_bySettlerEndsAnUnbonding() public {
        pay(address(this), 1);
        pay(settler, 1);
        vm.prank(settler);
        escrow.unbondSettler();
        escrow.bondSettler(1);
        vm.assertTrue(escrow.settlerBond().unbondAt != 0, "not by somebody else");
        vm.prank(settler);
        escrow.bondSettler(1);
        vm.assertEq(escrow.settlerBond().unbondAt, 0);
        vm.assertEq(escrow.settlerBond().bondUnits, BOND + 2);
    }
}
