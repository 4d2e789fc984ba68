// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";

/// @notice The epoch's tree: what a proof shows is what was posted at its place. Covers: A24.
/// Bounds: trees of 1 to 6 leaves, proofs of up to 3 siblings; any hashes. Assumes that keccak256 does not collide.
contract MerkleProof {
    uint256 private constant MOST_LEAVES = 6;

    function rootFromProof(bytes32 node, uint256 index, uint256 count, bytes32[] calldata siblings)
        external
        pure
        returns (bytes32)
    {
        return Merkle.rootFromProof(node, index, count, siblings);
    }

    /// @notice No other node at any place, with any siblings, leads to the root.
    function check_proof_isOfTheLeafAtItsPlace(
        bytes32[6] memory hashes,
        bytes32 node,
        uint256 index,
        bytes32[3] memory siblings
    ) public view {
        for (uint256 count = 1; count <= MOST_LEAVES; ++count) {
            bytes32 root = Merkle.root(firstOf(hashes, count));
            for (uint256 length = 0; length <= 3; ++length) {
                try this.rootFromProof(node, index, count, firstOf(siblings, length)) returns (bytes32 shown) {
                    if (shown == root) assert(isAt(hashes, count, index, node));
                } catch {}
            }
        }
    }

    /// @notice Every leaf has a proof: the siblings on its way.
    function check_everyLeaf_hasItsProof(bytes32[6] memory hashes) public view {
        for (uint256 count = 1; count <= MOST_LEAVES; ++count) {
            bytes32 root = Merkle.root(firstOf(hashes, count));
            for (uint256 index = 0; index < count; ++index) {
                bytes32[] memory siblings = EpochBuilder.siblings(firstOf(hashes, count), index);
                try this.rootFromProof(hashes[index], index, count, siblings) returns (bytes32 shown) {
                    assert(shown == root);
                } catch {
                    assert(false);
                }
            }
        }
    }

    /// @notice The root in assembly is the root in words: neighbours paired from the left, an odd last one promoted.
    function check_root_isThePlainOne(bytes32[6] memory h) public pure {
        assert(Merkle.root(firstOf(h, 0)) == 0);
        assert(Merkle.root(firstOf(h, 1)) == h[0]);
        assert(Merkle.root(firstOf(h, 2)) == pair(h[0], h[1]));
        assert(Merkle.root(firstOf(h, 3)) == pair(pair(h[0], h[1]), h[2]));
        assert(Merkle.root(firstOf(h, 4)) == pair(pair(h[0], h[1]), pair(h[2], h[3])));
        assert(Merkle.root(firstOf(h, 5)) == pair(pair(pair(h[0], h[1]), pair(h[2], h[3])), h[4]));
        bytes32 left = pair(pair(h[0], h[1]), pair(h[2], h[3]));
        assert(Merkle.root(firstOf(h, 6)) == pair(left, pair(h[4], h[5])));
    }

    /// @notice A leaf is no other lane's, operator's, amount's or digest's: its packing loses nothing.
    function check_leaf_isOfOneRowOnly(
        bytes32[2] memory lane,
        uint32[2] memory operator,
        uint64[2] memory amount,
        bytes32[2] memory digest
    ) public pure {
        bytes32 first = Merkle.leaf(lane[0], operator[0], amount[0], digest[0]);
        if (first != Merkle.leaf(lane[1], operator[1], amount[1], digest[1])) return;
        assert(lane[0] == lane[1] && operator[0] == operator[1]);
        assert(amount[0] == amount[1] && digest[0] == digest[1]);
    }

    function check_laneKey_isOfOneLaneOnly(address[2] memory requester, address[2] memory signer) public pure {
        if (Merkle.laneKey(requester[0], signer[0]) != Merkle.laneKey(requester[1], signer[1])) return;
        assert(requester[0] == requester[1] && signer[0] == signer[1]);
    }

    function pair(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encode(left, right));
    }

    /// @dev By comparison: a symbolic index finds no place in memory.
    function isAt(bytes32[6] memory hashes, uint256 count, uint256 index, bytes32 node) private pure returns (bool) {
        for (uint256 i = 0; i < count; ++i) {
            if (i == index) return hashes[i] == node;
        }
        return false;
    }

    function firstOf(bytes32[6] memory all, uint256 count) private pure returns (bytes32[] memory some) {
        some = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            some[i] = all[i];
        }
    }

    function firstOf(bytes32[3] memory all, uint256 count) private pure returns (bytes32[] memory some) {
        some = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            some[i] = all[i];
        }
    }
}
