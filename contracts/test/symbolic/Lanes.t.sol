// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Lane, Totals} from "src/libraries/Types.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What goes into a lane can be got out of it, by nobody but its requester and in its time only.
/// Bounds: none on the escrow's state, but for the assumptions that a property names; time below 2^32 seconds.
contract LanesProof is Symbolic {
    uint256 private time;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(escrow));
        time = svm.createUint(32, "time");
        vm.warp(time);
    }

    /// @notice Covers: A28, A29. A matured notice lets out any part of the balance, whoever else is dead and whether
    /// or not the escrow is paused. Assumes the books' invariants: the lane's balance is in the totals, the tokens are
    /// there.
    function check_withdraw_isAlwaysThereAfterNotice(address requester, address signer, address to, uint64 units)
        public
    {
        Lane memory lane = escrow.lanes(requester, signer);
        vm.assume(lane.noticeAt != 0 && time >= lane.noticeAt + NOTICE && time < lane.noticeAt + NOTICE + NOTICE_LIFE);
        vm.assume(units <= lane.balanceUnits && lane.balanceUnits <= escrow.totals().balancesUnits);
        vm.assume(requester != address(0) && to != address(0) && to != address(escrow));
        token.mint(address(escrow), units * UNIT);

        vm.prank(requester);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.withdraw, (signer, units, to)));
        assert(done);
        assert(token.balanceOf(to) == units * UNIT);
        assert(escrow.lanes(requester, signer).balanceUnits == lane.balanceUnits - units);
    }

    /// @notice Covers: A30. Nothing leaves a lane before its notice matured or after it expired, one notice serves one
    /// withdrawal, and lane and totals lose what leaves.
    function check_withdraw_onlyWhileTheNoticeIsRipe(address requester, address signer, address to, uint64 units)
        public
    {
        Lane memory lane = escrow.lanes(requester, signer);
        Totals memory totals = escrow.totals();
        token.mint(address(escrow), type(uint128).max);
        vm.startPrank(requester);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.withdraw, (signer, units, to)));
        vm.assume(done);

        uint256 ripeAt = uint256(lane.noticeAt) + NOTICE;
        assert(lane.noticeAt != 0 && time >= ripeAt && time < ripeAt + NOTICE_LIFE);
        assert(units <= lane.balanceUnits);
        assert(escrow.lanes(requester, signer).balanceUnits == lane.balanceUnits - units);
        assert(escrow.totals().balancesUnits == totals.balancesUnits - units);
        (done,) = address(escrow).call(abi.encodeCall(escrow.withdraw, (signer, 0, to)));
        assert(!done);
    }

    /// @notice Covers: A33. A deposit books what came in, once, in the lane and in the totals, and what all hold stays
    /// below 2^64: no sum of a settlement can overflow.
    function check_deposit_booksWhatCameIn(address payer, address requester, address signer, uint64 units) public {
        vm.assume(payer != address(0) && payer != address(escrow));
        token.mint(payer, units * UNIT);
        vm.prank(payer);
        token.approve(address(escrow), units * UNIT);
        Lane memory lane = escrow.lanes(requester, signer);
        Totals memory totals = escrow.totals();
        vm.prank(payer);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.deposit, (requester, signer, units)));
        vm.assume(done);

        Totals memory after_ = escrow.totals();
        assert(token.balanceOf(address(escrow)) == units * UNIT && token.balanceOf(payer) == 0);
        assert(escrow.lanes(requester, signer).balanceUnits == uint256(lane.balanceUnits) + units);
        assert(after_.balancesUnits == uint256(totals.balancesUnits) + units);
        assert(uint256(after_.balancesUnits) + after_.creditsUnits + after_.feesUnits <= type(uint64).max);
        assert(!escrow.paused() && (requester == signer || lane.expiry != 0));
    }
}
