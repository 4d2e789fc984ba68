// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "./interfaces/IJobEscrow.sol";

/// @notice The escrow's EIP-712 domain, read once, for contracts that check what people signed for the escrow.
abstract contract EscrowDomain {
    address public immutable ESCROW;
    bytes32 private immutable SEPARATOR;
    uint256 private immutable CHAIN_ID;

    constructor(address escrow) {
        ESCROW = escrow;
        SEPARATOR = IJobEscrow(escrow).domainSeparator();
        CHAIN_ID = block.chainid;
    }

    /// @dev A fork of the chain changes its id, and so the escrow's domain.
    function _domain() internal view returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : IJobEscrow(ESCROW).domainSeparator();
    }
}
