// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @notice Moves a token in units. A token that takes a fee or rebases on transfer is refused.
library UnitToken {
    using SafeERC20 for IERC20;

    /// @notice Thrown when a transfer brought another amount than was asked for.
    error UnitToken_WrongAmountReceived(uint256 expected, uint256 received);

    /// @notice Thrown when money would go to nobody.
    error UnitToken_ZeroReceiver();

    function pull(IERC20 token, uint256 unit, address from, uint256 units) internal {
        uint256 expected = units * unit;
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), expected);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != expected) revert UnitToken_WrongAmountReceived(expected, received);
    }

    function push(IERC20 token, uint256 unit, address to, uint256 units) internal {
        if (to == address(0)) revert UnitToken_ZeroReceiver();
        token.safeTransfer(to, units * unit);
    }
}
