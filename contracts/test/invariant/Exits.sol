// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {LeafStatus} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Contesting} from "./Contesting.sol";
import {Invariants} from "./Invariants.sol";
import {Judging} from "./Judging.sol";
import {Settling} from "./Settling.sol";

/// @notice The end of each run: settler, beacon, guardian, governor and treasury fall silent for ever, in whatever state
/// the network is, and everybody else gets out what is theirs. Whom the token blocks has it paid to another address.
abstract contract Exits is Contesting, Invariants, Judging, Settling {
    function exitEverybody() external {
        (ended, settlerIsDead) = (true, true);
        unblockContesters();
        endContests();
        vm.warp(time() + SETTLE_WAIT + 1);
        endCases();
        payLeaves();
        emptyLanes();
        claimCredits();
        withdrawStakes();
        I28_everybodyIsOut();
        checkEverything();
    }

    /// @dev A contest's bond goes back to nobody else: it waits for the issuer.
    function unblockContesters() private {
        for (uint256 slot = 0; slot < openContests.length; ++slot) {
            if (contestBooks[openContests[slot]].contester != blocked) continue;
            blockable.setBlocked(blocked, false);
            blocked = address(0);
        }
    }

    function endContests() private {
        for (uint256 round = 0; round < 2; ++round) {
            for (uint256 slot = openContests.length; slot > 0; --slot) {
                IContests.ContestStatus status = contestStatus(openContests[slot - 1]);
                if (status == IContests.ContestStatus.UNANSWERED) resolveAt(slot - 1);
                else if (status == IContests.ContestStatus.OVERDUE) lapseAt(slot - 1);
            }
            vm.warp(time() + ANSWER_WINDOW);
        }
    }

    /// @dev Some are executed by who settles nobody; every verifier sees to its own vote.
    function endCases() private {
        while (openCases.length > 0) {
            uint256 i = openCases[0];
            vm.assertTrue(executeCase(i, idsFor(i)), "I28: a case has no end");
        }
        while (unsettledCases.length > 0) {
            settleVotesOf(unsettledCases[0], everyVerifier());
            count("exit.votesSettled");
        }
        sweepUp();
    }

    /// @dev Leaf by leaf, as lanes cover them; where the charge window is full, when it has emptied.
    function payLeaves() private {
        for (uint256 i = 0; i < leafBooks.length; ++i) {
            LeafBook storage leaf = leafBooks[i];
            if (leafStatus(leaf) != LeafStatus.UNCHARGED) continue;
            if (spentLately() + leaf.amount > bond) vm.warp(time() + 2 * CHARGE_WINDOW);
            if (payOne(i, 2)) count("exit.leafPaid");
        }
    }

    function emptyLanes() private {
        for (uint256 l = 0; l < TREASURY_LANE; ++l) {
            attempt(lanes[l].requester, address(escrow), abi.encodeCall(escrow.giveNotice, (lanes[l].signer)), 0);
            lanes[l].noticeAt = uint32(time());
        }
        vm.warp(time() + NOTICE);
        for (uint256 l = 0; l < TREASURY_LANE; ++l) {
            LaneBook storage lane_ = lanes[l];
            bytes memory data = abi.encodeCall(escrow.withdraw, (lane_.signer, lane_.balance, elsewhere));
            attempt(lane_.requester, address(escrow), data, 0);
            move(address(escrow), elsewhere, lane_.balance);
            if (lane_.balance > 0) count("exit.laneEmptied");
            (lane_.balance, lane_.noticeAt) = (0, 0);
        }
    }

    function claimCredits() private {
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            Account storage account = accounts[a];
            attempt(account.owner, address(stakes), abi.encodeCall(stakes.setPayout, (elsewhere)), 0);
            (account.payout, account.nextPayout) = (payoutOf(account), elsewhere);
            account.payoutAt = uint40(time() + PAYOUT_DELAY);
        }
        vm.warp(time() + PAYOUT_DELAY);
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            Account storage account = accounts[a];
            uint64 units = account.earned - account.claimed;
            if (units == 0) continue;
            attempt(anyone, address(escrow), abi.encodeCall(escrow.claim, (account.id)), 0);
            account.claimed += units;
            move(address(escrow), elsewhere, units);
            count("exit.claimed");
        }
        attempt(anyone, address(escrow), abi.encodeCall(escrow.withdrawFees, ()), 0);
        move(address(escrow), treasury, fees);
        fees = 0;
    }

    function withdrawStakes() private {
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            Account storage account = accounts[a];
            attempt(account.owner, address(stakes), abi.encodeCall(stakes.unbond, (account.stake)), 0);
            (account.unbonding, account.stake) = (account.unbonding + account.stake, 0);
            account.unbondAt = uint40(time());
        }
        vm.warp(time() + UNBOND);
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            Account storage account = accounts[a];
            if (account.unbonding == 0) continue;
            attempt(account.owner, address(stakes), abi.encodeCall(stakes.withdrawStake, (elsewhere)), 0);
            move(address(stakes), elsewhere, account.unbonding);
            account.unbonding = 0;
            count("exit.stakeWithdrawn");
        }
    }

    /// @dev What stays is the silent backend's own, its bond and its lane, and what nobody is owed.
    function I28_everybodyIsOut() private view {
        uint256 backends = uint256(bond) + lanes[TREASURY_LANE].balance;
        uint256 left = token.balanceOf(address(escrow)) - donatedWei[address(escrow)];
        vm.assertEq(left, backends * UNIT, "I28: the escrow keeps the backend's money and donations, nobody else's");
        vm.assertEq(token.balanceOf(address(stakes)), donatedWei[address(stakes)], "I28: stakes keep donations only");
        vm.assertEq(
            token.balanceOf(address(contests)), donatedWei[address(contests)], "I28: contests keep donations only"
        );
    }
}
