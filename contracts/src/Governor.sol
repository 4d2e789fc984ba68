// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

// The governor is OpenZeppelin's TimelockController as it is; this import has it built with the rest.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
