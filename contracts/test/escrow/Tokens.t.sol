// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DevToken} from "src/dev/DevToken.sol";
import {UnitToken} from "src/libraries/UnitToken.sol";
import {LeafProof, Outcomes} from "src/libraries/Types.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice A token with every bad habit, one at a time.
contract OddToken is DevToken {
    enum Habit {
        NONE,
        TAKES_A_FEE,
        RETURNS_FALSE,
        RETURNS_NOTHING,
        CALLS_BACK
    }

    Habit public habit;
    address public blocked;
    address public target;
    bytes public data;
    uint256 public callbacks;
    bytes public lastRefusal;
    bool public reentered;

    function take(Habit newHabit) external {
        habit = newHabit;
    }

    function blockPayee(address payee) external {
        blocked = payee;
    }

    function callBack(address newTarget, bytes calldata newData) external {
        (habit, target, data) = (Habit.CALLS_BACK, newTarget, newData);
        (callbacks, reentered, lastRefusal) = (0, false, "");
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (habit == Habit.RETURNS_FALSE) return false;
        super.transfer(to, amount);
        return finish();
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (habit == Habit.RETURNS_FALSE) return false;
        super.transferFrom(from, to, amount);
        return finish();
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(to == address(0) || to != blocked, "blocked");
        super._update(from, to, amount);
        if (habit == Habit.TAKES_A_FEE && from != address(0) && to != address(0)) super._update(to, address(0), 1);
        if (habit == Habit.CALLS_BACK && from != address(0)) {
            ++callbacks;
            bool success;
            (success, lastRefusal) = target.call(data);
            reentered = reentered || success;
        }
    }

    function finish() private view returns (bool) {
        if (habit == Habit.RETURNS_NOTHING) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return true;
    }
}

/// @notice What the contracts do with tokens that misbehave.
contract TokensTest is Job {
    OddToken private odd;
    LeafProof private leaf;
    Outcomes private outcomes;

    function setUp() public override {
        super.setUp();
        // The odd token's code in the place of the network's, with a minter's and storage of its own.
        odd = OddToken(address(token));
        vm.etch(address(token), address(new OddToken()).code);
    }

    // ---------------------------------------------------------------- callbacks

    /// @notice Covers: A32. A token that calls back on every transfer gets into no function that moves money, from none
    /// of them; the books are what they would have been.
    function test_callbackToken_getsInNowhere() public {
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft());
        (leaf, outcomes) = (proof, settled);
        token.mint(address(token), 10 * CONTEST_BOND * UNIT);
        vm.startPrank(address(token));
        token.approve(address(escrow), type(uint256).max);
        token.approve(address(stakes), type(uint256).max);
        token.approve(address(contests), type(uint256).max);
        vm.stopPrank();
        pay(alice, 10 * CONTEST_BOND);
        vm.prank(alice);
        escrow.giveNotice(alice);

        bytes[] memory guarded = new bytes[](6);
        guarded[0] = abi.encodeCall(escrow.deposit, (alice, alice, 1));
        guarded[1] = abi.encodeCall(escrow.withdraw, (alice, 1, alice));
        guarded[2] = abi.encodeCall(escrow.claim, (operator));
        guarded[3] = abi.encodeCall(escrow.withdrawFees, ());
        guarded[4] = abi.encodeCall(escrow.bondSettler, (1));
        guarded[5] = abi.encodeCall(escrow.claimToStake, (operator));
        for (uint256 i = 0; i < guarded.length; ++i) {
            uint256 state = vm.snapshotState();
            odd.callBack(address(escrow), guarded[i]);
            moveMoneyEverywhere();
            vm.assertTrue(odd.callbacks() > 5);
            vm.assertFalse(odd.reentered());
            vm.assertEq(odd.lastRefusal(), guard());
            vm.revertToState(state);
        }
        contestsAndStakesKeepCallbacksOut();
    }

    function contestsAndStakesKeepCallbacksOut() private {
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        pass(ANSWER_WINDOW);
        uint256 state = vm.snapshotState();
        odd.callBack(address(contests), abi.encodeCall(contests.resolve, (leaf, outcomes)));
        contests.resolve(leaf, outcomes);
        vm.assertEq(odd.lastRefusal(), guard());
        vm.assertEq(escrow.settlerBond().bondUnits, BOND - AMOUNT);
        assertConserved();

        vm.revertToState(state);
        odd.callBack(address(stakes), abi.encodeCall(stakes.stake, (operator, 1)));
        vm.prank(alice);
        stakes.stake(operator, 1);
        vm.assertFalse(odd.reentered());
        vm.assertEq(odd.lastRefusal(), guard());
        assertConserved();
    }

    /// @dev Every transfer of the escrow's, in and out, once.
    function moveMoneyEverywhere() private {
        vm.startPrank(alice);
        escrow.deposit(alice, alice, 1);
        escrow.openLane(addressOf("session"), type(uint32).max, 1);
        escrow.bondSettler(1);
        vm.stopPrank();
        escrow.withdrawFees();
        escrow.claim(operator);
        pass(NOTICE);
        vm.prank(alice);
        escrow.withdraw(alice, 1, alice);
        assertConserved();
    }

    // ---------------------------------------------------------------- the token zoo

    /// @notice Covers: A33. A token that keeps a fee of what is transferred is refused.
    function test_feeToken_isRefused() public {
        pay(alice, 10);
        odd.take(OddToken.Habit.TAKES_A_FEE);
        vm.startPrank(alice);
        bytes memory refusal =
            abi.encodeWithSelector(UnitToken.UnitToken_WrongAmountReceived.selector, 10 * UNIT, 10 * UNIT - 1);
        vm.expectRevert(refusal);
        escrow.deposit(alice, alice, 10);
        vm.expectRevert(refusal);
        stakes.stake(operator, 10);
        assertConserved();
    }

    /// @notice Covers: A34. A token that returns nothing works, one that returns false is a refusal.
    function test_silentTokenWorks_falseOneIsARefusal() public {
        pay(alice, 10);
        odd.take(OddToken.Habit.RETURNS_NOTHING);
        vm.prank(alice);
        escrow.deposit(alice, alice, 10);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS + 10);
        assertConserved();
        odd.take(OddToken.Habit.RETURNS_FALSE);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        escrow.deposit(alice, alice, 10);
    }

    /// @notice Covers: A34. A payee that the token blocks blocks nobody else.
    function test_blockedPayee_blocksNobodyElse() public {
        charge(jobDraft());
        commitment = deliver("second");
        odd.blockPayee(addressOf("operator"));
        charge(jobDraft());
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "blocked"));
        escrow.claim(operator);
        escrow.withdrawFees();
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.withdraw(alice, 1, alice);
        vm.stopPrank();
        odd.blockPayee(address(0));
        escrow.claim(operator);
        assertConserved();
    }

    function guard() private pure returns (bytes memory) {
        return abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
    }
}
