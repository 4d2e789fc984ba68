// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @notice A development network's token, with ERC-2612 permits and EIP-3009 authorizations. Its deployer mints freely.
contract DevToken is ERC20Permit, ERC3009 {
    address public immutable MINTER;

    error DevToken_NotMinter(address caller);

    constructor() ERC20("Assay Development Token", "ADEV") ERC20Permit("Assay Development Token") {
        MINTER = msg.sender;
    }

    function mint(address to, uint256 amount) external {
        if (msg.sender != MINTER) revert DevToken_NotMinter(msg.sender);
        _mint(to, amount);
    }
}
