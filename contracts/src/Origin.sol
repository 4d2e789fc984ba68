// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Create3} from "@openzeppelin/contracts/utils/Create3.sol";

/// @notice Creates contracts that name each other in immutables. A part's address follows from this contract's address
/// and the part's number alone (CREATE3), so each part can name the others before they exist. This contract's own
/// address follows from `PLAN` (CREATE2), which binds every byte of every part: anybody may send any step, and nobody
/// can put anything else there. It holds nothing and has no rights over what it created.
contract Origin {
    /// @dev Creation code and constructor arguments of a contract. Argument word `i` is `words[i]`, or the address of
    /// part `siblings[i]` where that is not zero. Parts are numbered from one.
    struct Part {
        bytes code;
        bytes32[] words;
        uint8[] siblings;
    }

    /// @notice keccak256(abi.encode(hashes of the parts)); a part's hash is keccak256(abi.encode(part)).
    bytes32 public immutable PLAN;

    /// @notice Thrown when the plan does not bind these hashes.
    error Origin_OtherPlan(bytes32 expected, bytes32 found);
    /// @notice Thrown when the plan has another part under this number.
    error Origin_OtherPart(uint256 number, bytes32 expected, bytes32 found);
    /// @notice Thrown when the part exists.
    error Origin_AlreadyCreated(uint256 number, address part);

    constructor(bytes32 plan) {
        PLAN = plan;
    }

    /// @notice Creates part `number`, once. Reverts with the error of the part's constructor, if that reverts.
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

    /// @notice The address that part `number` has or will have.
    function addressOf(uint256 number) public view returns (address) {
        return Create3.computeAddress(bytes32(number));
    }
}
