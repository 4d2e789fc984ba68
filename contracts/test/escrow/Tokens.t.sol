// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {DevToken} from "src/dev/DevToken.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {Commitment, LeafProof, Outcomes} from "src/libraries/Types.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {UnitToken} from "src/libraries/UnitToken.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice A token with every bad habit, one at a time.
contract OddToken is DevToken {
    enum Habit {
        NONE,
        TAKES_A_FEE,
        RETURNS_FALSE,
        RETURNS_NOTHING,
        CALLS_BACK,
        REVERTS_SILENTLY,
        IS_PAUSED,
        HAS_NO_PERMIT
    }

    error OddToken_Paused();

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

    /// @notice What a rebase does to one holder.
    function rebase(address holder, int256 change) external {
        if (change > 0) super._update(address(0), holder, uint256(change));
        else super._update(holder, address(0), uint256(-change));
    }

    /// @notice As USDT's: an allowance changes only from zero or to zero, and nothing is returned.
    function approve(address spender, uint256 amount) public override returns (bool) {
        bool races = amount != 0 && allowance(msg.sender, spender) != 0;
        require(habit != Habit.RETURNS_NOTHING || !races, "approve race");
        super.approve(spender, amount);
        return finish();
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        public
        override
    {
        if (habit == Habit.HAS_NO_PERMIT) revert();
        super.permit(owner, spender, value, deadline, v, r, s);
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
        require(blocked == address(0) || (to != blocked && from != blocked), "blocked");
        if (habit == Habit.REVERTS_SILENTLY) revert();
        if (habit == Habit.IS_PAUSED) revert OddToken_Paused();
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
    using EpochBuilder for EpochBuilder.Draft;

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

        bytes[] memory guarded = escrowsGuarded();
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

    /// @dev Every function of the escrow that moves tokens. The guard comes first, whatever the arguments.
    function escrowsGuarded() private view returns (bytes[] memory guarded) {
        guarded = new bytes[](10);
        guarded[0] = abi.encodeCall(escrow.deposit, (alice, alice, 1));
        guarded[1] = abi.encodeCall(escrow.withdraw, (alice, 1, alice));
        guarded[2] = abi.encodeCall(escrow.claim, (operator));
        guarded[3] = abi.encodeCall(escrow.withdrawFees, ());
        guarded[4] = abi.encodeCall(escrow.bondSettler, (1));
        guarded[5] = abi.encodeCall(escrow.claimToStake, (operator));
        guarded[6] = abi.encodeCall(escrow.openLane, (alice, type(uint32).max, 1));
        guarded[7] = abi.encodeCall(escrow.openLaneWithGrant, (alice, node, 1, type(uint32).max, 0, ""));
        guarded[8] = abi.encodeCall(escrow.depositWithPermit, (alice, alice, 1, 0, 0, 0, 0));
        guarded[9] = abi.encodeCall(escrow.depositWithAuthorization, (alice, alice, alice, 1, 0, 0, 0, 0, 0, 0));
    }

    /// @notice Covers: A32. A callback into what a pause or a payment leaves open, the other contracts and `settleOne`,
    /// finds books that are already right: effects came before the transfer.
    function test_callbackElsewhere_findsTheBooksRight() public {
        EpochBuilder.Draft memory draft = jobDraft();
        uint64 id = post(draft);
        pass(SETTLE_WAIT + 1);
        token.mint(address(token), 10 * UNIT);
        vm.prank(address(token));
        token.approve(address(stakes), type(uint256).max);
        vm.prank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        LeafProof memory proof = draft.proofOf(id, 0, 0);
        odd.callBack(address(escrow), abi.encodeCall(escrow.settleOne, (proof, noOutcomes(), orderProof())));
        vm.prank(alice);
        escrow.withdraw(alice, FUNDS - AMOUNT, alice);
        vm.assertTrue(odd.reentered());
        assertTotals(0, AMOUNT * 9 / 10, AMOUNT / 10);
        assertConserved();

        odd.callBack(address(stakes), abi.encodeCall(stakes.register, (node)));
        escrow.claim(operator);
        vm.assertTrue(odd.reentered());
        assertTotals(0, 0, AMOUNT / 10);
        assertConserved();
    }

    function contestsAndStakesKeepCallbacksOut() private {
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        pass(ANSWER_WINDOW);
        bytes[4] memory ofContests = [
            abi.encodeCall(contests.resolve, (leaf, outcomes)),
            abi.encodeCall(contests.contest, (leaf, outcomes)),
            abi.encodeCall(contests.lapse, (leaf.epochId, leaf.index)),
            abi.encodeCall(
                contests.contestDuplicate, (order, new LeafProof[](0), new Outcomes[](0), new Commitment[](0))
            )
        ];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            odd.callBack(address(contests), ofContests[i]);
            contests.resolve(leaf, outcomes);
            vm.assertFalse(odd.reentered());
            vm.assertEq(odd.lastRefusal(), guard());
            vm.assertEq(escrow.settlerBond().bondUnits, BOND - AMOUNT);
            assertConserved();
            vm.revertToState(state);
        }
        bytes[3] memory ofStakes = [
            abi.encodeCall(stakes.stake, (operator, 1)),
            abi.encodeCall(stakes.withdrawStake, (alice)),
            abi.encodeCall(stakes.sweep, ())
        ];
        for (uint256 i = 0; i < 3; ++i) {
            odd.callBack(address(stakes), ofStakes[i]);
            vm.prank(alice);
            stakes.stake(operator, 1);
            vm.assertFalse(odd.reentered());
            vm.assertEq(odd.lastRefusal(), guard());
            assertConserved();
        }
    }

    /// @notice Covers: A32. Nor into a case while its refund is on the way: every vote is settled once, every unit of stake
    /// slashed once.
    function test_callbackToken_getsIntoNoCase() public {
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft());
        uint32[] memory ids = convict(proof);
        bytes32 caseId = court.caseIdOf(proof);
        bytes[4] memory calls = [
            abi.encodeCall(court.settleVotes, (caseId, ids)),
            abi.encodeCall(court.execute, (proof, settled, ids)),
            abi.encodeCall(court.equivocation, (order, 0, 0, commitment, "", commitment, "")),
            abi.encodeCall(stakes.sweep, ())
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 state = vm.snapshotState();
            odd.callBack(i < 3 ? address(court) : address(stakes), calls[i]);
            court.execute(proof, settled, ids);
            vm.assertEq(odd.callbacks(), 1);
            vm.assertEq(odd.lastRefusal(), guard());
            vm.assertEq(stakes.stakeOf(operator), STAKE - 3 * MAX_PRICE);
            vm.assertEq(stakes.operators(ids[0]).unbondingUnits, CASE_REWARD);
            assertConserved();
            vm.revertToState(state);
        }
    }

    /// @dev Two verifiers, who both say that the trace was another.
    function convict(LeafProof memory accused) private returns (uint32[] memory ids) {
        address[2] memory keys = [addressOf("verifier0"), addressOf("verifier1")];
        ids = new uint32[](2);
        bytes memory signature = sign("node", accused.digest);
        for (uint256 i = 0; i < 2; ++i) {
            ids[i] = registerOperator(i == 0 ? "owner0" : "owner1", STAKE);
            vm.prank(governor);
            stakes.admitVerifier(ids[i], keys[i]);
        }
        bytes32 caseId = court.caseIdOf(accused);
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 hidden =
                TypedData.answerCommit(keccak256("true"), commitment.outputRoot, 40, accused.digest, keys[i]);
            vm.prank(keys[i]);
            if (i == 0) court.openCase(accused, order, commitment, signature, hidden);
            else court.commitVerdict(caseId, hidden);
        }
        pass(COMMIT_WINDOW);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(keys[i]);
            court.reveal(accused, commitment, keccak256("true"), commitment.outputRoot, 40);
        }
        pass(REVEAL_WINDOW);
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
        charge(jobDraft());
        pay(alice, 20);
        odd.take(OddToken.Habit.RETURNS_NOTHING);
        vm.prank(alice);
        escrow.deposit(alice, alice, 10);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT + 10);
        escrow.claim(operator);
        assertConserved();
        odd.take(OddToken.Habit.RETURNS_FALSE);
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        vm.prank(alice);
        vm.expectRevert(refusal);
        escrow.deposit(alice, alice, 10);
        vm.expectRevert(refusal);
        escrow.withdrawFees();
        vm.assertEq(escrow.totals().feesUnits, AMOUNT / 10);
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

    /// @notice Covers: A34. USDT's kind: nothing is returned, an allowance changes only from or to zero. All works, and
    /// credit becomes stake twice, so no allowance is left in the way.
    function test_usdtLikeToken_works() public {
        pay(addressOf("payer"), 1);
        odd.take(OddToken.Habit.RETURNS_NOTHING);
        charge(jobDraft());
        vm.prank(addressOf("operator"));
        escrow.claimToStake(operator);
        commitment = deliver("second");
        charge(jobDraft());
        vm.prank(addressOf("operator"));
        escrow.claimToStake(operator);
        vm.assertEq(stakes.stakeOf(operator), STAKE + 2 * (uint64(AMOUNT) * 9 / 10));
        vm.startPrank(addressOf("payer"));
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "approve race"));
        token.approve(address(escrow), 1);
        escrow.deposit(alice, alice, 1);
        vm.stopPrank();
        assertConserved();
    }

    /// @notice Covers: A33, A36. A rebase upwards belongs to nobody: a donation. Nobody's balance changes.
    function test_rebaseUp_isADonation() public {
        charge(jobDraft());
        odd.rebase(address(escrow), 7);
        vm.assertEq(escrow.donated(), 7);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS - AMOUNT);
        everythingLeaves();
        vm.assertEq(token.balanceOf(address(escrow)), escrow.held() + 7);
    }

    /// @notice Covers: A33. A rebase downwards shows as a deficit, to the wei; the books stay, who comes first is paid, the
    /// last is refused by the token until somebody makes it up.
    function test_rebaseDown_isADeficitThatShows() public {
        charge(jobDraft());
        odd.rebase(address(escrow), -int256(uint256(BOND) * UNIT + 1));
        vm.assertEq(escrow.held() - token.balanceOf(address(escrow)), uint256(BOND) * UNIT + 1);
        vm.assertEq(escrow.donated(), 0);
        escrow.claim(operator);
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.withdraw(alice, FUNDS - AMOUNT, alice);
        vm.stopPrank();
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        escrow.withdrawFees();
        odd.rebase(address(escrow), 1);
        escrow.withdrawFees();
        vm.assertEq(token.balanceOf(treasury), uint256(AMOUNT) / 10 * UNIT);
    }

    /// @notice Covers: A34. A token that reverts without a word: nothing is booked, and the bond of a contest that cannot
    /// be returned does not hold up the refund.
    function test_silentlyRevertingToken_isARefusal() public {
        (LeafProof memory proof, Outcomes memory settled) = charge(jobDraft());
        pay(alice, 10 * CONTEST_BOND);
        vm.prank(alice);
        contests.contest(proof, settled);
        pass(ANSWER_WINDOW);
        odd.take(OddToken.Habit.REVERTS_SILENTLY);
        vm.startPrank(alice);
        vm.expectRevert("");
        escrow.deposit(alice, alice, 1);
        vm.stopPrank();
        vm.expectRevert("");
        escrow.claim(operator);
        contests.resolve(proof, settled);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS);
        odd.take(OddToken.Habit.NONE);
        vm.assertEq(contests.donated(), CONTEST_BOND * UNIT);
        everythingLeaves();
    }

    /// @notice Covers: A34. The issuer blocks the escrow itself: nothing goes in or out, what needs no token goes on, and
    /// when it is let go everybody is paid.
    function test_blockedEscrow_waitsForTheIssuer() public {
        pay(alice, 1);
        odd.blockPayee(address(escrow));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "blocked"));
        escrow.deposit(alice, alice, 1);
        charge(jobDraft());
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "blocked"));
        escrow.claim(operator);
        odd.blockPayee(address(0));
        everythingLeaves();
    }

    /// @notice Covers: A34. A token's pause stops transfers and nothing else.
    function test_pausedToken_stopsTransfersOnly() public {
        odd.take(OddToken.Habit.IS_PAUSED);
        charge(jobDraft());
        vm.expectRevert(abi.encodeWithSelector(OddToken.OddToken_Paused.selector));
        escrow.claim(operator);
        odd.take(OddToken.Habit.NONE);
        everythingLeaves();
    }

    /// @notice Covers: A39. Without permit in the token, or with one used by somebody ahead, the allowance decides.
    function test_noPermit_theAllowanceDecides() public {
        odd.take(OddToken.Habit.HAS_NO_PERMIT);
        pay(alice, 10);
        vm.startPrank(alice);
        escrow.depositWithPermit(alice, alice, 4, type(uint256).max, 0, 0, 0);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS + 4);
        token.approve(address(escrow), 0);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        escrow.depositWithPermit(alice, alice, 4, type(uint256).max, 0, 0, 0);
        vm.stopPrank();
        assertConserved();
    }

    /// @notice Covers: A39. USDC's authorization: nobody but the escrow can use it, whoever brings it first funds the lane
    /// that it names, and once.
    function test_authorization_fundsItsLaneWhoeverIsFirst() public {
        pay(alice, 10);
        bytes32 nonce = keccak256(abi.encode(alice, alice, bytes32(0)));
        (uint8 v, bytes32 r, bytes32 s) = signAuthorization(10, nonce);
        vm.expectPartialRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(alice, address(escrow), 10 * UNIT, 0, type(uint256).max, nonce, v, r, s);
        (bool stolen,) = address(token)
            .call(
                abi.encodeCall(
                    token.receiveWithAuthorization,
                    (alice, address(escrow), 10 * UNIT, 0, type(uint256).max, nonce, v, r, s)
                )
            );
        vm.assertFalse(stolen);
        vm.prank(addressOf("somebody ahead"));
        escrow.depositWithAuthorization(alice, alice, alice, 10, 0, type(uint256).max, 0, v, r, s);
        vm.assertEq(lane(alice, alice).balanceUnits, FUNDS + 10);
        vm.expectPartialRevert(ERC3009.ERC3009UsedAuthorization.selector);
        escrow.depositWithAuthorization(alice, alice, alice, 10, 0, type(uint256).max, 0, v, r, s);
        assertConserved();
    }

    function signAuthorization(uint64 units, bytes32 nonce) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 terms =
            keccak256(abi.encode(typeHash, alice, address(escrow), units * UNIT, 0, type(uint256).max, nonce));
        return vm.sign(keyOf("alice"), keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), terms)));
    }

    // ---------------------------------------------------------------- decimals

    /// @notice 6, 18 and 19 decimals, by their UNIT: one unit in is one unit out, in base units of the token. The token's
    /// own word on its decimals is never asked for.
    function test_anyDecimals_areExactInTheirUnit() public {
        uint256[3] memory units = [uint256(1), 1e9, 1e10];
        for (uint256 i = 0; i < 3; ++i) {
            IJobEscrow other = deployIn(units[i]);
            token.mint(alice, 5 * units[i]);
            uint256 before = token.balanceOf(alice);
            vm.startPrank(alice);
            token.approve(address(other), type(uint256).max);
            other.deposit(alice, alice, 5);
            vm.assertEq(token.balanceOf(address(other)), 5 * units[i]);
            vm.assertEq(other.held(), 5 * units[i]);
            other.giveNotice(alice);
            pass(NOTICE);
            other.withdraw(alice, 5, alice);
            vm.stopPrank();
            vm.assertEq(token.balanceOf(alice), before);
            vm.assertEq(token.balanceOf(address(other)), 0);
        }
    }

    /// @notice A unit of nothing is refused when the contracts are deployed.
    function test_zeroUnit_isRefused() public {
        IJobEscrow.Params memory params = escrowParams(address(1), address(2), address(3));
        params.unit = 0;
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_MissingParam.selector));
        vm.deployCode("JobEscrow.sol", abi.encode(params));
    }

    function deployIn(uint256 unit) private returns (IJobEscrow) {
        IJobEscrow.Params memory params = escrowParams(address(stakes), address(court), address(contests));
        params.unit = unit;
        return IJobEscrow(vm.deployCode("JobEscrow.sol", abi.encode(params)));
    }

    /// @dev Operator, treasury and alice draw all that is theirs.
    function everythingLeaves() private {
        escrow.claim(operator);
        escrow.withdrawFees();
        vm.startPrank(alice);
        escrow.giveNotice(alice);
        pass(NOTICE);
        escrow.withdraw(alice, lane(alice, alice).balanceUnits, alice);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(addressOf("operator")), uint256(AMOUNT) * 9 / 10 * UNIT);
        vm.assertEq(token.balanceOf(treasury), uint256(AMOUNT) / 10 * UNIT);
        assertTotals(0, 0, 0);
    }

    function guard() private pure returns (bytes memory) {
        return abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
    }
}
