// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "./interfaces/IJobEscrow.sol";

/// @notice For contracts that read what people signed for the escrow: its EIP-712 domain, asked for once a chain.
abstract contract EscrowDomain {
    address public immutable ESCROW;
    bytes32 private immutable SEPARATOR;
    uint256 private immutable CHAIN_ID;

    constructor(address escrow) {
        ESCROW = escrow;
        SEPARATOR = IJobEscrow(escrow).domainSeparator();
        CHAIN_ID = block.chainid;
    }

    /// @dev After a fork of the chain the escrow's domain is another one.
    function _domain() internal view returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : IJobEscrow(ESCROW).domainSeparator();
    }
}
