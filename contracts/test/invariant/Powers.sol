// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {EpochStatus} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What guardian, governor, the token's issuer, donors, time and the chain itself do.
abstract contract Powers is Rows {
    // ---------------------------------------------------------------- guardian, governor

    /// @notice A pause, and more often its end.
    function pause(uint256 seed) external turn {
        seed = mixed(seed);
        if (paused) return unpause(seed);
        if (seed % 4 != 0) return refusePause();
        attempt(guardian, address(escrow), abi.encodeCall(escrow.pause, ()), 0);
        paused = true;
        hit("pause");
        hit("pause.begins");
    }

    function refusePause() private {
        attempt(settler, address(escrow), abi.encodeCall(escrow.pause, ()), IJobEscrow.JobEscrow_NotGuardian.selector);
        hit("pause.byTheSettler");
    }

    function unpause(uint256 seed) private {
        address[3] memory callers = [guardian, governor, settler];
        bytes4 refusal = seed % 3 == 2 ? IJobEscrow.JobEscrow_NotGuardian.selector : bytes4(0);
        if (!attempt(callers[seed % 3], address(escrow), abi.encodeCall(escrow.unpause, ()), refusal)) return;
        paused = false;
        hit("pause");
        hit(seed % 3 == 0 ? bytes32("unpause.byTheGuardian") : bytes32("unpause.byTheGovernor"));
    }

    /// @notice The settler dies, or the governor names another one, dead or alive.
    function rotateSettler(uint256 seed) external turn {
        seed = mixed(seed);
        if (!settlerIsDead && seed % 8 == 0) {
            hit("settler.dies");
            settlerIsDead = true;
            return;
        }
        address next = addressOf(string.concat("settler", vm.toString((seed >> 8) % 2)));
        bool isBeacons = (seed >> 16) % 8 == 0;
        bytes4 refusal = isBeacons ? IJobEscrow.JobEscrow_NotGovernor.selector : bytes4(0);
        address caller = isBeacons ? guardian : governor;
        if (!attempt(caller, address(escrow), abi.encodeCall(escrow.setSettler, (next)), refusal)) return;
        (settler, settlerIsDead) = (next, false);
        if (unbondAt != 0) hit("settler.rotatedWhileUnbonding");
        unbondAt = 0;
        hit("rotateSettler");
    }

    /// @notice The beacon's owner lost a value; the governor goes on with the next, unless a seed waits for it.
    function resetBeacon(uint256) external turn {
        bool pending = epochBooks[lastEpoch].count != 0 && epochStatus(lastEpoch) != EpochStatus.STRANDED;
        bytes4 refusal = pending ? IJobEscrow.JobEscrow_SeedIsPending.selector : bytes4(0);
        if (pending) hit("beacon.seedIsPending");
        bytes memory data = abi.encodeCall(escrow.resetBeacon, (beaconChain[beaconAt - 1]));
        if (!attempt(governor, address(escrow), data, refusal)) return;
        --beaconAt;
        hit("resetBeacon");
    }

    /// @notice Retires the silent verifier, or admits it again with another key.
    function admitOrRetire(uint256 seed) external turn {
        seed = mixed(seed);
        uint256 v = VERIFIERS - 1;
        Account storage account = accounts[v + 2];
        if (seed % 8 == 0) {
            bytes4 refusal = IStakeManager.StakeManager_WrongVerifierState.selector;
            bytes memory again = account.admitted
                ? abi.encodeCall(stakes.admitVerifier, (account.id, anyone))
                : abi.encodeCall(stakes.retireVerifier, (account.id));
            attempt(governor, address(stakes), again, refusal);
            hit("verifier.wrongState");
        } else if (account.admitted) {
            attempt(governor, address(stakes), abi.encodeCall(stakes.retireVerifier, (account.id)), 0);
            account.admitted = false;
            hit("verifier.retired");
        } else {
            admit(v);
            hit("verifier.admittedAgain");
        }
        hit("admitOrRetire");
    }

    // ---------------------------------------------------------------- issuer, donors

    /// @notice The token's issuer blocks one account at a time.
    function blockAccount(uint256 seed) external turn {
        seed = mixed(seed);
        address[6] memory people =
            [lanes[0].requester, lanes[4].requester, accounts[0].owner, coldWallet, doubter, accounts[3].owner];
        address next = blocked == address(0) ? people[seed % 6] : address(0);
        blockable.setBlocked(next == address(0) ? blocked : next, next != address(0));
        blocked = next;
        hit("blockAccount");
    }

    function donate(uint256 seed) external turn {
        seed = mixed(seed);
        address[3] memory contracts = [address(escrow), address(stakes), address(contests)];
        uint256 amount = 1 + (seed >> 8) % 1e12;
        token.mint(contracts[seed % 3], amount);
        donatedWei[contracts[seed % 3]] += amount;
        hit("donate");
    }

    // ---------------------------------------------------------------- time, the chain

    /// @notice Seconds, minutes, and now and then long enough for epochs to strand.
    function wait(uint256 seed) external turn {
        seed = mixed(seed);
        pass(seed % 16 == 0 ? (seed >> 8) % 600 : 1 + (seed >> 8) % 20);
        hit("wait");
    }

    /// @notice Another block came to be where the seeds' blocks were; who built it, what it cost and its randomness too.
    function reorgSeeds(uint256 seed) external turn {
        seed = mixed(seed);
        uint256 number = vm.getBlockNumber();
        for (uint256 back = 1; back <= 3; ++back) {
            vm.setBlockhash(number - back, keccak256(abi.encode(seed, back)));
        }
        vm.prevrandao(keccak256(abi.encode(seed)));
        vm.coinbase(address(uint160(seed)));
        vm.fee(seed % 1e12);
        hit("reorgSeeds");
    }
}
