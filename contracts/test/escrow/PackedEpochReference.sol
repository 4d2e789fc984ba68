// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {CapProof} from "src/libraries/Types.sol";

/// @notice The packed epoch (SPEC section 5) read the slow and obvious way. It defines what `PackedEpoch` computes.
library PackedEpochReference {
    struct Row {
        uint32 operatorId;
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

    struct Cursor {
        bytes data;
        uint256 offset;
    }

    error PackedEpochReference_Malformed(string what);

    /// @notice All groups in order; at most `count` of them.
    function read(bytes memory packed, uint256 count)
        internal
        pure
        returns (Group[] memory groups, uint256 groupCount)
    {
        Cursor memory cursor = Cursor(packed, 0);
        uint32[] memory operatorIds = new uint32[](take(cursor, 2));
        for (uint256 i = 0; i < operatorIds.length; ++i) {
            operatorIds[i] = uint32(take(cursor, 4));
        }
        bool[] memory isVoid = readBits(cursor, count);

        groups = new Group[](count);
        uint256 row = 0;
        while (row < count) {
            Group memory group = groups[groupCount++];
            group.requester = address(uint160(take(cursor, 20)));
            group.signer = address(uint160(take(cursor, 20)));
            group.capProof.cap = uint64(take(cursor, 8));
            if (group.capProof.cap > 0) {
                group.capProof.termsHash = bytes32(take(cursor, 32));
                group.capProof.r = bytes32(take(cursor, 32));
                group.capProof.vs = bytes32(take(cursor, 32));
            }
            uint256 rows = take(cursor, 2);
            if (rows == 0 || rows > count - row) revert PackedEpochReference_Malformed("group size");
            group.rows = new Row[](rows);
            for (uint256 i = 0; i < rows; ++i) {
                group.rows[i] = readRow(cursor, operatorIds, isVoid[row++]);
            }
        }
        if (cursor.offset != packed.length) revert PackedEpochReference_Malformed("trailing bytes");
    }

    /// @notice The epoch's root, level by level into new arrays.
    function root(Group[] memory groups, uint256 groupCount, uint256 count) internal pure returns (bytes32) {
        bytes32[] memory level = new bytes32[](count);
        uint256 row = 0;
        for (uint256 g = 0; g < groupCount; ++g) {
            bytes32 laneKey = Merkle.laneKey(groups[g].requester, groups[g].signer);
            for (uint256 i = 0; i < groups[g].rows.length; ++i) {
                Row memory r = groups[g].rows[i];
                level[row++] = Merkle.leaf(laneKey, r.operatorId, r.amountUnits, r.digest);
            }
        }
        if (count == 0) return bytes32(0);
        while (level.length > 1) {
            bytes32[] memory parents = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < parents.length; ++i) {
                bool paired = 2 * i + 1 < level.length;
                parents[i] = paired ? keccak256(abi.encode(level[2 * i], level[2 * i + 1])) : level[2 * i];
            }
            level = parents;
        }
        return level[0];
    }

    function readRow(Cursor memory cursor, uint32[] memory operatorIds, bool isVoid)
        private
        pure
        returns (Row memory row)
    {
        uint256 opIndex = take(cursor, 2);
        if (opIndex >= operatorIds.length) revert PackedEpochReference_Malformed("operator index");
        row.operatorId = operatorIds[opIndex];
        row.amountUnits = uint48(take(cursor, 6));
        row.digest = bytes32(take(cursor, 32));
        row.isVoid = isVoid;
    }

    function readBits(Cursor memory cursor, uint256 count) private pure returns (bool[] memory bits) {
        bits = new bool[](count);
        uint256 bitmapBytes = (count + 7) / 8;
        for (uint256 i = 0; i < bitmapBytes; ++i) {
            uint256 octet = take(cursor, 1);
            for (uint256 b = 0; b < 8; ++b) {
                bool bit = octet & (1 << b) != 0;
                if (8 * i + b < count) bits[8 * i + b] = bit;
                else if (bit) revert PackedEpochReference_Malformed("spare bits");
            }
        }
    }

    /// @dev The next `size` bytes as a big-endian number.
    function take(Cursor memory cursor, uint256 size) private pure returns (uint256 value) {
        if (cursor.offset + size > cursor.data.length) revert PackedEpochReference_Malformed("truncated");
        for (uint256 i = 0; i < size; ++i) {
            value = value << 8 | uint8(cursor.data[cursor.offset++]);
        }
    }
}
