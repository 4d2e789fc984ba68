// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {LeafProof} from "./Types.sol";

/// @notice The epoch's tree (SPEC section 4): leaves in the order of the rows, neighbours paired from the left, an odd
/// last node promoted unchanged. Leaves hash 96 bytes and inner nodes 64, so neither can pass for the other.
library Merkle {
    /// @notice Thrown when a position lies outside the tree.
    error Merkle_IndexOutOfRange(uint256 index, uint256 count);
    /// @notice Thrown when a proof has more or fewer siblings than its position needs.
    error Merkle_WrongProofLength(uint256 needed, uint256 given);

    function laneKey(address requester, address signer) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(requester, signer));
    }

    function leaf(bytes32 key, uint32 operatorId, uint64 amountUnits, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encode(key, uint256(operatorId) << 64 | amountUnits, digest));
    }

    /// @notice Root of `nodes`, zero for none. Overwrites them level by level.
    function root(bytes32[] memory nodes) internal pure returns (bytes32) {
        if (nodes.length == 0) return bytes32(0);
        // The first `width` words of the array are the level; parent i overwrites node i.
        assembly ("memory-safe") {
            let base := add(nodes, 0x20)
            for { let width := mload(nodes) } gt(width, 1) {} {
                let pairsEnd := add(base, shl(6, shr(1, width)))
                let foursEnd := add(base, shl(8, shr(3, width)))
                let parent := base
                let pair := base
                // Four pairs at a time, which spreads the cost of the loop itself.
                for {} lt(pair, foursEnd) { pair := add(pair, 0x100) } {
                    mstore(parent, keccak256(pair, 0x40))
                    mstore(add(parent, 0x20), keccak256(add(pair, 0x40), 0x40))
                    mstore(add(parent, 0x40), keccak256(add(pair, 0x80), 0x40))
                    mstore(add(parent, 0x60), keccak256(add(pair, 0xc0), 0x40))
                    parent := add(parent, 0x80)
                }
                for {} lt(pair, pairsEnd) { pair := add(pair, 0x40) } {
                    mstore(parent, keccak256(pair, 0x40))
                    parent := add(parent, 0x20)
                }
                if and(width, 1) { mstore(parent, mload(pairsEnd)) }
                width := shr(1, add(width, 1))
            }
        }
        return nodes[0];
    }

    /// @notice Root by a leaf's proof, in a tree of `count` leaves.
    function rootOf(LeafProof calldata proof, uint256 count) internal pure returns (bytes32) {
        bytes32 key = laneKey(proof.requester, proof.signer);
        bytes32 node = leaf(key, proof.operatorId, proof.amountUnits, proof.digest);
        return rootFromProof(node, proof.index, count, proof.siblings);
    }

    /// @notice Root by a proof, from `node` at position `index` of `count` leaves.
    function rootFromProof(bytes32 node, uint256 index, uint256 count, bytes32[] calldata siblings)
        internal
        pure
        returns (bytes32)
    {
        if (index >= count) revert Merkle_IndexOutOfRange(index, count);
        uint256 used = 0;
        for (uint256 last = count - 1; last != 0; last >>= 1) {
            bool isRight = index & 1 == 1;
            if (isRight || index != last) {
                if (used == siblings.length) revert Merkle_WrongProofLength(used + 1, siblings.length);
                bytes32 sibling;
                assembly ("memory-safe") {
                    sibling := calldataload(add(siblings.offset, shl(5, used))) // checked by the line above
                }
                node = isRight ? Hashes.efficientKeccak256(sibling, node) : Hashes.efficientKeccak256(node, sibling);
                unchecked {
                    ++used;
                }
            }
            index >>= 1;
        }
        if (used != siblings.length) revert Merkle_WrongProofLength(used, siblings.length);
        return node;
    }
}
