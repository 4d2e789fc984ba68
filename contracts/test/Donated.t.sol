// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Network} from "./utils/Network.sol";
import {vm} from "./utils/Vm.sol";

/// @notice What nobody owns is shown apart, to the wei; where nothing was given away nothing is shown.
contract DonatedTest is Network {
    function test_donated_isWhatNobodyOwns() public {
        registerOperator("operator", STAKE);
        address[3] memory holders = [address(escrow), address(stakes), address(contests)];
        for (uint256 wei_ = 0; wei_ < 3; ++wei_) {
            vm.assertEq(escrow.donated(), wei_);
            vm.assertEq(stakes.donated(), wei_);
            vm.assertEq(contests.donated(), wei_);
            for (uint256 i = 0; i < 3; ++i) {
                token.mint(holders[i], 1);
            }
        }
    }

    /// @notice A token that lost balances leaves less than is held: no donation, whatever is missing.
    function test_donated_isNothingWhereSomethingIsMissing() public {
        registerOperator("operator", STAKE);
        vm.prank(address(escrow));
        token.transfer(sink, 1);
        vm.prank(address(stakes));
        token.transfer(sink, 1);
        vm.assertEq(escrow.donated(), 0);
        vm.assertEq(stakes.donated(), 0);
    }
}
