// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice Pieces of the steps of COURT.md, written as the court will run them, so that their gas can be measured: loops over
/// a block, leaves, paths. No court: nothing is stored and nobody convicted. Values are packed, big-endian, two's complement.
contract CourtSteps {
    /// @notice 64 products of int8 weights and int16 activations.
    function dot64(bytes calldata weights, bytes calldata short) external view returns (int256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                sum += signed(weights, i, 1) * signed(short, i, 2);
            }
        }
        gas -= gasleft();
    }

    /// @notice A head's query times a key: 256 products of int16.
    function score256(bytes calldata query, bytes calldata key) external view returns (int256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 256; ++i) {
            unchecked {
                sum += signed(query, i, 2) * signed(key, i, 2);
            }
        }
        gas -= gasleft();
    }

    /// @notice The squares of 64 residuals of 40 bits, each shifted by the norm's exponent, halves up.
    function squares64(bytes calldata block_, uint256 exponent) external view returns (int256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                int256 short = halved(signed(block_, i, 5), exponent);
                sum += short * short;
            }
        }
        gas -= gasleft();
    }

    /// @notice 64 partial sums of 64 bits.
    function sum64(bytes calldata block_) external view returns (int256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                sum += signed(block_, i, 8);
            }
        }
        gas -= gasleft();
    }

    /// @notice 64 powers of two of 32 bits, each lifted by its value's exponent.
    function weigh64(bytes calldata powers, bytes calldata exponents) external view returns (uint256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                sum += unsigned(powers, i, 4) << unsigned(exponents, i, 1);
            }
        }
        gas -= gasleft();
    }

    /// @notice 64 shares of 24 bits times values of 16.
    function mix64(bytes calldata shares, bytes calldata values) external view returns (int256 sum, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                sum += int256(unsigned(shares, i, 3)) * signed(values, i, 2);
            }
        }
        gas -= gasleft();
    }

    /// @notice Of 64 weights those that come before a token: larger ones, and equal ones with a lower id.
    function before64(bytes calldata weights, uint256 first, uint256 bar, uint256 token)
        external
        view
        returns (uint256 sum, uint256 gas)
    {
        gas = gasleft();
        for (uint256 i; i < 64; ++i) {
            unchecked {
                uint256 weight = unsigned(weights, i, 4);
                if (weight > bar || (weight == bar && first + i < token)) sum += weight;
            }
        }
        gas -= gasleft();
    }

    /// @notice A single element's arithmetic, the longest there is: a mixture's, with two divisions and a saturation.
    function scalar(uint256 weightSum, uint256 expSum, uint256 shareSum, int256 total)
        external
        view
        returns (int256 value, uint256 gas)
    {
        gas = gasleft();
        unchecked {
            uint256 drop;
            while (weightSum >> (31 + drop) != 0) ++drop;
            uint256 ratio = ((weightSum >> drop) * ((1 << 54) / expSum)) >> 8;
            value = halved(total * int256(ratio / (shareSum == 0 ? 1 : shareSum)), 42 - drop);
            if (value > 2 ** 35 - 1) value = 2 ** 35 - 1;
            if (value < 1 - 2 ** 35) value = 1 - 2 ** 35;
        }
        gas -= gasleft();
    }

    /// @notice Nothing but the measuring itself.
    function none() external view returns (uint256 gas) {
        gas = gasleft();
        gas -= gasleft();
    }

    /// @notice A leaf's digest: a zero byte and the block.
    function leaf(bytes calldata block_) external view returns (bytes32 digest, uint256 gas) {
        gas = gasleft();
        digest = keccak256(abi.encodePacked(bytes1(0), block_));
        gas -= gasleft();
    }

    /// @notice From an element to its list by pairs; `path` has the siblings from below.
    function climb(bytes32 node, uint256 index, bytes calldata path) external view returns (bytes32, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < path.length; i += 32) {
            bytes32 sibling = bytes32(path[i:i + 32]);
            node = index & 1 == 1 ? pair(sibling, node) : pair(node, sibling);
            index >>= 1;
        }
        gas -= gasleft();
        return (node, gas);
    }

    /// @notice The node over 64 digests by pairs, six levels: what a demand shows.
    function show64(bytes32[] memory level) external view returns (bytes32, uint256 gas) {
        gas = gasleft();
        for (uint256 width = level.length; width > 1; width >>= 1) {
            for (uint256 i; i < width; i += 2) {
                level[i >> 1] = pair(level[i], level[i + 1]);
            }
        }
        gas -= gasleft();
        return (level[0], gas);
    }

    /// @notice The node over 64 digests at once: the other form that a tree of 64 could have.
    function flat64(bytes calldata digests) external view returns (bytes32 digest, uint256 gas) {
        gas = gasleft();
        digest = keccak256(abi.encodePacked(bytes1(0x01), digests));
        gas -= gasleft();
    }

    /// @notice As `leaf`, by sha256: a block of the trace hash.
    function shaLeaf(bytes calldata block_) external view returns (bytes32 digest, uint256 gas) {
        gas = gasleft();
        digest = sha256(abi.encodePacked(bytes1(0), block_));
        gas -= gasleft();
    }

    /// @notice As `climb`, by sha256.
    function shaClimb(bytes32 node, uint256 index, bytes calldata path) external view returns (bytes32, uint256 gas) {
        gas = gasleft();
        for (uint256 i; i < path.length; i += 32) {
            bytes32 sibling = bytes32(path[i:i + 32]);
            node = index & 1 == 1
                ? sha256(abi.encodePacked(bytes1(0x01), sibling, node))
                : sha256(abi.encodePacked(bytes1(0x01), node, sibling));
            index >>= 1;
        }
        gas -= gasleft();
        return (node, gas);
    }

    function pair(bytes32 left, bytes32 right) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            mstore8(0, 1)
            mstore(1, left)
            let after_ := mload(0x40)
            mstore(0x21, right) // runs one byte into the free memory pointer, which is put back
            digest := keccak256(0, 0x41)
            mstore(0x40, after_)
        }
    }

    function unsigned(bytes calldata values, uint256 index, uint256 width) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, width)), calldataload(add(values.offset, mul(index, width))))
        }
    }

    function signed(bytes calldata values, uint256 index, uint256 width) private pure returns (int256 value) {
        assembly ("memory-safe") {
            value := sar(sub(256, shl(3, width)), calldataload(add(values.offset, mul(index, width))))
        }
    }

    function halved(int256 value, uint256 bits) private pure returns (int256) {
        unchecked {
            return (value + int256((uint256(1) << bits) >> 1)) >> bits;
        }
    }
}
