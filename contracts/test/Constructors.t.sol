// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Contests} from "src/Contests.sol";
import {JobEscrow} from "src/JobEscrow.sol";
import {SlashingCourt} from "src/SlashingCourt.sol";
import {StakeManager} from "src/StakeManager.sol";
import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Network} from "./utils/Network.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The windows fit into each other, strictly, or nothing is deployed. Covers: A10.
contract ConstructorsTest is Network {
    /// @notice Covers: A30.
    function test_escrow_refusesWindowsThatDoNotFit() public {
        IJobEscrow.Params memory params = escrowParams(address(1), address(2), address(3));
        params.settleWait = params.epochMax + params.checkWait;
        expectRefused(
            abi.encodeCall(this.newEscrow, (params)),
            abi.encodeWithSelector(IJobEscrow.JobEscrow_SettleWaitTooShort.selector, 100, 100)
        );

        params = escrowParams(address(1), address(2), address(3));
        params.notice = params.orderTtl + params.epochMax + params.settleWait;
        expectRefused(
            abi.encodeCall(this.newEscrow, (params)),
            abi.encodeWithSelector(IJobEscrow.JobEscrow_NoticeTooShort.selector, 480, 480)
        );
    }

    function test_escrow_refusesMissingParams() public {
        for (uint256 i = 0; i < 6; ++i) {
            IJobEscrow.Params memory params = escrowParams(address(1), address(2), address(3));
            if (i == 0) params.token = address(0);
            else if (i == 1) params.settler = address(0);
            else if (i == 2) params.treasury = address(0);
            else if (i == 3) params.governor = address(0);
            else if (i == 4) params.guardian = address(0);
            else params.unit = 0;
            expectRefused(
                abi.encodeCall(this.newEscrow, (params)),
                abi.encodeWithSelector(IJobEscrow.JobEscrow_MissingParam.selector)
            );
        }
    }

    function test_escrow_refusesAFeeAboveTheWhole() public {
        IJobEscrow.Params memory params = escrowParams(address(1), address(2), address(3));
        params.feeBps = 10_001;
        expectRefused(
            abi.encodeCall(this.newEscrow, (params)),
            abi.encodeWithSelector(IJobEscrow.JobEscrow_FeeAboveOne.selector, 10_001)
        );
        params.feeBps = 10_000;
        vm.assertEq(new JobEscrow(params).FEE_BPS(), 10_000);
    }

    function test_stakes_refusesMissingParams() public {
        for (uint256 i = 0; i < 6; ++i) {
            IStakeManager.Params memory params = stakeParams(address(1), address(2));
            if (i == 0) params.token = address(0);
            else if (i == 1) params.governor = address(0);
            else if (i == 2) params.escrow = address(0);
            else if (i == 3) params.court = address(0);
            else if (i == 4) params.sink = address(0);
            else params.unit = 0;
            expectRefused(
                abi.encodeCall(this.newStakes, (params)),
                abi.encodeWithSelector(IStakeManager.StakeManager_MissingParam.selector)
            );
        }
    }

    function test_court_refusesAnotherWiring() public {
        expectRefused(
            abi.encodeCall(this.newCourt, (courtParams(address(escrow), address(stakes)))),
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_Miswired.selector)
        );
    }

    /// @notice Court, escrow and stake manager name each other and count the same token in the same unit: one of these
    /// that is off is enough to be refused.
    function test_court_refusesEachWrongWire() public {
        (bool sound,) = address(this).call(abi.encodeCall(this.newCourtWith, (0)));
        vm.assertTrue(sound);
        for (uint256 wrong = 1; wrong <= 7; ++wrong) {
            expectRefused(
                abi.encodeCall(this.newCourtWith, (wrong)),
                abi.encodeWithSelector(ISlashingCourt.SlashingCourt_Miswired.selector)
            );
        }
    }

    function test_court_refusesACaseLongerThanSettlementWaits() public {
        // settleWait 300 against 60 + 40 + 2 * commit + 10
        expectCourtRefusal(
            95, 400, UNBOND, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_SettleWaitTooShort.selector, 300, 300)
        );
    }

    function test_court_refusesACaseWindowBelowSettleWait() public {
        expectCourtRefusal(
            15, 299, UNBOND, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_CaseWindowTooShort.selector, 299, 300)
        );
    }

    function test_court_refusesUnbondingBelowTheLongestCase() public {
        // 400 + 2 * 15 + 10 + 300
        expectCourtRefusal(
            15, 400, 740, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_UnbondTooShort.selector, 740, 740)
        );
    }

    /// @notice What a verifier may lose in a case is within what every active one has.
    function test_court_refusesARewardAboveTheLeastStake() public {
        expectCourtRefusal(
            1e9 + 1,
            1e9,
            abi.encodeWithSelector(ISlashingCourt.SlashingCourt_RewardAboveStake.selector, uint256(1e9) + 1, 1e9)
        );
    }

    function test_court_refusesALeastStakeThatIsNotCounted() public {
        uint256 tooMuch = uint256(type(uint64).max) + 1;
        expectCourtRefusal(
            1, tooMuch, abi.encodeWithSelector(ISlashingCourt.SlashingCourt_RewardAboveStake.selector, 1, tooMuch)
        );
    }

    function test_court_takesARewardAsHighAsTheLeastStake() public {
        expectCourtRefusal(type(uint64).max, type(uint64).max, "");
    }

    function test_contests_refusesAnotherWiring() public {
        expectRefused(
            abi.encodeCall(this.newContests, (contestParams(address(escrow), address(stakes)))),
            abi.encodeWithSelector(IContests.Contests_Miswired.selector)
        );
    }

    /// @notice As for the court; and the bond fits what a bond is counted in.
    function test_contests_refusesEachWrongWire() public {
        (bool sound,) = address(this).call(abi.encodeCall(this.newContestsWith, (0)));
        vm.assertTrue(sound);
        for (uint256 wrong = 1; wrong <= 6; ++wrong) {
            expectRefused(
                abi.encodeCall(this.newContestsWith, (wrong)),
                abi.encodeWithSelector(IContests.Contests_Miswired.selector)
            );
        }
    }

    function test_contests_refusesAWindowThatEndsBeforeTheLastSettlement() public {
        expectContestsRefusal(
            SETTLE_WAIT,
            600,
            abi.encodeWithSelector(IContests.Contests_ContestWindowTooShort.selector, SETTLE_WAIT, SETTLE_WAIT)
        );
    }

    /// @notice Covers: A27. All that may be refunded lies within one charge window, or nothing is deployed.
    function test_contests_refusesWindowsThatTheBondDoesNotCover() public {
        expectContestsRefusal(
            421, 600, abi.encodeWithSelector(IContests.Contests_ChargeWindowTooShort.selector, 600, 601)
        );
    }

    /// @notice A contest's bond is taken as it was given, as large as a deposit can be.
    function test_contests_takesABondOfAnySizeThatIsCounted() public {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        new JobEscrow(escrowParams(stakesAt, address(3), vm.computeCreateAddress(address(this), nonce + 2)));
        new StakeManager(stakeParams(escrowAt, address(3)));
        IContests.Params memory params = contestParams(escrowAt, stakesAt);
        params.contestBond = type(uint64).max;
        vm.assertEq(new Contests(params).CONTEST_BOND(), type(uint64).max);
    }

    /// @dev Ends the test, see below.
    function expectContestsRefusal(uint256 contestWindow, uint256 chargeWindow, bytes memory refusal) private {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        IJobEscrow.Params memory escrowParams_ =
            escrowParams(stakesAt, address(3), vm.computeCreateAddress(address(this), nonce + 2));
        escrowParams_.chargeWindow = chargeWindow;
        IContests.Params memory params = contestParams(escrowAt, stakesAt);
        params.contestWindow = contestWindow;
        new JobEscrow(escrowParams_);
        new StakeManager(stakeParams(escrowAt, address(3)));
        vm.expectRevert(refusal);
        new Contests(params);
    }

    /// @dev Ends the test, see below.
    function expectCourtRefusal(uint256 commitWindow, uint256 caseWindow, uint256 unbond, bytes memory refusal)
        private
    {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address courtAt = vm.computeCreateAddress(address(this), nonce + 2);
        IStakeManager.Params memory stakeParams_ = stakeParams(escrowAt, courtAt);
        stakeParams_.unbond = unbond;
        ISlashingCourt.Params memory courtParams_ = courtParams(escrowAt, stakesAt);
        (courtParams_.commitWindow, courtParams_.caseWindow) = (commitWindow, caseWindow);
        new JobEscrow(escrowParams(stakesAt, courtAt, address(3)));
        new StakeManager(stakeParams_);
        vm.expectRevert(refusal);
        new SlashingCourt(courtParams_);
    }

    /// @dev Ends the test, see below, unless nothing is refused.
    function expectCourtRefusal(uint256 caseReward, uint256 minVerifierStake, bytes memory refusal) private {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address courtAt = vm.computeCreateAddress(address(this), nonce + 2);
        IStakeManager.Params memory stakeParams_ = stakeParams(escrowAt, courtAt);
        stakeParams_.minVerifierStake = minVerifierStake;
        ISlashingCourt.Params memory courtParams_ = courtParams(escrowAt, stakesAt);
        courtParams_.caseReward = caseReward;
        new JobEscrow(escrowParams(stakesAt, courtAt, address(3)));
        new StakeManager(stakeParams_);
        if (refusal.length == 0) {
            vm.assertEq(new SlashingCourt(courtParams_).CASE_REWARD(), caseReward);
            return;
        }
        vm.expectRevert(refusal);
        new SlashingCourt(courtParams_);
    }

    // ---------------------------------------------------------------- deploying

    // Each in a call of its own: forge has `new` done by a cheatcode, whose refusal ends the test, expected or not.

    function newEscrow(IJobEscrow.Params calldata params) external {
        new JobEscrow(params);
    }

    function newStakes(IStakeManager.Params calldata params) external {
        new StakeManager(params);
    }

    function newCourt(ISlashingCourt.Params calldata params) external {
        new SlashingCourt(params);
    }

    function newContests(IContests.Params calldata params) external {
        new Contests(params);
    }

    function newCourtWith(uint256 wrong) external {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address courtAt = vm.computeCreateAddress(address(this), nonce + 2);
        IJobEscrow.Params memory ofEscrow = escrowParams(stakesAt, courtAt, address(3));
        IStakeManager.Params memory ofStakes = stakeParams(escrowAt, courtAt);
        if (wrong == 1) ofEscrow.court = address(4);
        else if (wrong == 2) ofStakes.court = address(4);
        else if (wrong == 3) ofEscrow.stakeManager = address(4);
        else if (wrong == 4) ofStakes.escrow = address(4);
        else if (wrong == 5) ofStakes.token = address(4);
        else if (wrong == 6) ofEscrow.unit = UNIT + 1;
        else if (wrong == 7) ofStakes.unit = UNIT + 1;
        new JobEscrow(ofEscrow);
        new StakeManager(ofStakes);
        new SlashingCourt(courtParams(escrowAt, stakesAt));
    }

    function newContestsWith(uint256 wrong) external {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address contestsAt = vm.computeCreateAddress(address(this), nonce + 2);
        IJobEscrow.Params memory ofEscrow = escrowParams(stakesAt, address(3), contestsAt);
        IStakeManager.Params memory ofStakes = stakeParams(escrowAt, address(3));
        IContests.Params memory params = contestParams(escrowAt, stakesAt);
        if (wrong == 1) ofEscrow.contests = address(4);
        else if (wrong == 2) ofEscrow.stakeManager = address(4);
        else if (wrong == 3) ofStakes.escrow = address(4);
        else if (wrong == 4) ofEscrow.token = address(4);
        else if (wrong == 5) ofEscrow.unit = UNIT + 1;
        else if (wrong == 6) params.contestBond = uint256(type(uint64).max) + 1;
        new JobEscrow(ofEscrow);
        new StakeManager(ofStakes);
        new Contests(params);
    }

    function expectRefused(bytes memory deployment, bytes memory refusal) private {
        (bool success, bytes memory given) = address(this).call(deployment);
        vm.assertFalse(success);
        vm.assertEq(given, refusal);
    }
}
