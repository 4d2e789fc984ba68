// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {LeafProof, Terms, Verdict} from "src/libraries/Types.sol";
import {Network} from "./utils/Network.sol";
import {vm} from "./utils/Vm.sol";

/// @notice What clients ask the contracts to hash for them is what the libraries, and so the vectors, say.
contract ViewsTest is Network {
    function testFuzz_hashTerms_isTheLibrarys(Terms calldata terms) external view {
        vm.assertEq(contests.hashTerms(terms), TypedData.hashTerms(terms));
    }

    function testFuzz_hashVerdict_isInTheEscrowsDomain(Verdict calldata verdict) external view {
        bytes32 structHash = TypedData.hashVerdict(verdict);
        vm.assertEq(
            contests.hashVerdict(verdict), MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), structHash)
        );
    }

    /// @notice The case's id is the hash of what its leaf says, in this order: nobody's case is another leaf's.
    function testFuzz_caseIdOf_isTheHashOfTheLeafsFields(LeafProof memory leaf) public view {
        bytes32 expected = keccak256(
            abi.encode(
                leaf.epochId, leaf.index, leaf.requester, leaf.signer, leaf.operatorId, leaf.amountUnits, leaf.digest
            )
        );
        vm.assertEq(court.caseIdOf(leaf), expected);
    }

    /// @notice Covers: A18. A node key's registration is in the stake manager's domain, which is not the escrow's.
    function testFuzz_hashNodeKey_isInTheStakeManagersDomain(address owner, address node) public view {
        bytes32 structHash = TypedData.hashNodeKey(owner, node);
        bytes32 expected = MessageHashUtils.toTypedDataHash(stakes.domainSeparator(), structHash);
        vm.assertEq(stakes.hashNodeKey(owner, node), expected);
        vm.assertFalse(stakes.domainSeparator() == escrow.domainSeparator());
    }
}
