// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DevToken} from "src/dev/DevToken.sol";

/// @notice A token whose issuer blocks accounts, as USDC's and USDT's do: nothing comes from them, nothing goes to them.
contract BlockingToken is DevToken {
    mapping(address account => bool) public blocked;

    error BlockingToken_Blocked(address account);

    function setBlocked(address account, bool isBlocked) external {
        blocked[account] = isBlocked;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (blocked[from]) revert BlockingToken_Blocked(from);
        if (blocked[to]) revert BlockingToken_Blocked(to);
        super._update(from, to, amount);
    }
}
