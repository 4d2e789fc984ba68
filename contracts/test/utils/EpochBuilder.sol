// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {CapProof, LeafProof} from "src/libraries/Types.sol";

/// @notice An epoch as a settler has it in hand, and what it makes of it: packed bytes, root, proofs.
library EpochBuilder {
    struct Row {
        uint16 opIndex;
        uint48 amountUnits;
        bytes32 digest;
        bool isVoid;
    }

    struct Group {
        address requester;
        address signer;
        CapProof capProof;
        Row[] rows;
    }

    struct Draft {
        uint32[] operatorIds;
        Group[] groups;
    }

    struct Writer {
        bytes data;
        uint256 offset;
    }

    function count(Draft memory draft) internal pure returns (uint16 rows) {
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            rows += uint16(draft.groups[g].rows.length);
        }
    }

    function sumUnits(Group memory group) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < group.rows.length; ++i) {
            if (!group.rows[i].isVoid) sum += group.rows[i].amountUnits;
        }
    }

    function pack(Draft memory draft) internal pure returns (bytes memory) {
        uint256 size = 2 + 4 * draft.operatorIds.length + (uint256(count(draft)) + 7) / 8;
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            size += 50 + (draft.groups[g].capProof.cap > 0 ? 96 : 0) + 40 * draft.groups[g].rows.length;
        }
        Writer memory writer = Writer(new bytes(size), 0);
        put(writer, draft.operatorIds.length, 2);
        for (uint256 i = 0; i < draft.operatorIds.length; ++i) {
            put(writer, draft.operatorIds[i], 4);
        }
        bytes memory bits = voidBits(draft);
        for (uint256 i = 0; i < bits.length; ++i) {
            put(writer, uint8(bits[i]), 1);
        }
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            putGroup(writer, draft.groups[g]);
        }
        return writer.data;
    }

    function voidBits(Draft memory draft) internal pure returns (bytes memory bits) {
        bits = new bytes((uint256(count(draft)) + 7) / 8);
        uint256 row = 0;
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            for (uint256 i = 0; i < draft.groups[g].rows.length; ++i) {
                if (draft.groups[g].rows[i].isVoid) setBit(bits, row);
                ++row;
            }
        }
    }

    /// @notice Bits of all rows of one group.
    function groupBits(Draft memory draft, uint256 group) internal pure returns (bytes memory bits) {
        bits = new bytes((uint256(count(draft)) + 7) / 8);
        uint256 first = firstRow(draft, group);
        for (uint256 i = 0; i < draft.groups[group].rows.length; ++i) {
            setBit(bits, first + i);
        }
    }

    function setBit(bytes memory bits, uint256 row) internal pure {
        bits[row / 8] |= bytes1(uint8(1 << (row % 8)));
    }

    function firstRow(Draft memory draft, uint256 group) internal pure returns (uint256 row) {
        for (uint256 g = 0; g < group; ++g) {
            row += draft.groups[g].rows.length;
        }
    }

    function leaves(Draft memory draft) internal pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](count(draft));
        uint256 row = 0;
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            Group memory group = draft.groups[g];
            bytes32 laneKey = Merkle.laneKey(group.requester, group.signer);
            for (uint256 i = 0; i < group.rows.length; ++i) {
                Row memory r = group.rows[i];
                nodes[row++] = Merkle.leaf(laneKey, draft.operatorIds[r.opIndex], r.amountUnits, r.digest);
            }
        }
    }

    function root(Draft memory draft) internal pure returns (bytes32) {
        return Merkle.root(leaves(draft));
    }

    function proofOf(Draft memory draft, uint64 epochId, uint256 group, uint256 row)
        internal
        pure
        returns (LeafProof memory)
    {
        Group memory g = draft.groups[group];
        uint256 index = firstRow(draft, group) + row;
        return LeafProof({
            epochId: epochId,
            index: uint32(index),
            requester: g.requester,
            signer: g.signer,
            operatorId: draft.operatorIds[g.rows[row].opIndex],
            amountUnits: g.rows[row].amountUnits,
            digest: g.rows[row].digest,
            siblings: siblings(leaves(draft), index)
        });
    }

    /// @notice Siblings on the way from a leaf to the root, level by level.
    function siblings(bytes32[] memory level, uint256 index) internal pure returns (bytes32[] memory path) {
        bytes32[] memory found = new bytes32[](32);
        uint256 size = 0;
        while (level.length > 1) {
            uint256 sibling = index ^ 1;
            if (sibling < level.length) found[size++] = level[sibling];
            bytes32[] memory parents = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < parents.length; ++i) {
                bool paired = 2 * i + 1 < level.length;
                parents[i] = paired ? keccak256(abi.encode(level[2 * i], level[2 * i + 1])) : level[2 * i];
            }
            level = parents;
            index /= 2;
        }
        path = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            path[i] = found[i];
        }
    }

    function putGroup(Writer memory writer, Group memory group) private pure {
        put(writer, uint160(group.requester), 20);
        put(writer, uint160(group.signer), 20);
        put(writer, group.capProof.cap, 8);
        if (group.capProof.cap > 0) {
            put(writer, uint256(group.capProof.termsHash), 32);
            put(writer, uint256(group.capProof.r), 32);
            put(writer, uint256(group.capProof.vs), 32);
        }
        put(writer, group.rows.length, 2);
        for (uint256 i = 0; i < group.rows.length; ++i) {
            put(writer, group.rows[i].opIndex, 2);
            put(writer, group.rows[i].amountUnits, 6);
            put(writer, uint256(group.rows[i].digest), 32);
        }
    }

    function put(Writer memory writer, uint256 value, uint256 size) private pure {
        for (uint256 i = 0; i < size; ++i) {
            writer.data[writer.offset++] = bytes1(uint8(value >> 8 * (size - 1 - i)));
        }
    }
}
