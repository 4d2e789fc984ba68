// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What the owners of accounts do: two operators and four verifiers.
abstract contract Owning is Rows {
    // ---------------------------------------------------------------- earnings

    function claim(uint256 seed) external turn {
        seed = mixed(seed);
        Account storage account = pickEarner(seed);
        uint64 units = account.earned - account.claimed;
        bytes4 refusal = firstOf(nothingToClaim(units), tokenRefusal(address(escrow), payoutOf(account)));
        if (units != 0 && refusal != 0) hit("claim.payoutBlocked");
        bytes memory data = abi.encodeCall(escrow.claim, (account.id));
        if (!attempt(anyone, address(escrow), data, refusal)) return;
        account.claimed += units;
        move(address(escrow), payoutOf(account), units);
        hit("claim");
        if (paused) hit("claim.paused");
    }

    function claimToStake(uint256 seed) external turn {
        seed = mixed(seed);
        Account storage account = pickEarner(seed);
        uint64 units = account.earned - account.claimed;
        bool stranger = (seed >> 16) % 8 == 0;
        bytes4 refusal = stranger ? IJobEscrow.JobEscrow_NotOwner.selector : nothingToClaim(units);
        bytes memory data = abi.encodeCall(escrow.claimToStake, (account.id));
        if (stranger) hit("claimToStake.notOwner");
        if (!attempt(stranger ? anyone : account.owner, address(escrow), data, refusal)) return;
        account.claimed += units;
        account.stake += units;
        move(address(escrow), address(stakes), units);
        hit("claimToStake");
    }

    function withdrawFees(uint256) external turn {
        attempt(anyone, address(escrow), abi.encodeCall(escrow.withdrawFees, ()), 0);
        if (fees == 0) return;
        move(address(escrow), treasury, fees);
        fees = 0;
        hit("withdrawFees");
    }

    /// @dev One with something to claim, if the first picks find one.
    function pickEarner(uint256 seed) private view returns (Account storage account) {
        account = accounts[seed % ACCOUNTS];
        for (uint256 i = 0; i < 5 && account.earned == account.claimed; ++i) {
            account = accounts[(seed + i) % ACCOUNTS];
        }
    }

    function nothingToClaim(uint64 units) private returns (bytes4) {
        if (units != 0) return 0;
        hit("claim.nothing");
        return IJobEscrow.JobEscrow_NothingToClaim.selector;
    }

    function setPayout(uint256 seed) external turn {
        seed = mixed(seed);
        Account storage account = accounts[seed % ACCOUNTS];
        address[3] memory choices = [account.owner, coldWallet, address(0)];
        address payout = choices[(seed >> 8) % 32 == 0 ? 2 : (seed >> 8) % 2];
        bytes4 refusal = payout == address(0) ? IStakeManager.StakeManager_ZeroPayout.selector : bytes4(0);
        if (refusal != 0) hit("payout.zero");
        if (!attempt(account.owner, address(stakes), abi.encodeCall(stakes.setPayout, (payout)), refusal)) return;
        account.payout = payoutOf(account);
        account.nextPayout = payout;
        account.payoutAt = uint40(time() + PAYOUT_DELAY);
        hit("setPayout");
    }

    // ---------------------------------------------------------------- stake

    function addStake(uint256 seed) external turn {
        seed = mixed(seed);
        Account storage account = accounts[(seed >> 8) % 2 == 0 ? seed % 2 : seed % ACCOUNTS];
        uint64 units = uint64(1 + (seed >> 16) % ((seed >> 12) % 4 == 0 ? 1e5 : 1e7));
        if (account.keys > 0 && account.stake < MIN_VERIFIER_STAKE) units = 2e9;
        bool unknown = (seed >> 8) % 16 == 0;
        bytes4 refusal =
            unknown ? IStakeManager.StakeManager_UnknownId.selector : tokenRefusal(account.owner, address(stakes));
        bytes memory data = abi.encodeCall(stakes.stake, (unknown ? 0 : account.id, units));
        if (unknown) hit("stake.unknownId");
        if (!attempt(account.owner, address(stakes), data, refusal)) return;
        account.stake += units;
        move(account.owner, address(stakes), units);
        hit("addStake");
    }

    /// @notice A part of three stakes, mostly small; one in eight tries more than there is.
    function unbond(uint256 seed) external turn {
        seed = mixed(seed);
        unbondFrom(accounts[seed % ACCOUNTS], seed);
        unbondFrom(accounts[(seed + 1) % ACCOUNTS], seed >> 32);
        unbondFrom(accounts[(seed + 2) % ACCOUNTS], seed >> 64);
    }

    function unbondFrom(Account storage account, uint256 seed) private {
        bool tooMuch = (seed >> 8) % 8 == 0;
        uint64 units = tooMuch ? account.stake + 1 : account.stake / uint64(1 + (seed >> 16) % 60);
        bytes4 refusal = tooMuch ? IStakeManager.StakeManager_StakeTooLow.selector : bytes4(0);
        if (tooMuch) hit("unbond.tooMuch");
        if (!attempt(account.owner, address(stakes), abi.encodeCall(stakes.unbond, (units)), refusal)) return;
        account.stake -= units;
        account.unbonding += units;
        account.unbondAt = uint40(time());
        hit("unbond");
    }

    /// @notice Whose time is over takes out what was unbonded; one in four waits for that, the others try all the same.
    function withdrawStake(uint256 seed) external turn {
        seed = mixed(seed);
        Account storage account = accounts[seed % ACCOUNTS];
        for (uint256 i = 1; i < ACCOUNTS && account.unbonding == 0; ++i) {
            account = accounts[(seed + i) % ACCOUNTS];
        }
        uint256 endsAt = account.unbondAt + UNBOND;
        if (time() < endsAt && account.unbonding > 0 && (seed >> 8) % 4 == 0) vm.warp(endsAt);
        withdrawFor(account);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            bool over = accounts[i].unbonding > 0 && time() >= accounts[i].unbondAt + UNBOND;
            if (over && accounts[i].id != account.id) withdrawFor(accounts[i]);
        }
    }

    function withdrawFor(Account storage account) private {
        uint256 endsAt = account.unbondAt + UNBOND;
        uint80 stays = account.locked > account.stake ? account.locked - account.stake : 0;
        bytes4 refusal = stakeRefusal(account, endsAt, stays);
        bytes memory data = abi.encodeCall(stakes.withdrawStake, (account.owner));
        if (!attempt(account.owner, address(stakes), data, refusal)) return;
        I20_stakeLeavesAfterItsCases(account);
        move(address(stakes), account.owner, account.unbonding - uint64(stays));
        account.unbonding = uint64(stays);
        hit("withdrawStake");
        if (stays > 0) hit("withdrawStake.lockedStays");
        if (paused) hit("withdrawStake.paused");
    }

    function stakeRefusal(Account storage account, uint256 endsAt, uint80 stays) private returns (bytes4) {
        if (time() < endsAt) {
            hit("withdrawStake.early");
            return IStakeManager.StakeManager_StillUnbonding.selector;
        }
        if (account.unbonding > stays) return tokenRefusal(address(stakes), account.owner);
        hit(stays == 0 ? bytes32("withdrawStake.nothing") : bytes32("withdrawStake.allLocked"));
        return IStakeManager.StakeManager_NothingToWithdraw.selector;
    }

    /// @dev Whatever was posted while the stake was still bonded: its case window is over, and so is any case on it.
    function I20_stakeLeavesAfterItsCases(Account storage account) private view {
        uint256 lastCaseEnds = account.unbondAt + CASE_WINDOW + 2 * COMMIT_WINDOW + REVEAL_WINDOW;
        vm.assertTrue(time() > lastCaseEnds, "I20: stake left while a case on its work could still run");
        for (uint256 k = 0; k < openCases.length; ++k) {
            LeafBook storage leaf = leafBooks[openCases[k]];
            bool older =
                accounts[leaf.account].id == account.id && epochBooks[leaf.epochId].postedAt <= account.unbondAt;
            bool ruled = caseStatus(caseBooks[openCases[k]]) == CaseStatus.RULED;
            vm.assertTrue(!older || ruled, "I20: stake left before a case on its work was ruled");
        }
    }
}
