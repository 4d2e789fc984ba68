// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {vm} from "../utils/Vm.sol";
import {Exits} from "./Exits.sol";
import {Owning} from "./Owning.sol";
import {Powers} from "./Powers.sol";
import {Requesters} from "./Requesters.sol";

/// @notice Everybody, with all their moves.
contract Everybody is Exits, Owning, Powers, Requesters {}

/// @notice The campaign: random moves of everybody, and after each of them the invariants of README.md beside this file.
/// forge-config: default.isolate = false
contract CampaignTest {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    Everybody private everybody;

    function setUp() public {
        everybody = new Everybody();
        everybody.setUp();
    }

    /// @dev A move that comes more than once comes more often: who mostly finds nothing to do tries more.
    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[36] memory moves = [
            everybody.fundLane.selector,
            everybody.giveNotice.selector,
            everybody.withdraw.selector,
            everybody.postRows.selector,
            everybody.postNothing.selector,
            everybody.settle.selector,
            everybody.settleOne.selector,
            everybody.moveBond.selector,
            everybody.claim.selector,
            everybody.claimToStake.selector,
            everybody.withdrawFees.selector,
            everybody.setPayout.selector,
            everybody.addStake.selector,
            everybody.unbond.selector,
            everybody.withdrawStake.selector,
            everybody.contest.selector,
            everybody.answer.selector,
            everybody.resolve.selector,
            everybody.lapse.selector,
            everybody.refundDuplicate.selector,
            everybody.openCase.selector,
            everybody.commitVerdict.selector,
            everybody.reveal.selector,
            everybody.appeal.selector,
            everybody.execute.selector,
            everybody.settleVotes.selector,
            everybody.sweep.selector,
            everybody.equivocation.selector,
            everybody.pause.selector,
            everybody.rotateSettler.selector,
            everybody.resetBeacon.selector,
            everybody.admitOrRetire.selector,
            everybody.blockAccount.selector,
            everybody.donate.selector,
            everybody.wait.selector,
            everybody.reorgSeeds.selector
        ];
        // forgefmt: disable-next-item
        uint8[36] memory times = [
            5, 4, 11, 12, 1, 14, 6, 5, 6, 6, 8, 3, 4, 2, 14, 18, 9, 21,
            13, 25, 11, 1, 3, 13, 6, 6, 7, 5, 8, 4, 6, 3, 3, 3, 3, 3
        ];
        uint256 all = 0;
        for (uint256 i = 0; i < moves.length; ++i) {
            all += times[i];
        }
        targets = new Selectors[](1);
        targets[0] = Selectors(address(everybody), new bytes4[](all));
        for (uint256 i = 0; i < moves.length; ++i) {
            for (uint256 k = 0; k < times[i]; ++k) {
                targets[0].selectors[--all] = moves[i];
            }
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(everybody);
    }

    /// @notice Covers: A10, A12, A15, A16, A25, A27, A29, A35, A36, A37. I01 to I27 of README.md.
    function invariant_all() external view {
        everybody.checkMoney();
    }

    /// @notice I28, and what was counted goes to the file that tools/campaign.py names, if it runs this.
    function afterInvariant() external {
        string memory path = vm.envOr("ASSAY_CAMPAIGN", string(""));
        uint256 calls = everybody.turns();
        everybody.exitEverybody();
        if (bytes(path).length > 0) vm.writeLine(path, countsAsJson(calls));
    }

    function countsAsJson(uint256 calls) private view returns (string memory json) {
        json = string.concat('{"calls":', vm.toString(calls));
        uint256 count = everybody.nameCount();
        for (uint256 i = 0; i < count; ++i) {
            bytes32 name = everybody.names(i);
            json = string.concat(json, ',"', textOf(name), '":', vm.toString(everybody.hits(name)));
        }
        return string.concat(json, "}");
    }

    function textOf(bytes32 name) private pure returns (string memory) {
        uint256 length = 0;
        while (length < 32 && name[length] != 0) ++length;
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = name[i];
        }
        return string(text);
    }
}
