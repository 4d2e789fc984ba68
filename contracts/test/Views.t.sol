// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Terms, Verdict} from "src/libraries/Types.sol";
import {Network} from "./utils/Network.sol";
import {vm} from "./utils/Vm.sol";

/// @notice What clients ask the contracts to hash for them is what the libraries, and so the vectors, say.
contract ViewsTest is Network {
    function testFuzz_hashTerms_isTheLibrarys(Terms memory terms) public view {
        vm.assertEq(escrow.hashTerms(terms), TypedData.hashTerms(terms));
    }

    function testFuzz_hashVerdict_isInTheEscrowsDomain(Verdict memory verdict) public view {
        bytes32 structHash = TypedData.hashVerdict(verdict);
        vm.assertEq(escrow.hashVerdict(verdict), MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), structHash));
    }

    /// @notice Covers: A18. A node key's registration is in the stake manager's domain, which is not the escrow's.
    function testFuzz_hashNodeKey_isInTheStakeManagersDomain(address owner, address node) public view {
        bytes32 structHash = TypedData.hashNodeKey(owner, node);
        bytes32 expected = MessageHashUtils.toTypedDataHash(stakes.domainSeparator(), structHash);
        vm.assertEq(stakes.hashNodeKey(owner, node), expected);
        vm.assertFalse(stakes.domainSeparator() == escrow.domainSeparator());
    }
}
