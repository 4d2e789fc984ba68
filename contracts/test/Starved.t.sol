// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LeafProof, LeafStatus, Outcomes} from "src/libraries/Types.sol";
import {Job} from "./utils/Job.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The two calls that go on when a call of theirs fails, with every amount of gas that a relayer may
/// leave them: the inner call cannot be starved and the outer one kept.
contract StarvedTest is Job {
    uint256 private constant STEP = 2000;
    uint256 private constant MOST = 300_000;

    /// @notice Covers: A38. The contester is paid and the lane refunded, or neither.
    function test_resolve_starvedDoesNothing() public {
        (LeafProof memory leaf, Outcomes memory outcomes) = charge(jobDraft(commitment, AMOUNT));
        address contester = addressOf("contester");
        pay(contester, CONTEST_BOND);
        vm.prank(contester);
        contests.contest(leaf, outcomes);
        pass(ANSWER_WINDOW);
        bytes memory data = abi.encodeCall(contests.resolve, (leaf, outcomes));
        uint256 done = 0;
        for (uint256 left = STEP; left <= MOST; left += STEP) {
            uint256 state = vm.snapshotState();
            (bool success,) = address(contests).call{gas: left}(data);
            (LeafStatus status,) = escrow.leafStatus(leaf, outcomes);
            vm.assertEq(token.balanceOf(contester), success ? CONTEST_BOND * UNIT : 0);
            vm.assertTrue(status == (success ? LeafStatus.REFUNDED : LeafStatus.PAID));
            if (success) ++done;
            vm.revertToState(state);
        }
        vm.assertTrue(done > 10 && done < MOST / STEP - 10);
    }

    /// @notice Covers: A38. A deposit whose permit ran out of gas is none: without allowance nothing is booked.
    function test_depositWithPermit_starvedDoesNothing() public {
        (address payer, uint256 deadline) = (addressOf("payer"), time() + 60);
        token.mint(payer, 5 * UNIT);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("payer"), permitDigest(payer, 5 * UNIT, deadline));
        bytes memory data = abi.encodeCall(escrow.depositWithPermit, (payer, payer, 5, deadline, v, r, s));
        uint256 done = 0;
        for (uint256 left = STEP; left <= MOST; left += STEP) {
            uint256 state = vm.snapshotState();
            vm.prank(payer);
            (bool success,) = address(escrow).call{gas: left}(data);
            vm.assertEq(lane(payer, payer).balanceUnits, success ? 5 : 0);
            vm.assertEq(token.balanceOf(payer), success ? 0 : 5 * UNIT);
            if (success) ++done;
            vm.revertToState(state);
        }
        vm.assertTrue(done > 10 && done < MOST / STEP - 10);
    }

    function permitDigest(address payer, uint256 value, uint256 deadline) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, payer, address(escrow), value, 0, deadline));
        return keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
    }
}
