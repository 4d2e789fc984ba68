// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CourtSteps} from "./CourtSteps.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What the pieces of a step cost (snapshots/court.json, which contracts/tools/court_sizes.py puts together), and
/// that each computes what a plain reading of COURT.md does.
contract StepsTest {
    CourtSteps private steps;
    uint256 private seed = 1;

    function setUp() public {
        steps = new CourtSteps();
    }

    function test_products() public {
        (bytes memory weights, bytes memory short) = (random(64), random(128));
        (int256 sum, uint256 gas) = steps.dot64(weights, short);
        vm.assertEq(bytes32(uint256(sum)), bytes32(uint256(products(weights, 1, short, 2, 64))));
        keep("dot64", gas);
        (bytes memory query, bytes memory key) = (random(512), random(512));
        (sum, gas) = steps.score256(query, key);
        vm.assertEq(bytes32(uint256(sum)), bytes32(uint256(products(query, 2, key, 2, 256))));
        keep("score256", gas);
        (bytes memory shares, bytes memory values) = (random(192), random(128));
        for (uint256 i; i < 192; i += 3) {
            shares[i] = 0; // shares are not negative
        }
        (sum, gas) = steps.mix64(shares, values);
        vm.assertEq(bytes32(uint256(sum)), bytes32(uint256(products(shares, 3, values, 2, 64))));
        keep("mix64", gas);
    }

    function test_sums() public {
        bytes memory block_ = random(320);
        (int256 sum, uint256 gas) = steps.squares64(block_, 17);
        int256 expected;
        for (uint256 i; i < 64; ++i) {
            int256 short = (read(block_, i, 5) + 2 ** 16) >> 17;
            expected += short * short;
        }
        vm.assertEq(bytes32(uint256(sum)), bytes32(uint256(expected)));
        keep("squares64", gas);

        block_ = random(512);
        (sum, gas) = steps.sum64(block_);
        expected = 0;
        for (uint256 i; i < 64; ++i) {
            expected += read(block_, i, 8);
        }
        vm.assertEq(bytes32(uint256(sum)), bytes32(uint256(expected)));
        keep("sum64", gas);
    }

    function test_weights() public {
        (bytes memory powers, bytes memory exponents) = (random(256), random(64));
        for (uint256 i; i < 64; ++i) {
            powers[4 * i] = 0;
            exponents[i] &= 0x0f;
        }
        (uint256 sum, uint256 gas) = steps.weigh64(powers, exponents);
        uint256 expected;
        for (uint256 i; i < 64; ++i) {
            expected += uint256(read(powers, i, 4)) << uint256(read(exponents, i, 1));
        }
        vm.assertEq(sum, expected);
        keep("weigh64", gas);

        uint256 bar = uint256(read(powers, 40, 4));
        for (uint256 i; i < 4; ++i) {
            powers[4 * 7 + i] = powers[4 * 40 + i]; // a tie before the token, and one behind it
            powers[4 * 50 + i] = powers[4 * 40 + i];
        }
        (sum, gas) = steps.before64(powers, 128, bar, 168);
        expected = bar;
        for (uint256 i; i < 64; ++i) {
            if (uint256(read(powers, i, 4)) > bar) expected += uint256(read(powers, i, 4));
        }
        vm.assertEq(sum, expected);
        keep("before64", gas);
    }

    function test_elements() public {
        (int256 value, uint256 gas) = steps.scalar(2 ** 40 + 12_345, 2 ** 26 + 77, 65_521, -9_876_543);
        uint256 short = (2 ** 40 + 12_345) >> 10;
        uint256 scale = ((short * (uint256(2 ** 54) / (2 ** 26 + 77))) >> 8) / 65_521;
        vm.assertEq(bytes32(uint256(value)), bytes32(uint256((-9_876_543 * int256(scale) + 2 ** 31) >> 32)));
        keep("scalar", gas);
        keep("none", steps.none());
    }

    function test_leaves() public {
        bytes memory data = random(64);
        (bytes32 digest, uint256 small) = steps.leaf(data);
        vm.assertEq(digest, keccak256(abi.encodePacked(bytes1(0), data)));
        (, uint256 large) = steps.leaf(random(64 + 32 * 14));
        keep("leaf_word", (large - small + 13) / 14);
        keep("leaf", small - 2 * ((large - small) / 14));
        data = random(1024);
        (digest, large) = steps.shaLeaf(data);
        vm.assertEq(digest, sha256(abi.encodePacked(bytes1(0), data)));
        keep("sha_block", large);
    }

    function test_paths() public {
        bytes memory path = random(32 * 30);
        (bytes32 root, uint256 gas) = steps.climb(bytes32(uint256(7)), 0x2aaaaaaa, path);
        vm.assertEq(root, climbed(bytes32(uint256(7)), 0x2aaaaaaa, path));
        keep("pair", (gas + 29) / 30);
        (, gas) = steps.shaClimb(bytes32(uint256(7)), 0x2aaaaaaa, path);
        keep("sha_pair", (gas + 29) / 30);
    }

    /// @notice 64-ary by pairs or flat: showing 64 digests costs more by pairs, proving one costs a tenth of the bytes.
    function test_shownByPairs() public {
        bytes memory digests = random(2048);
        bytes32[] memory level = new bytes32[](64);
        bytes memory path;
        for (uint256 i; i < 64; ++i) {
            level[i] = word(digests, i);
        }
        (bytes32 root, uint256 byPairs) = steps.show64(level);
        path = abi.encodePacked(level[1], above(level, 2, 2), above(level, 4, 4), above(level, 8, 8));
        path = abi.encodePacked(path, above(level, 16, 16), above(level, 32, 32));
        vm.assertEq(climbed(level[0], 0, path), root);
        (, uint256 flat) = steps.flat64(digests);
        keep("show64", byPairs);
        keep("flat64", flat);
    }

    /// @notice A call of one step with no openings: dispatch, and decoding of its arguments.
    function test_empty() public {
        uint256 gas = gasleft();
        steps.none();
        keep("empty", gas - gasleft());
    }

    function keep(string memory name, uint256 gas) private {
        vm.snapshotValue("court", name, gas);
    }

    function random(uint256 size) private returns (bytes memory data) {
        while (data.length < size) {
            data = abi.encodePacked(data, keccak256(abi.encode(++seed)));
        }
        assembly ("memory-safe") {
            mstore(data, size)
        }
    }

    function products(bytes memory left, uint256 wide, bytes memory right, uint256 width, uint256 count)
        private
        pure
        returns (int256 sum)
    {
        for (uint256 i; i < count; ++i) {
            sum += read(left, i, wide) * read(right, i, width);
        }
    }

    /// @notice Byte by byte, as a reader would.
    function read(bytes memory data, uint256 index, uint256 width) private pure returns (int256 value) {
        for (uint256 i; i < width; ++i) {
            value = value * 256 + int256(uint256(uint8(data[index * width + i])));
        }
        if (value >= int256(1 << (8 * width - 1))) value -= int256(1 << (8 * width));
    }

    function word(bytes memory data, uint256 index) private pure returns (bytes32 value) {
        for (uint256 i; i < 32; ++i) {
            value |= bytes32(data[32 * index + i]) >> (8 * i);
        }
    }

    function above(bytes32[] memory level, uint256 first, uint256 count) private pure returns (bytes32) {
        if (count == 1) return level[first];
        return keccak256(
            abi.encodePacked(bytes1(0x01), above(level, first, count / 2), above(level, first + count / 2, count / 2))
        );
    }

    function climbed(bytes32 node, uint256 index, bytes memory path) private pure returns (bytes32) {
        for (uint256 i; i < path.length / 32; ++i) {
            bytes32 sibling = word(path, i);
            bool right = (index >> i) & 1 == 1;
            node = keccak256(abi.encodePacked(bytes1(0x01), right ? sibling : node, right ? node : sibling));
        }
        return node;
    }
}
