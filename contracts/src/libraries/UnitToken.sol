// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @notice Moves a token in units. A token that takes a fee or rebases on transfer is refused.
library UnitToken {
    using SafeERC20 for IERC20;

    /// @dev A payer's EIP-3009 authorization without receiver and amount.
    struct Authorization {
        address payer;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Thrown when a transfer brings another amount than asked for.
    error UnitToken_WrongAmountReceived(uint256 expected, uint256 received);
    error UnitToken_ZeroReceiver();

    function pull(IERC20 token, uint256 unit, address from, uint256 units) internal {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), units * unit);
        requireReceived(token, before, units * unit);
    }

    /// @notice Pulls with the payer's EIP-3009 authorization, which names this contract as the receiver.
    function pullAuthorized(IERC20 token, uint256 unit, uint256 units, Authorization memory a) internal {
        uint256 before = token.balanceOf(address(this));
        IERC3009(address(token))
            .receiveWithAuthorization(
                a.payer, address(this), units * unit, a.validAfter, a.validBefore, a.nonce, a.v, a.r, a.s
            );
        requireReceived(token, before, units * unit);
    }

    function requireReceived(IERC20 token, uint256 before, uint256 expected) private view {
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != expected) revert UnitToken_WrongAmountReceived(expected, received);
    }

    function push(IERC20 token, uint256 unit, address to, uint256 units) internal {
        if (to == address(0)) revert UnitToken_ZeroReceiver();
        token.safeTransfer(to, units * unit);
    }
}
