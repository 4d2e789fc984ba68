// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "./Merkle.sol";
import {CapProof} from "./Types.sol";

/// @notice Reads a packed epoch (SPEC section 5) from calldata, one lane group at a time.
/// The tests compare it with `PackedEpochReference`, which does the same in plain Solidity.
/// Usage: `open`, then `next` while `row < count` (and `skip` for a group whose lane fails), then `close`.
library PackedEpoch {
    uint256 internal constant ROW_BYTES = 40;
    uint256 internal constant GROUP_HEAD_BYTES = 48;
    uint256 internal constant CAP_PROOF_BYTES = 96;

    /// @notice Thrown when the bytes end before the rows reach the epoch's count.
    error PackedEpoch_Truncated(uint256 needed, uint256 length);
    /// @notice Thrown when bytes are left after the last row.
    error PackedEpoch_TrailingBytes(uint256 read, uint256 length);
    /// @notice Thrown when a void bit beyond the last row is set.
    error PackedEpoch_SpareBitsSet(uint8 lastByte, uint256 count);
    /// @notice Thrown when a group has no rows or more than the epoch has left.
    error PackedEpoch_WrongGroupSize(uint256 rows, uint256 left);
    /// @notice Thrown when a row names an operator beyond the list.
    error PackedEpoch_OperatorIndexOutOfRange(uint256 opIndex, uint256 nOps);

    struct Reader {
        uint256 count;
        uint256 nOps;
        uint256 voidAt; // position of the void bits
        uint256 offset; // position of the next byte to read
        uint256 row; // rows read so far
        bool hasVoids;
        bytes32[] leaves;
        uint256[] tallies; // per listed operator: its id << 64 | the units of its rows that are paid
        bytes skippedBits;
    }

    struct Group {
        address requester;
        address signer;
        bytes32 laneKey;
        CapProof capProof;
        uint256 rowsAt; // position of the first row
        uint256 firstRow;
        uint256 rows;
        uint256 sumUnits; // of the rows that are not VOID
    }

    function open(bytes calldata packed, uint256 count) internal pure returns (Reader memory reader) {
        uint256 bitmapBytes = (count + 7) / 8;
        requireBytes(packed, 2);
        reader.count = count;
        reader.nOps = uint16(bytes2(word(packed, 0)));
        reader.voidAt = 2 + 4 * reader.nOps;
        reader.offset = reader.voidAt + bitmapBytes;
        requireBytes(packed, reader.offset);
        if (count % 8 != 0) {
            uint8 lastByte = uint8(packed[reader.offset - 1]);
            if (lastByte >> (count % 8) != 0) revert PackedEpoch_SpareBitsSet(lastByte, count);
        }
        reader.hasVoids = hasSetBit(packed, reader.voidAt, reader.offset);
        reader.leaves = new bytes32[](count);
        reader.skippedBits = new bytes(bitmapBytes);
        reader.tallies = new uint256[](reader.nOps);
        for (uint256 i = 0; i < reader.nOps; ++i) {
            reader.tallies[i] = uint256(uint32(bytes4(word(packed, 2 + 4 * i)))) << 64;
        }
    }

    /// @notice Reads the next group into `group`: its head, its leaves and the sums of its rows.
    function next(bytes calldata packed, Reader memory reader, Group memory group) internal pure {
        uint256 offset = reader.offset;
        requireBytes(packed, offset + GROUP_HEAD_BYTES + 2);
        group.requester = address(bytes20(word(packed, offset)));
        group.signer = address(bytes20(word(packed, offset + 20)));
        group.laneKey = Merkle.laneKey(group.requester, group.signer);
        group.capProof.cap = uint64(bytes8(word(packed, offset + 40)));
        offset += GROUP_HEAD_BYTES;
        if (group.capProof.cap > 0) {
            requireBytes(packed, offset + CAP_PROOF_BYTES + 2);
            group.capProof.termsHash = word(packed, offset);
            group.capProof.r = word(packed, offset + 32);
            group.capProof.vs = word(packed, offset + 64);
            offset += CAP_PROOF_BYTES;
        }
        group.firstRow = reader.row;
        group.rows = uint16(bytes2(word(packed, offset)));
        group.rowsAt = offset + 2;
        uint256 left = reader.count - reader.row;
        if (group.rows == 0 || group.rows > left) revert PackedEpoch_WrongGroupSize(group.rows, left);
        reader.offset = group.rowsAt + ROW_BYTES * group.rows;
        requireBytes(packed, reader.offset);
        readRows(packed, reader, group);
        if (reader.hasVoids) dropVoids(packed, reader, group);
        reader.row += group.rows;
    }

    /// @notice Takes the group's rows out of the operators' tallies and marks them as skipped.
    function skip(bytes calldata packed, Reader memory reader, Group memory group) internal pure {
        for (uint256 i = 0; i < group.rows; ++i) {
            uint256 row = group.firstRow + i;
            reader.skippedBits[row >> 3] |= bytes1(uint8(1 << (row & 7)));
            uint256 offset = group.rowsAt + ROW_BYTES * i;
            if (!isSet(voidBits(packed, reader), row)) {
                uint256 opIndex = uint16(bytes2(word(packed, offset)));
                reader.tallies[opIndex] -= uint48(bytes6(word(packed, offset + 2)));
            }
        }
    }

    /// @notice Root of all rows, after the last group. Overwrites the leaves.
    function close(bytes calldata packed, Reader memory reader) internal pure returns (bytes32 root) {
        if (reader.offset != packed.length) revert PackedEpoch_TrailingBytes(reader.offset, packed.length);
        return Merkle.root(reader.leaves);
    }

    /// @notice A listed operator and the sum of its paid rows, which 64 bits hold: 2^16 rows of 2^48 units.
    function tallyOf(Reader memory reader, uint256 i) internal pure returns (uint32 operatorId, uint256 grossUnits) {
        uint256 tally = reader.tallies[i];
        return (uint32(tally >> 64), uint64(tally));
    }

    function voidBits(bytes calldata packed, Reader memory reader) internal pure returns (bytes calldata) {
        return packed[reader.voidAt:reader.voidAt + reader.skippedBits.length];
    }

    /// @notice Bit `row` of a bitmap: byte row >> 3, mask 1 << (row & 7).
    function isSet(bytes calldata bits, uint256 row) internal pure returns (bool) {
        return uint8(bits[row >> 3]) & (1 << (row & 7)) != 0;
    }

    /// @dev The one loop whose cost matters: per row a leaf, the group's sum and the operator's tally, as if none were
    /// VOID. `next` has checked the positions; each operator index is checked before it is used.
    function readRows(bytes calldata packed, Reader memory reader, Group memory group) private pure {
        uint256 nOps = reader.nOps;
        uint256 offset = group.rowsAt;
        uint256 leafAt = reader.row;
        uint256 leavesEnd = leafAt + group.rows;
        bytes32 laneKey = group.laneKey;
        bytes32[] memory leaves = reader.leaves;
        uint256[] memory tallies = reader.tallies;
        uint256 sumUnits;
        uint256 opIndex;
        assembly ("memory-safe") {
            // A leaf's 96 bytes, laneKey | operatorId << 64 | amountUnits | digest, lie in scratch space from 0. The
            // last word overwrites the free memory pointer, which is restored below.
            let free := mload(0x40)
            mstore(0, laneKey)
            offset := add(packed.offset, offset)
            leaves := add(leaves, 0x20)
            leafAt := add(leaves, shl(5, leafAt))
            leavesEnd := add(leaves, shl(5, leavesEnd))
            tallies := add(tallies, 0x20)
            for {} 1 {} {
                opIndex := shr(240, calldataload(offset))
                if iszero(lt(opIndex, nOps)) { break }
                let units := shr(208, calldataload(add(offset, 2)))
                sumUnits := add(sumUnits, units)
                {
                    let tallyAt := add(tallies, shl(5, opIndex))
                    let tally := mload(tallyAt)
                    mstore(0x20, or(shl(64, shr(64, tally)), units))
                    mstore(tallyAt, add(tally, units))
                }
                mstore(0x40, calldataload(add(offset, 8)))
                mstore(leafAt, keccak256(0, 0x60))
                offset := add(offset, ROW_BYTES)
                leafAt := add(leafAt, 0x20)
                if eq(leafAt, leavesEnd) { break }
            }
            mstore(0x40, free)
        }
        if (opIndex >= nOps) revert PackedEpoch_OperatorIndexOutOfRange(opIndex, nOps);
        group.sumUnits = sumUnits;
    }

    /// @dev Takes the group's VOID rows out of its sum and its operators' tallies. Skips bytes without one.
    function dropVoids(bytes calldata packed, Reader memory reader, Group memory group) private pure {
        bytes calldata bits = voidBits(packed, reader);
        uint256 end = group.firstRow + group.rows;
        for (uint256 row = group.firstRow; row < end; ++row) {
            if (bits[row >> 3] == 0) {
                row |= 7;
            } else if (isSet(bits, row)) {
                uint256 offset = group.rowsAt + ROW_BYTES * (row - group.firstRow);
                uint256 units = uint48(bytes6(word(packed, offset + 2)));
                group.sumUnits -= units;
                reader.tallies[uint16(bytes2(word(packed, offset)))] -= units;
            }
        }
    }

    function hasSetBit(bytes calldata packed, uint256 offset, uint256 end) private pure returns (bool) {
        for (; offset + 32 <= end; offset += 32) {
            if (word(packed, offset) != 0) return true;
        }
        return offset < end && uint256(word(packed, offset)) >> 8 * (32 + offset - end) != 0;
    }

    /// @dev 32 bytes from a checked position; the caller cuts off what lies beyond the end.
    function word(bytes calldata packed, uint256 offset) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(add(packed.offset, offset))
        }
    }

    function requireBytes(bytes calldata packed, uint256 needed) private pure {
        if (packed.length < needed) revert PackedEpoch_Truncated(needed, packed.length);
    }
}
