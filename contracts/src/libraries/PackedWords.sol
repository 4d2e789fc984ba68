// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice Packed lists of 32-bit words and their root (SPEC section 3): the token ids, or vectors, of an answer.
/// The first byte of each hash's input says what is hashed, so that nothing passes for something else.
library PackedWords {
    uint256 internal constant WORD_BYTES = 4;
    uint256 internal constant FANOUT = 64;
    uint256 internal constant BLOCK_BYTES = WORD_BYTES * FANOUT;

    bytes1 private constant BLOCK = 0x00;
    bytes1 private constant NODE = 0x01;
    bytes1 private constant LIST = 0x02;
    bytes1 private constant ROOT = 0x03;

    /// @notice Thrown for bytes whose counts do not add up to their length.
    error PackedWords_NotPacked(uint256 length, uint256 needed);

    /// @return root under which the packed bytes are named
    function rootOf(bytes calldata packed) internal pure returns (bytes32 root) {
        _require(packed.length, WORD_BYTES);
        uint32 lists = _count(packed, 0);
        uint256 start = WORD_BYTES * (1 + uint256(lists));
        _require(packed.length, start);
        bytes32[] memory digests = new bytes32[](lists);
        for (uint256 i = 0; i < lists; ++i) {
            uint256 end = start + WORD_BYTES * _count(packed, WORD_BYTES * (1 + i));
            _require(packed.length, end);
            digests[i] = listRoot(packed[start:end]);
            start = end;
        }
        if (packed.length != start) revert PackedWords_NotPacked(packed.length, start);
        return keccak256(abi.encodePacked(ROOT, lists, _top(digests)));
    }

    /// @param words of one list; the caller has checked that they are whole
    function listRoot(bytes calldata words) internal pure returns (bytes32) {
        uint256 count = (words.length + BLOCK_BYTES - 1) / BLOCK_BYTES;
        bytes32[] memory blocks = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 end = i + 1 == count ? words.length : BLOCK_BYTES * (i + 1);
            blocks[i] = keccak256(abi.encodePacked(BLOCK, words[BLOCK_BYTES * i:end]));
        }
        return keccak256(abi.encodePacked(LIST, uint32(words.length / WORD_BYTES), _top(blocks)));
    }

    /// @dev The one digest above a level, zero above an empty one. Overwrites the level.
    function _top(bytes32[] memory level) private pure returns (bytes32) {
        if (level.length == 0) return bytes32(0);
        uint256 width = level.length;
        while (width > 1) {
            uint256 parents = (width + FANOUT - 1) / FANOUT;
            for (uint256 i = 0; i < parents; ++i) {
                uint256 first = FANOUT * i;
                uint256 children = width - first < FANOUT ? width - first : FANOUT;
                level[i] = _node(level, first, children);
            }
            width = parents;
        }
        return level[0];
    }

    function _node(bytes32[] memory level, uint256 first, uint256 children) private pure returns (bytes32 node) {
        bytes1 tag = NODE;
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, tag)
            mcopy(add(scratch, 1), add(add(level, 0x20), shl(5, first)), shl(5, children))
            node := keccak256(scratch, add(1, shl(5, children)))
        }
    }

    function _count(bytes calldata packed, uint256 place) private pure returns (uint32) {
        return uint32(bytes4(packed[place:place + WORD_BYTES]));
    }

    function _require(uint256 length, uint256 needed) private pure {
        if (length < needed) revert PackedWords_NotPacked(length, needed);
    }
}
