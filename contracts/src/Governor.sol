// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

// The governor is OpenZeppelin's TimelockController, unchanged. This import builds it with the rest.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
