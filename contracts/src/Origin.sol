// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Create3} from "@openzeppelin/contracts/utils/Create3.sol";

/// @notice Creates contracts that name each other immutably. Where a part will be follows from this contract's address and
/// the part's number alone (CREATE3), so each can be told the others' addresses before they exist; this contract's own
/// address follows from `PLAN` (CREATE2), which binds every byte of every part. So anybody may send any step, and nobody
/// can put anything else there. It holds nothing and may do nothing with what it created.
contract Origin {
    /// @dev A contract to be: its creation code, then its constructor's arguments as words. Word `i` is `words[i]`, or the
    /// address of part `siblings[i]` where that is not zero. Parts are numbered from one.
    struct Part {
        bytes code;
        bytes32[] words;
        uint8[] siblings;
    }

    /// @notice keccak256(abi.encode(hashes of the parts)); a part's hash is keccak256(abi.encode(part)).
    bytes32 public immutable PLAN;

    /// @notice Thrown when the hashes given are not those that the plan binds.
    error Origin_OtherPlan(bytes32 expected, bytes32 found);

    /// @notice Thrown when a part is not the one that the plan has under this number.
    error Origin_OtherPart(uint256 number, bytes32 expected, bytes32 found);

    /// @notice Thrown when a part is created that is there.
    error Origin_AlreadyCreated(uint256 number, address part);

    constructor(bytes32 plan) {
        PLAN = plan;
    }

    /// @notice Creates part `number`, once. Fails with the part's own error where its constructor refuses.
    function create(bytes32[] calldata hashes, uint256 number, Part calldata part) external returns (address) {
        bytes32 plan = keccak256(abi.encode(hashes));
        if (plan != PLAN) revert Origin_OtherPlan(PLAN, plan);
        bytes32 hash = keccak256(abi.encode(part));
        if (hash != hashes[number - 1]) revert Origin_OtherPart(number, hashes[number - 1], hash);

        address made = addressOf(number);
        if (made.code.length != 0) revert Origin_AlreadyCreated(number, made);

        bytes32[] memory words = part.words;
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 sibling = part.siblings[i];
            if (sibling != 0) words[i] = bytes32(uint256(uint160(addressOf(sibling))));
        }
        return Create3.deploy(0, bytes32(number), bytes.concat(part.code, abi.encodePacked(words)));
    }

    /// @notice Where part `number` is, or will be.
    function addressOf(uint256 number) public view returns (address) {
        return Create3.computeAddress(bytes32(number));
    }
}
