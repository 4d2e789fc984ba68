// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {CapProof, LeafProof, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {Vm, vm} from "../utils/Vm.sol";

/// @notice What an account delegates to (EIP-7702) to make a call whose data no transaction shows.
contract Masking {
    function relay(address target, bytes calldata masked) external {
        (bool done, bytes memory why) = target.call(mask(masked));
        if (!done) {
            assembly ("memory-safe") {
                revert(add(why, 0x20), mload(why))
            }
        }
    }

    function mask(bytes memory data) public pure returns (bytes memory) {
        for (uint256 i = 0; i < data.length; ++i) {
            unchecked {
                data[i] = bytes1(uint8(data[i]) ^ uint8(0x5a + i));
            }
        }
        return data;
    }
}

/// @notice Covers: A65. With EIP-7702 an account with code is its transaction's sender, so `msg.sender == tx.origin` no
/// longer says that the transaction's data is the call's.
contract DelegatedTest is Job {
    using EpochBuilder for EpochBuilder.Draft;

    Masking private masking;

    function setUp() public override {
        super.setUp();
        masking = new Masking();
    }

    /// @notice Covers: A65. The hidden settlement reverts; the same bytes shown settle, also by a key that was
    /// delegated before.
    function test_settleEpoch_refusesAnAccountWithCode() public {
        EpochBuilder.Draft memory draft = jobDraft();
        uint64 id = post(draft);
        reveal();
        bytes memory packed = draft.pack();
        bytes memory hidden = masking.mask(abi.encodeCall(escrow.settleEpoch, (id, packed)));
        vm.signAndAttachDelegation(address(masking), keyOf("settler"));
        vm.prank(settler, settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotDirect.selector, settler));
        Masking(settler).relay(address(escrow), hidden);

        vm.assertTrue(settler.code.length > 0, "the delegation stays");
        vm.prank(settler, settler);
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_NotDirect.selector, settler));
        escrow.settleEpoch(id, packed);
        vm.etch(settler, ""); // what a delegation to the zero address does
        settle(id, packed);
        vm.assertTrue(escrow.epochs(id).outcomes != 0);
    }

    /// @notice Covers: A65. Which rows are VOID stands in the event, so that nobody needs the transaction to know what
    /// a row came to.
    function test_settleEpoch_saysWhichRowsAreVoid() public {
        EpochBuilder.Draft memory draft = jobDraft();
        draft.groups[0].rows[0].isVoid = true;
        uint64 id = post(draft);
        reveal();
        vm.expectEmit(address(escrow));
        emit IJobEscrow.EpochSettled(id, 0, 0, hex"01", hex"00");
        settle(id, draft.pack());
    }

    /// @notice Covers: A65. An answer out of an account with code shows the output in the log: its transaction need
    /// not.
    function test_answer_showsTheOutputOfAnAccountWithCode() public {
        (LeafProof memory leaf, Outcomes memory outcomes) = charge(jobDraft());
        pay(alice, CONTEST_BOND);
        vm.prank(alice);
        contests.contest(leaf, outcomes);
        CapProof memory proof = orderProof();
        bytes memory signature = sign("node", leaf.digest);
        bytes memory call =
            abi.encodeCall(IContests.answer, (leaf, order, proof.r, proof.vs, commitment, signature, output));
        bytes memory hidden = masking.mask(call);
        vm.signAndAttachDelegation(address(masking), keyOf("settler"));
        vm.recordLogs();
        vm.prank(settler, settler);
        Masking(settler).relay(address(contests), hidden);
        vm.assertEq(shown(vm.getRecordedLogs()), output);
    }

    function shown(Vm.Log[] memory logs) private pure returns (bytes memory) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IContests.Delivered.selector) return abi.decode(logs[i].data, (bytes));
        }
        revert("shown nowhere");
    }
}
